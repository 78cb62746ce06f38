"""Raw objects as the gateway reads them."""

from __future__ import annotations

from typing import Any

from tests.fakes.engine import FakeEngine


def service(
    name: str,
    namespace: str = "default",
    *,
    model: str = "llama",
    ready: bool = True,
    reason: str = "",
    message: str = "",
    router: bool = False,
) -> dict[str, Any]:
    ready_condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": reason,
        "message": message,
    }
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {"model": {"name": model}, "engine": {}} | ({"router": {}} if router else {}),
        "status": {"conditions": [ready_condition]},
    }


def endpoint(engine: FakeEngine, **conditions: bool) -> tuple[str, int, dict[str, bool]]:
    return (engine.host, engine.port, conditions)


def slices(
    backend: str,
    *endpoints: tuple[str, int, dict[str, bool]],
    namespace: str = "default",
) -> list[dict[str, Any]]:
    """One EndpointSlice a replica: a slice has one set of ports, and fakes differ in theirs."""
    return [
        {
            "metadata": {
                "name": f"{backend}-{index}",
                "namespace": namespace,
                "labels": {"kubernetes.io/service-name": backend},
            },
            "ports": [{"name": "http", "port": port}],
            "endpoints": [
                {
                    "addresses": [host],
                    "conditions": conditions,
                    "targetRef": {"kind": "Pod", "uid": f"{backend}-{index}"},
                }
            ],
        }
        for index, (host, port, conditions) in enumerate(endpoints)
    ]
