"""Knative Services: what they are made of, canaries, revisions in the status."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.fakes.objects import service
from tests.unit.rendering.modes import (
    EVERYTHING,
    GATEWAYS,
    check_golden,
    child,
    live,
    made,
    names,
    settings,
)

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.rendering import Capabilities, Rendered, RenderError
from ome.rendering.serverless import revisions

Object = dict[str, Any]
ENGINE = {"minReplicas": 0, "maxReplicas": 5, "scaleMetric": "concurrency", "scaleTarget": 10}
ISTIO = settings(**GATEWAYS, ingressDomain="example.com")


def knative(rendered: Rendered) -> Object:
    return child(rendered, x.KNATIVE_SERVICES, "chat-engine")


def _up(subject: Object, **more: Any) -> Any:
    status = {"url": "http://chat-engine.default.example.com"}
    first = made(subject, **more)
    return live(first, status={x.KNATIVE_SERVICES: status})


def test_a_serverless_service_is_rendered_as_in_the_golden_file() -> None:
    subject = service(engine={**ENGINE, "timeoutSeconds": 90, "containerConcurrency": 4})
    subject["metadata"]["annotations"] = {"serving.knative.dev/rollout-duration": "60s"}
    observed = _up(subject, config=ISTIO)
    check_golden("serverless", made(subject, config=ISTIO, observed=observed))


def test_zero_replicas_are_serverless_with_knative_and_a_deployment_without() -> None:
    subject = service(engine={"minReplicas": 0})
    assert made(subject).components["engine"].mode == "Serverless"
    without = Capabilities(EVERYTHING.kinds - {x.KNATIVE_SERVICES})
    assert made(subject, capabilities=without).components["engine"].mode == "RawDeployment"


@pytest.mark.parametrize("where", ["engine", "service"])
def test_a_service_that_names_the_mode_gets_it_or_hears_why_not(where: str) -> None:
    annotation = {"ome.io/deploymentMode": "Serverless"}
    subject = service(engine={"annotations": annotation} if where == "engine" else {})
    if where == "service":
        subject["metadata"]["annotations"] = annotation
    assert made(subject).components["engine"].mode == "Serverless"
    without = Capabilities(EVERYTHING.kinds - {x.KNATIVE_SERVICES})
    with pytest.raises(RenderError) as caught:
        made(subject, capabilities=without)
    assert caught.value.code == "MissingKind"
    assert "knative.dev" in caught.value.fix


def test_no_autoscaler_and_no_service_are_made_beside_it() -> None:
    rendered = made(service(engine=ENGINE))
    assert {c.resource for c in rendered.children} == {r.CONFIG_MAPS, x.KNATIVE_SERVICES}
    annotations = knative(rendered)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/min-scale"] == "0"
    assert annotations["autoscaling.knative.dev/max-scale"] == "5"


def test_what_scales_a_revision_makes_a_new_one() -> None:
    first = made(service(engine=ENGINE))
    more = made(service(engine={**ENGINE, "maxReplicas": 9}), observed=live(first))
    annotations = knative(more)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/max-scale"] == "9"


def test_a_canary_shares_with_the_revision_that_had_everything() -> None:
    subject = service(engine={**ENGINE, "canaryTrafficPercent": 20})
    assert knative(made(subject))["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    subject["status"] = {"components": {"engine": {"latestRolledoutRevision": "chat-engine-1"}}}
    latest, previous = knative(made(subject))["spec"]["traffic"]
    assert latest == {"latestRevision": True, "percent": 20}
    assert previous["revisionName"] == "chat-engine-1"
    assert (previous["percent"], previous["tag"]) == (80, "prev")
    subject["metadata"]["annotations"] = {"ome.io/enable-tag-routing": "true"}
    assert knative(made(subject))["spec"]["traffic"][0]["tag"] == "latest"


def test_revisions_are_rolled_out_shared_and_rolled_back() -> None:
    def status(ready: str, created: str, **shares: int) -> Object:
        traffic = [{"revisionName": name, "percent": share} for name, share in shares.items()]
        return {
            "status": {
                "latestReadyRevisionName": ready,
                "latestCreatedRevisionName": created,
                "traffic": traffic,
            }
        }

    one = revisions(status("r1", "r1", r1=100), {})
    assert one["latestRolledoutRevision"] == "r1"
    shared = revisions(status("r2", "r2", r1=80, r2=20), one)
    assert shared["latestRolledoutRevision"] == "r1"
    two = revisions(status("r2", "r2", r2=100), shared)
    assert two["latestRolledoutRevision"] == "r2"
    assert two["previousRolledoutRevision"] == "r1"
    back = revisions(status("r2", "r2", r1=100, r2=0), two)
    assert back["latestRolledoutRevision"] == "r1"
    assert revisions(None, back)["latestRolledoutRevision"] == "r1"


def test_the_services_host_is_knatives_without_the_component() -> None:
    subject = service(engine=ENGINE)
    rendered = made(subject, config=ISTIO, observed=_up(subject, config=ISTIO))
    assert rendered.url == "http://chat.default.example.com"
    assert rendered.address == "http://chat.default.svc.cluster.local"
    virtual = child(rendered, x.VIRTUAL_SERVICES, "chat")
    (route,) = virtual["spec"]["http"]
    destination = route["route"][0]["destination"]
    assert destination["port"]["number"] == 80
    headers = route["headers"]["request"]["set"]
    assert headers["Host"] == "chat-engine.default.svc.cluster.local"
    alias = child(rendered, r.SERVICES, "chat")
    assert alias["spec"]["type"] == "ExternalName"
    again = made(
        subject,
        config=ISTIO,
        observed=live(
            rendered,
            status={x.KNATIVE_SERVICES: {"url": "http://chat-engine.default.example.com"}},
        ),
    )
    assert [c.object for c in again.children] == [c.object for c in rendered.children]


def test_before_knative_gives_an_address_there_is_none() -> None:
    rendered = made(service(engine=ENGINE), config=ISTIO)
    assert rendered.url == ""
    assert names(rendered, x.VIRTUAL_SERVICES) == []


def test_a_local_service_gets_no_outer_gateway() -> None:
    subject = service(engine=ENGINE)
    subject["metadata"]["labels"] = {"networking.knative.dev/visibility": "cluster-local"}
    rendered = made(subject, config=ISTIO, observed=_up(subject, config=ISTIO))
    virtual = child(rendered, x.VIRTUAL_SERVICES, "chat")
    assert virtual["spec"]["gateways"] == ["knative-serving/knative-local-gateway", "mesh"]
    assert rendered.url == rendered.address
    template = knative(rendered)["spec"]["template"]["metadata"]["labels"]
    assert "networking.knative.dev/visibility" not in template


def test_a_path_is_cut_off_before_the_engine_sees_it() -> None:
    config = settings(
        **GATEWAYS, ingressDomain="example.com", pathTemplate="/s/{{ .Namespace }}/{{ .Name }}"
    )
    subject = service(engine=ENGINE)
    rendered = made(subject, config=config, observed=_up(subject, config=config))
    assert rendered.url == "http://example.com/s/default/chat"
    first = child(rendered, x.VIRTUAL_SERVICES, "chat")["spec"]["http"][0]
    assert first["rewrite"] == {"uri": "/"}
    assert [next(iter(m["uri"].values())) for m in first["match"]] == [
        "/s/default/chat/",
        "/s/default/chat",
    ]


def test_where_nothing_is_put_in_front_knatives_own_address_is_the_address() -> None:
    subject = service(engine=ENGINE)
    observed = copy.deepcopy(_up(subject))
    rendered = made(subject, observed=observed)
    assert rendered.url == "http://chat-engine.default.example.com"
    assert rendered.address == "http://chat-engine.default.svc.cluster.local"
    assert names(rendered, r.SERVICES) == []
