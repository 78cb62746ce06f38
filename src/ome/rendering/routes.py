"""How requests reach a service: its addresses, and the objects that make them answer.

=================== ============================ =================================================
configuration       entry component's mode       what is made
=================== ============================ =================================================
creation disabled   any but Serverless           the external Service under the service's name
creation disabled   Serverless                   nothing: Knative's own address is the address
enableGatewayAPI    any but Serverless           HTTPRoutes (see :mod:`ome.rendering.gatewayapi`)
else                any but Serverless           one Ingress
else                Serverless                   VirtualService (:mod:`ome.rendering.istio`)
=================== ============================ =================================================

A service with ``networking.knative.dev/visibility: cluster-local`` is reached from inside only.
Where requests enter: the router, else the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource, annotations_of, labels_of, metadata
from ome.rendering import extras, gatewayapi, ingress, istio
from ome.rendering.facts import Child, Component, RenderInput
from ome.rendering.ingress import Ingress
from ome.rendering.raw import child_metadata
from ome.rendering.serverless import is_local, namespace_of


@dataclass(frozen=True)
class Routes:
    """``objects`` are those of the children on which the address depends."""

    url: str
    address: str
    children: tuple[Child, ...] = ()
    missing: Resource | None = None
    """A kind that the configuration asks for and the cluster does not serve."""
    warnings: tuple[str, ...] = ()

    @property
    def objects(self) -> tuple[tuple[Resource, str], ...]:
        return tuple(
            (child.resource, child.key.name)
            for child in self.children
            if child.resource != r.SERVICES
        )


def routes(
    given: RenderInput, resolved: Ingress, components: dict[str, Component], entry: Component
) -> Routes:
    """The addresses of the service and what has to exist for them."""
    if entry.mode == c.MODE_SERVERLESS:
        return _serverless(given, resolved, entry)
    if resolved.disable_creation:
        return _external(given, resolved, entry)
    inside = inside_url(given, entry)
    if is_local(given.service):
        return Routes(inside, inside)
    if resolved.gateway_api:
        return _gateway_api(given, resolved, components, entry)
    host = ingress.host(resolved, given.service, metadata(given.service)["name"])
    if not given.capabilities.has(r.INGRESSES):
        return Routes(f"{resolved.scheme}://{host}", inside, (), r.INGRESSES)
    warnings = []
    if resolved.path_template:
        warnings.append(
            "pathTemplate has no effect with a Kubernetes Ingress, which can't rewrite paths; "
            "use enableGatewayAPI, or ingressDomain and domainTemplate alone"
        )
    warnings += _no_weights(entry, "a Kubernetes Ingress")
    made = _ingress(given, resolved, components, entry, host)
    return Routes(f"{resolved.scheme}://{host}", inside, (made,), None, tuple(warnings))


def inside_url(given: RenderInput, entry: Component) -> str:
    """The entry component's own Service, inside the cluster."""
    domain = given.capabilities.cluster_domain
    namespace = namespace_of(given.service)
    return f"http://{entry.service_name}.{namespace}.svc.{domain}:{entry.port}"


def _external(given: RenderInput, resolved: Ingress, entry: Component) -> Routes:
    external = extras.external_service(given.service, entry)
    inside = ingress.service_url(given.service, entry.port, given.capabilities.cluster_domain)
    if external is None:
        inside = inside_url(given, entry)
    children = (external,) if external else ()
    if resolved.path_template and not is_local(given.service):
        path = ingress.path(resolved, given.service)
        return Routes(f"{resolved.scheme}://{resolved.domain}{path}", inside, children)
    return Routes(inside, inside, children, None, tuple(_no_weights(entry, "a Service alone")))


def _no_weights(entry: Component, what: str) -> list[str]:
    if entry.canary is None:
        return []
    return [
        f"{what} can't weigh versions: the canary of the {entry.name} gets no share by percent. "
        "Use enableGatewayAPI for weights"
    ]


def _gateway_api(
    given: RenderInput, resolved: Ingress, components: dict[str, Component], entry: Component
) -> Routes:
    inside = inside_url(given, entry)
    host = ingress.host(resolved, given.service, metadata(given.service)["name"])
    url = f"{resolved.scheme}://{host}"
    if resolved.path_template:
        url = f"{resolved.scheme}://{resolved.domain}{ingress.path(resolved, given.service)}"
    if not given.capabilities.has(x.HTTP_ROUTES):
        return Routes(url, inside, (), x.HTTP_ROUTES)
    made = gatewayapi.http_routes(given, resolved, components, entry, host)
    warnings = [
        f"the canary of the {name} gets its share only of requests that go to it directly: the "
        f"{entry.name} finds its pods by itself"
        for name, component in components.items()
        if component.canary is not None and name != entry.name
    ]
    return Routes(url, inside, tuple(made), None, tuple(warnings))


def _serverless(given: RenderInput, resolved: Ingress, entry: Component) -> Routes:
    """Knative has an address of its own; Istio puts the service's host in front of it."""
    live = given.observed.get(x.KNATIVE_SERVICES, entry.workload_name) or {}
    status = live.get("status") or {}
    own_url = str(status.get("url") or "")
    domain = given.capabilities.cluster_domain
    namespace = namespace_of(given.service)
    plain = f"http://{entry.base_name}.{namespace}.svc.{domain}"
    own_address = str((status.get("address") or {}).get("url") or plain)
    if resolved.disable_creation or resolved.disable_istio:
        return Routes(own_url or own_address, own_address)
    if not given.capabilities.has(x.VIRTUAL_SERVICES):
        return Routes(own_url or own_address, own_address, (), x.VIRTUAL_SERVICES)
    if not own_url:
        return Routes("", own_address)
    return Routes(*istio.virtual_service(given, resolved, entry, own_url))


# --- Kubernetes Ingress ---------------------------------------------------------------------------


def _ingress(
    given: RenderInput,
    resolved: Ingress,
    components: dict[str, Component],
    entry: Component,
    host: str,
) -> Child:
    service = given.service
    rules = [_rule(host, entry)]
    rules += [_rule(name, entry) for name in ingress.additional_hosts(resolved, host)]
    for component in components.values():
        rules.append(_rule(ingress.host(resolved, service, component.base_name), component))
    name = metadata(service)["name"]
    labels = {**labels_of(service), c.L_INFERENCE_SERVICE: names.label_value(name)}
    annotations = {
        key: value
        for key, value in annotations_of(service).items()
        if key not in c.NOT_PROPAGATED_ANNOTATIONS and key != c.A_HOLD_ROLLOUT
    }
    spec: Object = {"rules": rules}
    if resolved.class_name:
        spec["ingressClassName"] = resolved.class_name
    obj = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": child_metadata(service, name, labels, annotations),
        "spec": spec,
    }
    return Child(r.INGRESSES, obj)


def _rule(host: str, component: Component) -> Object:
    backend = {
        "service": {"name": component.service_name, "port": {"number": component.port}},
    }
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {"host": host, "http": {"paths": [path]}}


# --- what the cluster says about them ----------------------------------------------------------


def route_problem(kind: Resource, name: str, live: Object | None) -> tuple[str, str] | None:
    """Reason and message where a route does not lead anywhere yet; None where it does."""
    if live is None:
        return "Creating", f"{kind.kind} {name} is being created"
    if kind == r.INGRESSES:
        return _ingress_problem(name, live)
    if kind == x.HTTP_ROUTES:
        return _route_problem(name, live)
    return None


def _ingress_problem(name: str, live: Object) -> tuple[str, str] | None:
    if ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return None
    wanted = (live.get("spec") or {}).get("ingressClassName")
    class_ = f" of class {wanted}" if wanted else ""
    text = (
        f"no ingress controller{class_} has given Ingress {name} an address yet. What to do: check "
        f"that one runs (kubectl get ingressclasses), or set ingressClassName in "
        f"{c.INFERENCE_SERVICE_CONFIG}"
    )
    return "NotProgrammed", text


def _route_problem(name: str, live: Object) -> tuple[str, str] | None:
    parents = (live.get("status") or {}).get("parents") or ()
    if not parents:
        wanted = ((live.get("spec") or {}).get("parentRefs") or [{}])[0]
        gateway = "/".join(filter(None, (wanted.get("namespace"), wanted.get("name"))))
        text = (
            f"Gateway {gateway} has not taken HTTPRoute {name} up. What to do: check that the "
            f"Gateway exists (kubectl get gateways -A) and allows routes of this namespace"
        )
        return "ParentStatusNotAvailable", text
    for parent in parents:
        for entry in parent.get("conditions") or ():
            if entry.get("status") == "False":
                text = f"HTTPRoute {name}: {entry.get('type')}: {entry.get('message')}"
                return str(entry.get("reason") or "NotAccepted"), text
    return None
