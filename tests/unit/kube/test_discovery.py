"""Kinds by any of their names, from servers old and new."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.kube.fakeapi import FakeApi, Fault

from ome.apimachinery.objects import Resource
from ome.apimachinery.resources import CONFIG_MAPS, DEPLOYMENTS, PODS
from ome.kube import Client, Discovery, UnknownResource

THINGS = Resource("x.io", "v1", "things", "Thing")
EVENTS_V1 = Resource("events.k8s.io", "v1", "events", "Event")


def aggregated(group: str, version: str, *resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": group} if group else {},
        "versions": [{"version": version, "resources": list(resources)}],
    }


def entry(plural: str, kind: str, *short: str, scope: str = "Namespaced") -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"kind": kind},
        "scope": scope,
        "singularResource": kind.lower(),
        "shortNames": list(short),
        "categories": ["all"] if short else None,
        "verbs": ["get"],
        "subresources": [{"subresource": "status"}],
    }


def legacy(*entries: tuple[str, str, bool, list[str]]) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "resources": [
            {"name": name, "kind": kind, "namespaced": space, "shortNames": short, "verbs": []}
            for name, kind, space, short in entries
        ],
    }


def serve_aggregated(api: FakeApi) -> None:
    core = aggregated(
        "",
        "v1",
        entry("pods", "Pod", "po"),
        entry("events", "Event", "ev"),
        entry("nodes", "Node", "no", scope="Cluster"),
        entry("configmaps", "ConfigMap", "cm"),
    )
    groups = [
        aggregated("apps", "v1", entry("deployments", "Deployment", "deploy")),
        aggregated("events.k8s.io", "v1", entry("events", "Event", "ev")),
        {
            "metadata": {"name": "x.io"},
            "versions": [
                {"version": "v1", "resources": [entry("things", "Thing", "th")]},
                {"version": "v1alpha1", "resources": [entry("things", "Thing", "th")]},
            ],
        },
    ]
    api.documents["/api"] = {"kind": "APIGroupDiscoveryList", "items": [core]}
    api.documents["/apis"] = {"kind": "APIGroupDiscoveryList", "items": groups}


def serve_legacy(api: FakeApi) -> None:
    api.documents["/api"] = {"kind": "APIVersions", "versions": ["v1"]}
    api.documents["/api/v1"] = legacy(
        ("pods", "Pod", True, ["po"]),
        ("pods/status", "Pod", True, []),
        ("events", "Event", True, ["ev"]),
        ("nodes", "Node", False, ["no"]),
        ("configmaps", "ConfigMap", True, ["cm"]),
    )
    api.documents["/apis"] = {
        "kind": "APIGroupList",
        "groups": [
            {"name": "apps", "versions": [{"version": "v1"}]},
            {"name": "down.io", "versions": [{"version": "v1"}]},
            {"name": "events.k8s.io", "versions": [{"version": "v1"}]},
            {
                "name": "x.io",
                "versions": [{"version": "v1alpha1"}, {"version": "v1"}],
                "preferredVersion": {"version": "v1"},
            },
        ],
    }
    api.documents["/apis/apps/v1"] = legacy(("deployments", "Deployment", True, ["deploy"]))
    api.documents["/apis/events.k8s.io/v1"] = legacy(("events", "Event", True, ["ev"]))
    for version in ("v1", "v1alpha1"):
        api.documents[f"/apis/x.io/{version}"] = legacy(("things", "Thing", True, ["th"]))
    api.fail(Fault(path="/apis/down.io", status=503, times=99))


@pytest.fixture(params=[serve_aggregated, serve_legacy])
async def discovery(request: pytest.FixtureRequest, api: FakeApi) -> Discovery:
    request.param(api)
    async with Client(api.url, attempts=1) as client:
        return await client.discover()


@pytest.mark.parametrize("name", ["pods", "pod", "Pod", "po", "PODS"])
def test_a_kind_answers_to_all_its_names(discovery: Discovery, name: str) -> None:
    assert discovery.resource_for(name) == PODS


def test_groups_tell_kinds_apart(discovery: Discovery) -> None:
    assert discovery.resource_for("events").group == ""
    assert discovery.resource_for("events", "events.k8s.io") == EVENTS_V1
    assert discovery.resource_for("events.events.k8s.io") == EVENTS_V1
    assert discovery.resource_for("ev.v1.events.k8s.io") == EVENTS_V1
    assert discovery.resource_for("deploy.apps") == DEPLOYMENTS
    assert discovery.resource_for("th") == THINGS
    assert discovery.resource_for("things.v1alpha1.x.io").version == "v1alpha1"
    assert discovery.resource_for("nodes").namespaced is False


def test_what_is_served_can_be_asked(discovery: Discovery) -> None:
    assert discovery.has(CONFIG_MAPS)
    assert not discovery.has(Resource("x.io", "v2", "things", "Thing"))
    assert discovery.for_object("x.io/v1alpha1", "Thing").version == "v1alpha1"
    assert discovery.find("pods").subresources == ("status",)
    with pytest.raises(UnknownResource, match="no kind Other in v1"):
        discovery.for_object("v1", "Other")


def test_an_unknown_name_brings_suggestions(discovery: Discovery) -> None:
    with pytest.raises(UnknownResource, match="no kind 'deployment5': did you mean deployments"):
        discovery.resource_for("deployment5")
    with pytest.raises(UnknownResource, match=r"no kind 'pods' in x\.io$"):
        discovery.resource_for("pods", "x.io")


async def test_it_is_read_once_and_again_on_demand(api: FakeApi, client: Client) -> None:
    serve_aggregated(api)
    first = await client.discover()
    assert await client.discover() is first
    assert len(api.requests) == 2
    assert "APIGroupDiscoveryList" in api.requests[0].headers["Accept"]
    assert await client.discover(refresh=True) is not first
    assert first.in_category("all")[0] == PODS
