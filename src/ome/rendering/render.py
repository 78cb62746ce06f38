"""From a service and everything that it refers to, to the children that should exist.

Pure and deterministic. Each component is built by the module of its mode; routes are laid over all
of them, and what serves in another mode stays until it is no longer needed
(:mod:`ome.rendering.handover`). A kind that the cluster does not serve is a
:class:`~ome.rendering.errors.RenderError` that says so, never a service that silently does nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource, labels_of, metadata
from ome.rendering import deployments, extras, ingress, multinode, ray, serverless, weights
from ome.rendering.component import Part
from ome.rendering.errors import RenderError
from ome.rendering.facts import Canary, Child, Component, Rendered, RenderInput
from ome.rendering.handover import Handover, handover, owned
from ome.rendering.merge import merged_components
from ome.rendering.mode import component_modes, service_mode
from ome.rendering.modelfiles import ModelFiles, model_files
from ome.rendering.pod import first_port
from ome.rendering.routes import routes
from ome.rendering.scaling import Scaling

_NEEDS: dict[str, Resource] = {
    c.MODE_MULTI_NODE: x.LEADER_WORKER_SETS,
    c.MODE_MULTI_NODE_RAY: x.RAY_CLUSTERS,
    c.MODE_SERVERLESS: x.KNATIVE_SERVICES,
}
_WORKLOAD: dict[str, Resource] = {c.MODE_RAW: r.DEPLOYMENTS, **_NEEDS}


class _Built(Protocol):
    """What every mode's builder gives."""

    name: str
    """Of the workload."""
    container: Object
    """The main container of the pods that take requests."""
    children: list[Child]
    warnings: list[str]
    pending: str

    @property
    def selector(self) -> dict[str, str]:
        """Labels of the pods that take requests."""


def render(given: RenderInput) -> Rendered:
    """All children of the service. Raises :class:`RenderError` with what to change."""
    if service_mode(given.service) == c.MODE_VIRTUAL:
        return _virtual(given)
    _refuse_no_engine(given)
    merged = merged_components(given.service, given.runtime)
    modes = component_modes(
        given.service,
        merged,
        knative=given.capabilities.has(x.KNATIVE_SERVICES),
        adopted=frozenset(given.observed.adopted()),
    )
    resolved = ingress.resolve(given.config.ingress, given.service)
    namespace = metadata(given.service).get("namespace") or "default"
    tuned = weights.describe(given.weights, given.model, namespace)
    files = _files(given)
    entry = c.ROUTER if c.ROUTER in merged else c.ENGINE
    children: list[Child] = []
    components: dict[str, Component] = {}
    pending: list[str] = []
    warnings: list[str] = []
    keep: set[tuple[Resource, str]] = set()
    replaced: set[tuple[Resource, str]] = set()
    if given.model is not None:
        children.append(
            extras.model_config(given.service, given.model, given.weights, given.observed)
        )
    for name, part_spec in merged.items():
        part = Part(given, name, part_spec, modes[name], files, tuned)
        built = _build(part, exposed=name == entry and not resolved.disable_creation)
        component = _component(part, built)
        keep |= {(component.workload, one) for one in component.outdated}
        if isinstance(built, ray.Built):
            replaced |= {(component.workload, one) for one in built.replaced}
        handing = handover(part, component.workload, built.name, built.children)
        if isinstance(handing, Handover):
            children += handing.children
            keep |= handing.keep
            component = replace(component, previous=handing.previous)
        else:
            children += handing
        if name == c.ROUTER:
            account = str(part_spec.get("serviceAccountName") or "")
            children += extras.router_identity(given.service, part.labels, account)
        components[name] = component
        pending += [built.pending] if built.pending else []
        warnings += built.warnings
    paths = routes(given, resolved, components, components[entry])
    children += _paths(given, components[entry], paths.children, keep)
    return Rendered(
        children=sorted(children, key=lambda child: (_order(child), child.key)),
        components=components,
        entry_component=entry,
        url=paths.url,
        address=paths.address,
        keep=frozenset(keep),
        replaced=frozenset(replaced),
        ingress_objects=paths.objects,
        ingress_missing=paths.missing,
        pending=tuple(dict.fromkeys(pending)),
        warnings=(*warnings, *paths.warnings),
    )


def _virtual(given: RenderInput) -> Rendered:
    """Nothing runs: the service is only a name for something that runs elsewhere."""
    name, namespace = metadata(given.service)["name"], metadata(given.service).get("namespace")
    url = f"http://{name}.{namespace or 'default'}.svc.{given.capabilities.cluster_domain}"
    return Rendered([], {}, "", url, url)


def _refuse_no_engine(given: RenderInput) -> None:
    if (given.service.get("spec") or {}).get("engine") is None:
        raise RenderError(
            "NoEngine",
            "the service defines no engine, so nothing would serve the model",
            field="spec.engine",
            fix="add spec.engine (engine: {} takes everything from the runtime)",
        )


def _build(part: Part, *, exposed: bool) -> _Built:
    """``exposed``: the component's own Service is where requests from outside enter."""
    needed = _NEEDS.get(part.mode)
    if needed is not None and not part.given.capabilities.has(needed):
        raise RenderError(
            "MissingKind",
            f"the {part.name} is to be deployed as {part.mode}, which needs {needed.kind}s "
            f"({needed.api_version}); this cluster does not have them",
            field=f"spec.{part.name}",
            fix=f"install {x.PROJECTS[needed]}, or choose a runtime or settings for {c.MODE_RAW}",
        )
    if part.mode == c.MODE_MULTI_NODE:
        return multinode.Built(part)
    if part.mode == c.MODE_MULTI_NODE_RAY:
        return ray.Built(part)
    if part.mode == c.MODE_SERVERLESS:
        return serverless.Built(part)
    if part.mode != c.MODE_RAW:
        raise RenderError(
            "InvalidSpec",
            f"the {part.name} can't be deployed as {part.mode}",
            field=f"spec.{part.name}.annotations[{c.A_DEPLOYMENT_MODE}]",
            fix=f"use one of {', '.join(_WORKLOAD)}",
        )
    type_ = extras.service_type(part.service) if exposed else "ClusterIP"
    return deployments.Built(part, type_)


def _component(part: Part, built: _Built) -> Component:
    canary: Canary | None = getattr(built, "canary", None)
    scale: Scaling | None = getattr(built, "scale", None)
    raw, replicas = part.mode == c.MODE_RAW, getattr(built, "replicas", None)
    least = scale.low if scale is not None else None
    if replicas is not None:
        least = max(1, replicas - 1)  # they are made anew one at a time
    return Component(
        name=part.name,
        mode=part.mode,
        base_name=part.base_name,
        service_name=names.truncate_dns(part.base_name),
        port=first_port(built.container),
        app=part.app,
        workload=_WORKLOAD[part.mode],
        workload_name=built.name,
        replicas=replicas,
        pod_labels={} if raw else built.selector,
        canary=canary,
        timeout_seconds=int(part.merged.get("timeoutSeconds") or 0),
        least=least if replicas != 0 else 0,
        outdated=tuple(getattr(built, "outdated", ())),
        at_zero=scale.at_zero if scale is not None else "",
    )


def _files(given: RenderInput) -> ModelFiles | None:
    if given.model is None:
        return None
    return model_files(given.model, metadata(given.service).get("namespace") or "default")


def _paths(
    given: RenderInput,
    entry: Component,
    children: tuple[Child, ...],
    keep: set[tuple[Resource, str]],
) -> list[Child]:
    """Routes as they should be; while the entry is handed over, those that lead to it stay."""
    if entry.previous is None:
        return list(children)
    observed = given.observed
    stays = {
        (kind, name)
        for kind in (r.SERVICES, r.INGRESSES, x.HTTP_ROUTES, x.VIRTUAL_SERVICES)
        for name, live in observed.of(kind).items()
        if owned(given.service, live) and labels_of(live).get(c.L_COMPONENT) not in c.COMPONENTS
    }
    keep |= stays
    return [child for child in children if (child.resource, child.key.name) not in stays]


_ORDER = (
    r.CONFIG_MAPS,
    r.SERVICE_ACCOUNTS,
    r.ROLES,
    r.ROLE_BINDINGS,
    x.SIDECARS,
    r.SERVICES,
    r.DEPLOYMENTS,
    x.LEADER_WORKER_SETS,
    x.RAY_CLUSTERS,
    x.KNATIVE_SERVICES,
    r.HORIZONTAL_POD_AUTOSCALERS,
    x.SCALED_OBJECTS,
    r.POD_DISRUPTION_BUDGETS,
    r.INGRESSES,
    x.HTTP_ROUTES,
    x.VIRTUAL_SERVICES,
)


def _order(child: Child) -> int:
    """What others need goes first."""
    return _ORDER.index(child.resource)
