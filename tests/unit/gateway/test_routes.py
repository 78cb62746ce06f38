from __future__ import annotations

from tests.unit.gateway.objects import service, slices

from ome.standalone.gateway.balance import COOL_SECONDS, Balancer
from ome.standalone.gateway.routes import Endpoint, RouteTable, read_endpoints


def table(*services: dict, endpoint_slices: list[dict] | None = None) -> RouteTable:
    routes = RouteTable()
    for obj in services:
        routes.put_service(obj)
    for obj in endpoint_slices or ():
        routes.put_slice(obj)
    return routes


def found(routes: RouteTable, model: str) -> str | None:
    hit = routes.find(model)
    return None if hit is None else f"{hit.namespace}/{hit.name}"


def test_ids_are_short_in_default_and_full_elsewhere() -> None:
    routes = table(service("a"), service("b", "team"))
    assert [s.id for s in routes.listed()] == ["a", "team/b"]
    assert found(routes, "a") == found(routes, "default/a") == "default/a"
    assert found(routes, "team/b") == "team/b"
    assert found(routes, "b") is None


def test_the_models_name_is_an_alias_only_while_it_is_unique() -> None:
    routes = table(service("a", model="org/llama"))
    assert found(routes, "org/llama") == "default/a"
    routes.put_service(service("b", model="org/llama"))
    assert found(routes, "org/llama") is None


def test_a_services_id_wins_over_a_models_name() -> None:
    routes = table(service("llama", model="other"), service("b", model="llama"))
    assert found(routes, "llama") == "default/llama"


def test_a_deleted_or_deleting_service_is_gone() -> None:
    obj = service("a")
    routes = table(obj)
    obj["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    routes.put_service(obj)
    assert found(routes, "a") is None


def test_requests_go_to_the_router_where_the_service_has_one() -> None:
    routes = table(
        service("a", router=True),
        endpoint_slices=slices("a-engine", ("127.0.0.2", 80, {}))
        + slices("a-router", ("127.0.0.3", 80, {})),
    )
    hit = routes.find("a")
    assert hit is not None
    assert [e.address for e in routes.endpoints(hit)] == ["127.0.0.3"]


def test_only_ready_replicas_that_do_not_terminate_take_requests() -> None:
    given = slices(
        "a-engine",
        ("127.0.0.2", 80, {"ready": True}),
        ("127.0.0.3", 80, {"ready": False}),
        ("127.0.0.4", 80, {"ready": True, "terminating": True}),
        ("127.0.0.5", 80, {}),
    )
    routes = table(service("a"), endpoint_slices=given)
    hit = routes.find("a")
    assert hit is not None
    assert [e.address for e in routes.endpoints(hit)] == ["127.0.0.2", "127.0.0.5"]
    for obj in given:
        routes.drop_slice(obj)
    assert routes.endpoints(hit) == []
    assert routes.all_endpoints() == set()


def test_the_port_named_for_http_is_preferred() -> None:
    obj = slices("a", ("::1", 9, {}))[0]
    obj["ports"] = [{"name": "metrics", "port": 9}, {"name": "http1", "port": 8080}]
    assert [e.url for e in read_endpoints(obj)] == ["http://[::1]:8080"]
    obj["ports"] = []
    assert list(read_endpoints(obj)) == []


def test_the_replica_with_the_fewest_requests_is_picked_and_ties_go_round() -> None:
    a, b = Endpoint("127.0.0.2", 80), Endpoint("127.0.0.3", 80)
    balancer = Balancer(lambda: 0.0)
    order = []
    for _ in range(4):
        picked = balancer.pick([a, b], ())
        assert picked is not None
        with balancer.using(picked):
            order.append(picked)
    assert order == [a, b, a, b]
    with balancer.using(a), balancer.using(a), balancer.using(b):
        assert balancer.pick([a, b], ()) == b
    assert balancer.in_flight() == {}
    assert balancer.pick([a, b], [a, b]) is None


def test_a_failed_replica_comes_last_until_it_has_cooled() -> None:
    now = 0.0
    a, b = Endpoint("127.0.0.2", 80), Endpoint("127.0.0.3", 80)
    balancer = Balancer(lambda: now)
    balancer.failed(a)
    with balancer.using(b):
        assert balancer.pick([a, b], ()) == b
        assert balancer.pick([a], ()) == a
        now = COOL_SECONDS
        assert balancer.pick([a, b], ()) == a
    balancer.failed(a)
    balancer.forget_all_but([b])
    with balancer.using(b):
        assert balancer.pick([a, b], ()) == a
