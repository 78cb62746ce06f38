"""The VirtualService that puts a service's own hosts in front of its Knative Service."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, annotations_of, labels_of, metadata
from ome.rendering import ingress
from ome.rendering.facts import Child, Component, RenderInput
from ome.rendering.ingress import Ingress
from ome.rendering.raw import child_metadata
from ome.rendering.serverless import is_local, namespace_of


def virtual_service(
    given: RenderInput, resolved: Ingress, entry: Component, component_url: str
) -> tuple[str, str, tuple[Child, ...]]:
    """(url, address, children) of a service whose entry is a Knative Service with that url."""
    service = given.service
    name, namespace = metadata(service)["name"], namespace_of(service)
    domain = given.capabilities.cluster_domain
    inside = f"{name}.{namespace}.svc.{domain}"
    knative_host = urlsplit(component_url).hostname or ""
    outside = knative_host.replace(entry.base_name, name, 1)
    local = is_local(service) or outside == inside
    outer = [] if local else [outside, *ingress.additional_hosts(resolved, outside)]
    backend = f"{entry.base_name}.{namespace}.svc.{domain}"
    config = given.config.ingress
    inner_gates = [config.local_gateway, c.MESH_GATEWAY]
    outer_gates = [config.ingress_gateway]
    matches = [_authority(inside, inner_gates)]
    matches += [_authority(host, outer_gates) for host in outer]
    rules = [_route(given, matches, backend)]
    hosts = [inside, *outer]
    url = f"{resolved.scheme}://{outside}" if not local else f"http://{inside}"
    if resolved.path_template and not local:
        path = ingress.path(resolved, service).rstrip("/")
        hosts.append(resolved.domain)
        at = [
            {"uri": {"prefix": f"{path}/"}, **_authority(resolved.domain, outer_gates)},
            {"uri": {"exact": path}, **_authority(resolved.domain, outer_gates)},
        ]
        rules.insert(0, _route(given, at, backend, rewrite=True))
        url = f"{resolved.scheme}://{resolved.domain}{path}"
    gateways = [*inner_gates, *([] if local else outer_gates)]
    made = (
        _object(given, name, list(dict.fromkeys(hosts)), gateways, rules),
        _alias(given, name, config.local_gateway_service),
    )
    return url, f"http://{inside}", made


def _authority(host: str, gateways: list[str]) -> Object:
    pattern = rf"^{re.escape(host)}(?::\d{{1,5}})?$".replace(r"\-", "-")
    return {"authority": {"regex": pattern}, "gateways": [g for g in gateways if g]}


def _route(
    given: RenderInput, matches: list[Object], backend: str, *, rewrite: bool = False
) -> Object:
    service = given.service
    headers = {
        "Host": backend,
        c.HEADER_SERVICE_NAME: metadata(service)["name"],
        c.HEADER_SERVICE_NAMESPACE: namespace_of(service),
    }
    gateway = given.config.ingress.knative_local_gateway_service
    route: Object = {
        "match": matches,
        "headers": {"request": {"set": headers}},
        "route": [
            {"destination": {"host": gateway, "port": {"number": c.HTTP_PORT}}, "weight": 100}
        ],
    }
    if rewrite:
        route["rewrite"] = {"uri": "/"}
    return route


def _object(
    given: RenderInput, name: str, hosts: list[str], gateways: list[str], rules: list[Object]
) -> Child:
    service = given.service
    annotations = {
        key: value
        for key, value in annotations_of(service).items()
        if key not in c.NOT_PROPAGATED_ANNOTATIONS and key != c.A_HOLD_ROLLOUT
    }
    labels = {**labels_of(service), c.L_INFERENCE_SERVICE: names.label_value(name)}
    obj = {
        "apiVersion": x.VIRTUAL_SERVICES.api_version,
        "kind": x.VIRTUAL_SERVICES.kind,
        "metadata": child_metadata(service, name, labels, annotations),
        "spec": {"hosts": hosts, "gateways": [g for g in gateways if g], "http": rules},
    }
    return Child(x.VIRTUAL_SERVICES, obj)


def _alias(given: RenderInput, name: str, gateway: str) -> Child:
    """The service's name inside the cluster leads to the local gateway."""
    labels = {
        c.L_INFERENCE_SERVICE: names.label_value(name),
        c.L_COMPONENT: c.COMPONENT_EXTERNAL_SERVICE,
    }
    obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(given.service, names.truncate_dns(name), labels, {}),
        "spec": {"type": "ExternalName", "externalName": gateway, "sessionAffinity": "None"},
    }
    return Child(r.SERVICES, obj)
