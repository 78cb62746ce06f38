"""The deprecated predictor: admission warns, and what it says arrives in the engine's objects.

Every case sees both at once: the effect after the migration, and the warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.cases import DEPRECATED, Case, case
from tests.contract.effects_components import scaler
from tests.contract.effects_pods import CONTAINER, EPHEMERAL, POD, contains, has
from tests.contract.world import Seen, World
from tests.unit.rendering.modes import settings

KIND = "InferenceService"
WARNING = "spec.predictor is deprecated"
WHY = f"{WARNING}: use model, engine and runtime (it is migrated)"
SPEC = "spec.predictor"


def predictor() -> World:
    """A service as it used to be written."""
    world = World(admit=True)
    del world.service["spec"]["engine"], world.service["spec"]["model"]
    world.service["spec"]["predictor"] = {"model": {"baseModel": "tiny"}}
    world.service["metadata"]["namespace"] = "default"
    return world


def warned(look: Callable[[Seen], Any]) -> Callable[[Seen], Any]:
    """What is seen, if admission warned as well."""

    def both(seen: Seen) -> Any:
        assert seen.warned(WARNING), "the deprecation warning is missing"
        return look(seen)

    return both


def old(path: str, value: Any, look: Callable[[Seen], Any], **more: Any) -> Iterator[Case]:
    more.setdefault("base", predictor)
    more.setdefault("why", WHY)
    yield from case(KIND, f"{SPEC}.{path}", value, warned(look), state=DEPRECATED, **more)


def cases() -> Iterator[Case]:
    for name, value in POD.items():
        if name != "containers":
            yield from old(name, value, has(lambda s: s.pod(), name, value), expected=True)
    two = [{"name": "engine", "image": "own:1"}, {"name": "side", "image": "side:1"}]
    yield from old(
        "containers", two, lambda s: [c["image"] for c in s.pod()["containers"]],
        expected=["side:1", "own:1"],
    )  # fmt: skip
    refused = "spec.engine.ephemeralContainers"
    yield from old("ephemeralContainers", EPHEMERAL, lambda s: refused in s.refusals, expected=True)
    yield from _extension()
    yield from _worker()
    yield from _model()


def _extension() -> Iterator[Case]:
    name = "chat-engine"

    def resource(seen: Seen) -> dict[str, Any]:
        return scaler(seen, name)["metrics"][0]["resource"]  # type: ignore[no-any-return]

    yield from old("minReplicas", 2, lambda s: s.initial(name))
    yield from old("maxReplicas", 7, lambda s: scaler(s, name)["maxReplicas"])
    yield from old("scaleTarget", 55, lambda s: resource(s)["target"]["averageUtilization"])
    yield from old("scaleMetric", "memory", lambda s: resource(s)["name"])
    for what in ("labels", "annotations"):
        yield from old(
            what, {"team": "search"},
            lambda s, what=what: s.template()["metadata"][what]["team"], expected="search",
        )  # fmt: skip
    yield from old(
        "deploymentStrategy", {"type": "Recreate"},
        lambda s: s.child("Deployment", name)["spec"]["strategy"],
    )  # fmt: skip
    for what, value in (("minAvailable", 2), ("maxUnavailable", "25%")):
        yield from old(
            what, value, lambda s, what=what: s.child("PodDisruptionBudget", name)["spec"][what]
        )

    def gateway() -> World:
        world = predictor()
        world.config = settings(
            ingressDomain="example.com", enableGatewayAPI=True, omeIngressGateway="infra/gateway"
        )
        return world

    yield from old(
        "timeoutSeconds", 77,
        lambda s: s.child("HTTPRoute", name)["spec"]["rules"][0]["timeouts"]["request"],
        base=gateway, expected="77s",
    )  # fmt: skip

    def serverless() -> World:
        world = predictor()
        world.service["metadata"]["annotations"] = {"ome.io/deploymentMode": "Serverless"}
        return world

    yield from old(
        "containerConcurrency", 4,
        lambda s: s.knative(name)["spec"]["template"]["spec"]["containerConcurrency"],
        base=serverless,
    )  # fmt: skip

    def changed() -> World:
        world = predictor()
        world.observed = world.as_applied()
        world.service["spec"]["predictor"]["labels"] = {"release": "next"}
        return world

    def share(seen: Seen) -> int | None:
        assert seen.decision.rendered is not None
        canary = seen.decision.rendered.components["engine"].canary
        return canary.percent if canary else None

    yield from old("canaryTrafficPercent", 10, share, base=changed)
    yield from _keda()


def _keda() -> Iterator[Case]:
    scaled = "scaledobject-chat-engine"

    def trigger(seen: Seen) -> dict[str, Any]:
        return seen.child("ScaledObject", scaled)["spec"]["triggers"][0]  # type: ignore[no-any-return]

    on = {f"{SPEC}.kedaConfig.enableKeda": True}
    reference = {**on, f"{SPEC}.kedaConfig.authenticationRef.name": "login"}
    yield from old(
        "kedaConfig.enableKeda", True,
        lambda s: s.child("ScaledObject", scaled)["kind"], expected="ScaledObject",
    )  # fmt: skip
    for key, value, seen_as in (
        ("promServerAddress", "http://prometheus:9090", "serverAddress"),
        ("customPromQuery", "sum(rate(requests[1m]))", "query"),
        ("scalingThreshold", "33", "threshold"),
        ("scalingOperator", "GreaterThan", "operator"),
    ):
        yield from old(
            f"kedaConfig.{key}", value,
            lambda s, seen_as=seen_as: trigger(s)["metadata"][seen_as], also=on,
        )  # fmt: skip
    yield from old(
        "kedaConfig.authModes", "tls", lambda s: trigger(s)["metadata"]["authModes"],
        also=reference,
    )  # fmt: skip
    for key, value, also in (
        ("name", "login", on),
        ("kind", "ClusterTriggerAuthentication", reference),
    ):
        yield from old(
            f"kedaConfig.authenticationRef.{key}", value,
            lambda s, key=key: trigger(s)["authenticationRef"][key], also=also,
        )  # fmt: skip


def _worker() -> Iterator[Case]:
    def group(seen: Seen) -> int:
        found = seen.child("LeaderWorkerSet", "lws-chat-engine")
        return found["spec"]["leaderWorkerTemplate"]["size"]  # type: ignore[no-any-return]

    image = {"image": "worker:1", "name": "ome-container"}
    own = {f"{SPEC}.workerSpec": {"size": 1, "runner": image}}
    yield from old("workerSpec.size", 3, group, expected=4)
    for name, value in POD.items():
        yield from old(
            f"workerSpec.{name}", value,
            has(lambda s: s.pod("engine", "worker"), name, value), expected=True, also=own,
        )  # fmt: skip
    refused = "spec.engine.worker.ephemeralContainers"
    yield from old(
        "workerSpec.ephemeralContainers", EPHEMERAL, lambda s: refused in s.refusals,
        expected=True, also=own,
    )  # fmt: skip
    yield from old(
        "workerSpec.runner.(Container)", CONTAINER,
        lambda s: _missing(s, "worker"), expected=[], also=own,
    )  # fmt: skip


def _missing(seen: Seen, role: str = "") -> list[str]:
    main = seen.main("engine", role)
    return [name for name, value in CONTAINER.items() if not contains(main.get(name), value)]


def _model() -> Iterator[Case]:
    nothing = {f"{SPEC}.minReplicas": 1, f"{SPEC}.model": {"runtime": "rt"}}
    yield from old(
        "model.baseModel", "tiny", lambda s: s.service["spec"]["model"]["name"], also=nothing
    )
    yield from old("model.(Container)", {"baseModel": "tiny", **CONTAINER}, _missing, expected=[])

    def two_runtimes() -> World:
        world = predictor()
        other = World().runtime
        other["metadata"]["name"] = "zz-other"
        world.others.append(other)
        return world

    yield from old("model.runtime", "zz-other", lambda s: s.winner, base=two_runtimes)
    yield from old("model.storageUri", "hf://example/tiny", lambda s: s.env().get("STORAGE_URI"))
    yield from old(
        "model.protocolVersion", "openInference-v2", lambda s: s.env().get("PROTOCOL_VERSION")
    )
    yield from old(
        "model.runtimeVersion", "v0.9.0",
        lambda s: s.warned("spec.predictor.model.runtimeVersion has no effect"), expected=True,
    )  # fmt: skip
    yield from old(
        "model.fineTunedWeights", ["tuned"],
        lambda s: s.template()["metadata"]["labels"].get("fine-tuned-serving"), expected="true",
    )  # fmt: skip
