"""Addresses, and the objects that make them answer."""

from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.objects import service
from tests.unit.rendering.modes import (
    EVERYTHING,
    check_golden,
    child,
    gpu_runtime,
    made,
    names,
    settings,
)

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.rendering import Capabilities, Rendered, RenderError
from ome.rendering.routes import route_problem

Object = dict[str, Any]
INGRESS = {"ingressDomain": "example.com", "ingressClassName": "nginx"}
GATEWAY = {"ingressDomain": "example.com", "enableGatewayAPI": True, "omeIngressGateway": "i/gw"}
ROUTER = {"runner": {"image": "r:1", "name": "router", "ports": [{"containerPort": 9000}]}}


def hosts(rendered: Rendered) -> dict[str, tuple[str, int]]:
    """Host to backend Service and port, of the Ingress."""
    found = {}
    for rule in child(rendered, r.INGRESSES, "chat")["spec"]["rules"]:
        backend = rule["http"]["paths"][0]["backend"]["service"]
        found[rule["host"]] = (backend["name"], backend["port"]["number"])
    return found


def test_an_ingress_is_rendered_as_in_the_golden_file() -> None:
    check_golden("ingress", made(service(router=ROUTER), config=settings(**INGRESS)))


def test_http_routes_are_rendered_as_in_the_golden_file() -> None:
    config = settings(**GATEWAY, pathTemplate="/s/{{ .Namespace }}/{{ .Name }}")
    subject = service(router={**ROUTER, "timeoutSeconds": 600})
    check_golden("gatewayapi", made(subject, config=config))


def test_hosts_lead_to_the_ports_that_services_have() -> None:
    rendered = made(service(router=ROUTER), config=settings(**INGRESS))
    assert hosts(rendered) == {
        "chat.default.example.com": ("chat-router", 9000),
        "chat-router.default.example.com": ("chat-router", 9000),
        "chat-engine.default.example.com": ("chat-engine", 8080),
    }
    assert rendered.url == "http://chat.default.example.com"
    assert rendered.address == "http://chat-router.default.svc.cluster.local:9000"
    assert "chat" not in names(rendered, r.SERVICES)


def test_an_engine_alone_is_the_address() -> None:
    rendered = made(config=settings(**INGRESS))
    assert rendered.address == "http://chat-engine.default.svc.cluster.local:8080"
    assert rendered.ingress_objects == ((r.INGRESSES, "chat"),)


def test_a_services_annotations_change_its_addresses() -> None:
    subject = service()
    subject["metadata"]["annotations"] = {
        "ome.io/ingress-domain": "mine.org",
        "ome.io/ingress-domain-template": "{{ .Name }}.{{ .IngressDomain }}",
        "ome.io/ingress-url-scheme": "https",
        "ome.io/ingress-additional-domains": "a.net, b.net ,b.net, not a domain",
    }
    rendered = made(subject, config=settings(**INGRESS))
    assert rendered.url == "https://chat.mine.org"
    assert {"chat.mine.org", "chat.a.net", "chat.b.net"} <= hosts(rendered).keys()
    assert len(hosts(rendered)) == 4
    subject["metadata"]["annotations"] = {"ome.io/ingress-disable-creation": "true"}
    disabled = made(subject, config=settings(**INGRESS))
    assert names(disabled, r.INGRESSES) == []
    assert disabled.url == "http://chat.default.svc.cluster.local:8080"


def test_a_local_service_has_no_route_from_outside() -> None:
    subject = service()
    subject["metadata"]["labels"] = {"networking.knative.dev/visibility": "cluster-local"}
    for config in (settings(**INGRESS), settings(**GATEWAY), settings()):
        rendered = made(subject, config=config)
        assert rendered.url == rendered.address
        assert rendered.url == "http://chat-engine.default.svc.cluster.local:8080"
        assert not rendered.ingress_objects
        assert names(rendered, r.SERVICES) == ["chat-engine"]


def test_every_route_has_a_name_of_its_own_and_a_backend_that_exists() -> None:
    rendered = made(service(router=ROUTER), config=settings(**GATEWAY))
    routes = names(rendered, x.HTTP_ROUTES)
    assert routes == ["chat", "chat-engine", "chat-router"]
    services = set(names(rendered, r.SERVICES))
    for name in routes:
        for rule in child(rendered, x.HTTP_ROUTES, name)["spec"]["rules"]:
            assert {backend["name"] for backend in rule["backendRefs"]} <= services
    top = child(rendered, x.HTTP_ROUTES, "chat")["spec"]
    assert top["parentRefs"][0]["namespace"] == "i"
    assert top["rules"][0]["backendRefs"][0]["port"] == 9000


def test_groups_of_pods_are_routed_to_as_deployments_are() -> None:
    rendered = made(runtime=gpu_runtime(), config=settings(**GATEWAY))
    backend = child(rendered, x.HTTP_ROUTES, "chat")["spec"]["rules"][0]["backendRefs"][0]
    assert backend["name"] == "chat-engine"


def test_a_gateway_without_namespace_is_one_of_the_services_own() -> None:
    rendered = made(config=settings(**{**GATEWAY, "omeIngressGateway": "gw"}))
    parent = child(rendered, x.HTTP_ROUTES, "chat")["spec"]["parentRefs"][0]
    assert parent["name"] == "gw"
    assert "namespace" not in parent
    with pytest.raises(RenderError, match="names no Gateway"):
        made(config=settings(**{**GATEWAY, "omeIngressGateway": ""}))


def test_a_kind_that_is_missing_stops_the_address_and_not_the_engine() -> None:
    bare = Capabilities()
    for config, kind in (
        (settings(**INGRESS), r.INGRESSES),
        (settings(**GATEWAY), x.HTTP_ROUTES),
    ):
        rendered = made(config=config, capabilities=bare)
        assert rendered.ingress_missing == kind
        assert names(rendered, r.DEPLOYMENTS) == ["chat-engine"]
    without = Capabilities(EVERYTHING.kinds - {x.VIRTUAL_SERVICES})
    subject = service(engine={"minReplicas": 0})
    rendered = made(subject, config=settings(**INGRESS), capabilities=without)
    assert rendered.ingress_missing == x.VIRTUAL_SERVICES


def test_a_template_that_gives_no_host_name_is_refused() -> None:
    with pytest.raises(RenderError) as caught:
        made(config=settings(ingressDomain="Not_A_Domain"))
    assert caught.value.code == "InvalidTemplate"


@pytest.mark.parametrize(
    ("kind", "live", "reason"),
    [
        (r.INGRESSES, None, "Creating"),
        (r.INGRESSES, {"spec": {"ingressClassName": "nginx"}}, "NotProgrammed"),
        (r.INGRESSES, {"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}, None),
        (x.HTTP_ROUTES, {"spec": {}}, "ParentStatusNotAvailable"),
        (
            x.HTTP_ROUTES,
            {"status": {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}},
            None,
        ),
        (
            x.HTTP_ROUTES,
            {
                "status": {
                    "parents": [
                        {
                            "conditions": [
                                {"type": "Accepted", "status": "True"},
                                {
                                    "type": "ResolvedRefs",
                                    "status": "False",
                                    "reason": "BackendNotFound",
                                    "message": "no Service",
                                },
                            ]
                        }
                    ]
                }
            },
            "BackendNotFound",
        ),
        (x.VIRTUAL_SERVICES, {}, None),
    ],
)
def test_a_route_counts_only_when_somebody_serves_it(
    kind: Any, live: Object | None, reason: str | None
) -> None:
    found = route_problem(kind, "chat", live)
    assert (found[0] if found else None) == reason
