"""How components scale, roll out and are labelled; leaders, workers, routers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.contract.cases import REFUSED, Case, case, put
from tests.contract.world import Seen, World
from tests.unit.rendering.modes import settings

RUNTIMES = "ServingRuntime ClusterServingRuntime"
SPARE = {"name": "ome-container", "image": "engine:1"}


@dataclass(frozen=True)
class Site:
    """A component where it is written: in a service or in a runtime."""

    kinds: str
    path: str
    component: str

    def base(self, change: Callable[[World], None] | None = None) -> Callable[[], World]:
        """A world in which the service has the component, and the runtime can make it."""

        def made() -> World:
            world = World()
            spec, runtime = world.service["spec"], world.runtime["spec"]
            if self.component != "engine":
                spec[self.component] = {}
                runtime[f"{self.component}Config"] = {"runner": dict(SPARE)}
            if change is not None:
                change(world)
            return world

        return made

    @property
    def name(self) -> str:
        return f"chat-{self.component}"

    def own(self, world: World) -> dict[str, Any]:
        """The component's part of the service."""
        return world.service["spec"][self.component]  # type: ignore[no-any-return]


SITES = tuple(
    Site(kinds, f"spec.{component}{suffix}", component)
    for component in ("engine", "decoder", "router")
    for kinds, suffix in (("InferenceService", ""), (RUNTIMES, "Config"))
)


def cases() -> Iterator[Case]:
    for site in SITES:
        yield from _replicas(site)
        yield from _traffic(site)
        yield from _metadata(site)
        yield from _budget(site)
        yield from keda(site.kinds, f"{site.path}.kedaConfig", site.base(), site.component)
    yield from keda("InferenceService", "spec.kedaConfig", World, "engine")
    for site in SITES:
        if site.component != "router":
            yield from _groups(site)
        else:
            yield from case(
                site.kinds, f"{site.path}.config", {"ROUTER_POLICY": "cache_aware"},
                lambda s: s.env("router").get("ROUTER_POLICY"),
                base=site.base(), expected="cache_aware",
            )  # fmt: skip


# --- scaling ------------------------------------------------------------------------------------


def scaler(seen: Seen, name: str) -> dict[str, Any]:
    return seen.child("HorizontalPodAutoscaler", name)["spec"]  # type: ignore[no-any-return]


def _replicas(site: Site) -> Iterator[Case]:
    kinds, path, name, base = site.kinds, site.path, site.name, site.base()

    def resource(seen: Seen) -> dict[str, Any]:
        return scaler(seen, name)["metrics"][0]["resource"]  # type: ignore[no-any-return]

    yield from case(kinds, f"{path}.minReplicas", 2, lambda s: s.initial(name), base=base)
    yield from case(
        kinds, f"{path}.maxReplicas", 7, lambda s: scaler(s, name)["maxReplicas"], base=base
    )
    yield from case(
        kinds,
        f"{path}.scaleTarget",
        55,
        lambda s: resource(s)["target"]["averageUtilization"],
        base=base,
    )
    yield from case(
        kinds, f"{path}.scaleMetric", "memory", lambda s: resource(s)["name"], base=base
    )


def keda(kinds: str, path: str, base: Callable[[], World], component: str) -> Iterator[Case]:
    """The fields of a kedaConfig, seen in the component's ScaledObject."""
    name = f"scaledobject-chat-{component}"

    def trigger(seen: Seen) -> dict[str, Any]:
        return seen.child("ScaledObject", name)["spec"]["triggers"][0]  # type: ignore[no-any-return]

    def meta(key: str) -> Callable[[Seen], Any]:
        return lambda seen: trigger(seen)["metadata"][key]

    on = {f"{path}.enableKeda": True}
    reference = {**on, f"{path}.authenticationRef.name": "login"}
    yield from case(
        kinds, f"{path}.enableKeda", True,
        lambda s: s.child("ScaledObject", name)["kind"], base=base, expected="ScaledObject",
    )  # fmt: skip
    for key, value, seen_as in (
        ("promServerAddress", "http://prometheus:9090", "serverAddress"),
        ("customPromQuery", "sum(rate(requests[1m]))", "query"),
        ("scalingThreshold", "33", "threshold"),
        ("scalingOperator", "GreaterThan", "operator"),
    ):
        yield from case(kinds, f"{path}.{key}", value, meta(seen_as), base=base, also=on)
    yield from case(kinds, f"{path}.authModes", "tls", meta("authModes"), base=base, also=reference)
    yield from case(
        kinds, f"{path}.authenticationRef.name", "login",
        lambda s: trigger(s)["authenticationRef"]["name"], base=base, also=on,
    )  # fmt: skip
    yield from case(
        kinds, f"{path}.authenticationRef.kind", "ClusterTriggerAuthentication",
        lambda s: trigger(s)["authenticationRef"]["kind"], base=base, also=reference,
    )  # fmt: skip


# --- traffic ------------------------------------------------------------------------------------


def _gateway(world: World) -> None:
    world.config = settings(
        ingressDomain="example.com", enableGatewayAPI=True, omeIngressGateway="infra/gateway"
    )


def _traffic(site: Site) -> Iterator[Case]:
    kinds, path, name, component = site.kinds, site.path, site.name, site.component
    yield from case(
        kinds, f"{path}.timeoutSeconds", 77,
        lambda s: s.child("HTTPRoute", name)["spec"]["rules"][0]["timeouts"]["request"],
        base=site.base(_gateway), expected="77s",
    )  # fmt: skip

    def serverless(world: World) -> None:
        if component == "engine":
            world.service["metadata"]["annotations"] = {"ome.io/deploymentMode": "Serverless"}
        else:
            site.own(world)["minReplicas"] = 0

    if component == "decoder":
        yield from case(
            kinds, f"{path}.containerConcurrency", 4,
            lambda s: "decoder.containerConcurrency has no effect" in s.notes,
            base=site.base(), expected=True, state=REFUSED,
            why="a decoder is never a Knative Service, so nothing could keep the bound; the status "
            "says so",
        )  # fmt: skip
    else:
        yield from case(
            kinds, f"{path}.containerConcurrency", 4,
            lambda s: s.knative(name)["spec"]["template"]["spec"]["containerConcurrency"],
            base=site.base(serverless),
        )  # fmt: skip

    def changed(world: World) -> None:
        """The service was applied before, and its component differs now."""
        world.observed = world.as_applied()
        put(world.service, f"spec.{component}.labels", {"release": "next"})

    def share(seen: Seen) -> int | None:
        assert seen.decision.rendered is not None
        canary = seen.decision.rendered.components[component].canary
        return canary.percent if canary else None

    yield from case(kinds, f"{path}.canaryTrafficPercent", 10, share, base=site.base(changed))


# --- labels, annotations, disruption --------------------------------------------------------------


def _metadata(site: Site) -> Iterator[Case]:
    kinds, path, component, base = site.kinds, site.path, site.component, site.base()
    for what in ("labels", "annotations"):
        yield from case(
            kinds, f"{path}.{what}", {"team": "search"},
            lambda s, what=what: s.template(component)["metadata"][what]["team"],
            base=base, expected="search",
        )  # fmt: skip
    yield from case(
        kinds, f"{path}.deploymentStrategy", {"type": "Recreate"},
        lambda s: s.child("Deployment", site.name)["spec"]["strategy"], base=base,
    )  # fmt: skip


def _budget(site: Site) -> Iterator[Case]:
    for what, value in (("minAvailable", 2), ("maxUnavailable", "25%")):
        yield from case(
            site.kinds, f"{site.path}.{what}", value,
            lambda s, what=what: s.child("PodDisruptionBudget", site.name)["spec"][what],
            base=site.base(),
        )  # fmt: skip


# --- groups of pods -------------------------------------------------------------------------------


def _groups(site: Site) -> Iterator[Case]:
    def group(seen: Seen) -> int:
        found = seen.child("LeaderWorkerSet", f"lws-{site.name}")
        return found["spec"]["leaderWorkerTemplate"]["size"]  # type: ignore[no-any-return]

    yield from case(
        site.kinds, f"{site.path}.worker.size", 3, group, base=site.base(), expected=4,
        also={f"{site.path}.leader": {}},
    )  # fmt: skip
