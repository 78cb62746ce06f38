"""How each component of a service is deployed.

One function decides it for everybody: admission (which stamps the service), the renderer and the
status. The engine's own annotation counts first, then what the merged specs say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.api.names import component_name
from ome.apimachinery.objects import Object, annotations_of, metadata


def component_modes(
    service: Object,
    components: Mapping[str, Object],
    *,
    knative: bool,
    adopted: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """The mode of each merged component in ``components``.

    ``minReplicas: 0`` means Serverless where Knative is there and nothing speaks against it;
    elsewhere it is a RawDeployment that something else scales from zero. ``adopted`` are the names
    of Deployments that another manager made of a service and that nobody has asked to change.
    """
    if service_mode(service) == c.MODE_VIRTUAL:
        return dict.fromkeys(components, c.MODE_VIRTUAL)
    asked = service_mode(service)
    engine_name = component_name(metadata(service).get("name") or "", c.ENGINE)
    if asked not in _OF_ENGINE or c.DECODER in components or engine_name in adopted:
        asked = ""
    disaggregated = c.DECODER in components
    return {
        name: _mode(name, part, asked, knative=knative and not disaggregated)
        for name, part in components.items()
    }


_OF_ENGINE = (c.MODE_SERVERLESS, c.MODE_MULTI_NODE_RAY)
"""Modes that a service's own annotation gives its engine. The others follow from the spec, and
admission writes them there itself."""


def service_mode(service: Object) -> str:
    """The mode that the service's own annotation asks for; empty if none or unknown."""
    mode = annotations_of(service).get(c.A_DEPLOYMENT_MODE) or ""
    return mode if mode in c.DEPLOYMENT_MODES else ""


def _mode(name: str, part: Object, asked: str, *, knative: bool) -> str:
    if name == c.ENGINE:
        own = (part.get("annotations") or {}).get(c.A_DEPLOYMENT_MODE)
        if own in c.DEPLOYMENT_MODES and own != c.MODE_PD_DISAGGREGATED:
            return str(own)
    if name != c.ROUTER and _is_group(part):
        return c.MODE_MULTI_NODE_RAY if asked == c.MODE_MULTI_NODE_RAY else c.MODE_MULTI_NODE
    if name == c.ENGINE and asked:
        return asked
    if name != c.DECODER and part.get("minReplicas") == 0 and knative:
        return c.MODE_SERVERLESS
    return c.MODE_RAW


def _is_group(part: Object) -> bool:
    """Leader and workers; a component that says ``worker.size: 0`` is its leader alone."""
    worker = part.get("worker")
    if worker is not None and worker.get("size") == 0:
        return False
    return part.get("leader") is not None or worker is not None


def derived_annotation(spec: Mapping[str, Any], default_mode: str) -> str:
    """What admission stamps as ``ome.io/deploymentMode`` when the user gave none; may be empty."""
    engine, decoder = spec.get("engine"), spec.get("decoder")
    if engine is not None and decoder is not None:
        return c.MODE_PD_DISAGGREGATED
    if engine is not None:
        worker = engine.get("worker") or {}
        if engine.get("leader") is not None and (worker.get("size") or 0) > 0:
            return c.MODE_MULTI_NODE
    return c.MODE_RAW if default_mode == c.MODE_RAW else ""
