"""HTTPRoutes: one for the service, one for each component, with weights for canaries."""

from __future__ import annotations

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery.objects import Object, labels_of, metadata
from ome.rendering import ingress
from ome.rendering.errors import RenderError
from ome.rendering.facts import Child, Component, RenderInput
from ome.rendering.ingress import Ingress
from ome.rendering.raw import child_metadata


def http_routes(
    given: RenderInput,
    resolved: Ingress,
    components: dict[str, Component],
    entry: Component,
    host: str,
) -> list[Child]:
    """The service's own route first."""
    service = given.service
    hosts = [host, *ingress.additional_hosts(resolved, host)]
    found = [_route(given, resolved, _name(service), hosts, [_rule(given, entry, "/")])]
    if resolved.path_template:
        # The domain is shared by many services, so a route of its own with nothing but the path.
        path = ingress.path(resolved, service).rstrip("/") or "/"
        rules = [_rule(given, entry, path)]
        found.append(_route(given, resolved, _name(service, "-path"), [resolved.domain], rules))
    for component in components.values():
        own_host = ingress.host(resolved, service, component.base_name)
        rule = _rule(given, component, "/")
        route = _route(given, resolved, component.base_name, [own_host], [rule], component.name)
        found.append(route)
    return found


def _name(service: Object, suffix: str = "") -> str:
    return f"{metadata(service)['name']}{suffix}"


def _route(
    given: RenderInput,
    resolved: Ingress,
    name: str,
    hosts: list[str],
    rules: list[Object],
    component: str = "",
) -> Child:
    service = given.service
    labels = {
        **labels_of(service),
        c.L_INFERENCE_SERVICE: names.label_value(metadata(service)["name"]),
    }
    if component:
        labels[c.L_COMPONENT] = component
    obj = {
        "apiVersion": x.HTTP_ROUTES.api_version,
        "kind": x.HTTP_ROUTES.kind,
        "metadata": child_metadata(service, name, labels, {}),
        "spec": {
            "parentRefs": [_parent(resolved)],
            "hostnames": hosts,
            "rules": rules,
        },
    }
    return Child(x.HTTP_ROUTES, obj)


def _parent(resolved: Ingress) -> Object:
    """``namespace/name``; a name alone is a Gateway of the service's own namespace."""
    namespace, _, name = resolved.gateway.rpartition("/")
    if not name:
        raise RenderError(
            "InvalidConfig",
            "enableGatewayAPI is set, but omeIngressGateway names no Gateway",
            field=f"ConfigMap {c.INFERENCE_SERVICE_CONFIG}, key ingress",
            fix="set omeIngressGateway to <namespace>/<name> of a Gateway",
        )
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name}
    return {**parent, "namespace": namespace} if namespace else parent


def _rule(given: RenderInput, component: Component, path: str) -> Object:
    service = given.service
    headers = [
        {"name": c.HEADER_SERVICE_NAME, "value": metadata(service)["name"]},
        {
            "name": c.HEADER_SERVICE_NAMESPACE,
            "value": metadata(service).get("namespace") or "default",
        },
    ]
    filters: list[Object] = [
        {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": headers}}
    ]
    if path != "/":
        rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        filters.append({"type": "URLRewrite", "urlRewrite": rewrite})
    rule: Object = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "filters": filters,
        "backendRefs": _backends(component),
    }
    if component.timeout_seconds:
        rule["timeouts"] = {"request": f"{component.timeout_seconds}s"}
    return rule


def _backends(component: Component) -> list[Object]:
    def backend(name: str, weight: int) -> Object:
        return {
            "group": "",
            "kind": "Service",
            "name": name,
            "port": component.port,
            "weight": weight,
        }

    canary = component.canary
    if canary is None:
        return [backend(component.service_name, 1)]
    return [
        backend(component.service_name, 100 - canary.percent),
        backend(canary.service_name, canary.percent),
    ]
