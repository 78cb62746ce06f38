"""The operator's ConfigMap at work: changes count at once; typos are told, and stop nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.objects import model, runtime, service

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import condition

NAME = "inferenceservice-config"
ON_PATHS = {"pathTemplate": "/on/{{ .Name }}", "disableIngressCreation": True}
Object = dict[str, Any]


@pytest.fixture
async def home() -> AsyncIterator[Home]:
    async with running_home(probe=False) as found:
        yield found


async def serve(home: Home) -> Object:
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    return await home.until_condition("chat", "Ready", "True")


async def configure(home: Home, **sections: str | None) -> None:
    await home.client.patch(r.CONFIG_MAPS, NAME, {"data": sections}, namespace="ome")


async def told(home: Home, type_: str, words: str, name: str = NAME) -> Object:
    """The event about the ConfigMap that says so."""

    async def look() -> Object | None:
        for event in (await home.client.list(r.EVENTS, "ome")).items:
            about = event["involvedObject"]
            assert (about["kind"], about["name"]) == ("ConfigMap", name), event
            if event["type"] == type_ and words in event["message"]:
                return event
        return None

    found: Object = await home.until(f"a {type_} event with {words!r}", look)
    return found


async def with_url(home: Home, start: str) -> Object:
    async def look() -> Object | None:
        live = await home.service("chat")
        return live if str((live.get("status") or {}).get("url")).startswith(start) else None

    found: Object = await home.until(f"chat is at {start}", look)
    return found


async def test_a_change_takes_effect_without_a_restart(home: Home) -> None:
    await home.start_operator()
    await serve(home)
    section = {"ingressDomain": "new.example", "urlScheme": "https", **ON_PATHS}
    await configure(home, ingress=json.dumps(section))
    live = await with_url(home, "https://new.example/on/chat")
    assert condition(live, "Ready")["status"] == "True"  # type: ignore[index]


async def test_a_broken_value_keeps_the_last_good_one_and_says_so(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    await home.start_operator()
    before = (await serve(home))["status"]["url"]
    with caplog.at_level(logging.WARNING, "ome.controllers.configuration"):
        await configure(home, ingress="{", rollout='{"servicesAtOnce": "many"}')
        event = await told(home, "Warning", "data[ingress]: is not JSON")
        await told(home, "Warning", "rollout")
    assert event["reason"] == "ConfigurationProblem"
    assert "write one JSON object" in event["message"]
    assert "data[ingress]: is not JSON" in caplog.text
    # A new service gets its address from what was good.
    await home.apply(service("other"))
    await home.until_condition("other", "Ready", "True")
    other = (await home.service("other"))["status"]["url"]
    assert other == before.replace("/chat", "/other")
    assert (await home.service("chat"))["status"]["url"] == before
    # Corrected, it counts, and that is said too.
    await configure(home, ingress='{"ingressDomain": "right.example"}', rollout=None)
    await with_url(home, "http://chat.default.right.example")
    await told(home, "Normal", "counts again")


async def test_one_section_that_is_broken_does_not_hold_up_the_others(home: Home) -> None:
    await home.start_operator()
    await serve(home)
    section = {"ingressDomain": "both.example", **ON_PATHS}
    await configure(
        home, kedaConfig='{"scalingOperator": "Sometimes"}', ingress=json.dumps(section)
    )
    await with_url(home, "http://both.example/on/chat")
    await told(home, "Warning", "write one of")


async def test_without_the_config_map_the_defaults_count(home: Home) -> None:
    await home.client.delete(r.CONFIG_MAPS, NAME, "ome")
    await home.start_operator()
    await told(home, "Warning", "there is no such ConfigMap; the defaults count")
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    live = await with_url(home, "http://chat.default.example.com")
    assert live["status"]["observedGeneration"] == 1
    # It comes: it counts.
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": "ome"},
        "data": {"ingress": '{"ingressDomain": "late.example"}'},
    }
    await home.client.create(r.CONFIG_MAPS, made)
    await with_url(home, "http://chat.default.late.example")


async def test_when_it_goes_what_it_said_last_counts(home: Home) -> None:
    await home.start_operator()
    before = (await serve(home))["status"]["url"]
    deployment = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    await home.client.delete(r.CONFIG_MAPS, NAME, "ome")
    await told(home, "Warning", "there is no such ConfigMap; what it said last counts")
    await home.apply(service("other"))
    await home.until_condition("other", "Ready", "True")
    assert (await home.service("other"))["status"]["url"] == before.replace("/chat", "/other")
    assert (await home.service("chat"))["status"]["url"] == before
    after = await home.client.get(r.DEPLOYMENTS, "chat-engine", "default")
    assert after["metadata"]["uid"] == deployment["metadata"]["uid"]
    assert after["spec"] == deployment["spec"]


async def test_what_can_not_be_read_at_the_start_is_told_and_the_defaults_count(home: Home) -> None:
    await configure(home, ingress="nonsense", deploy='{"defaultDeploymentMode": "Fast"}')
    await home.start_operator()
    await told(home, "Warning", "data[ingress]: is not JSON")
    await told(home, "Warning", "defaultDeploymentMode")
    await home.apply(model(), runtime(), service())
    await home.report("tiny", "Ready")
    await with_url(home, "http://chat.default.example.com")


async def test_a_new_leader_tells_what_is_still_wrong(home: Home) -> None:
    await configure(home, deploy="[]")
    await home.start_operator()
    await told(home, "Warning", "must be a JSON object")
    await home.stop_operator()
    for event in (await home.client.list(r.EVENTS, "ome")).items:
        await home.client.delete(r.EVENTS, event["metadata"]["name"], "ome")
    await home.start_operator()
    await told(home, "Warning", "must be a JSON object")
    assert (await home.client.list(o.INFERENCE_SERVICES)).items == []


async def test_what_is_wrong_with_the_benchmarks_settings_is_told_too(home: Home) -> None:
    name = "benchmarkjob-config"
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "ome"},
        "data": {"benchmarkjob": '{"podConfig": {"image": "bench:1", "cpuLimit": "much"}}'},
    }
    await home.client.create(r.CONFIG_MAPS, made)
    await home.start_operator()
    event = await told(home, "Warning", "cpuLimit", name)
    assert "write for example" in event["message"]
    good = {"data": {"benchmarkjob": '{"podConfig": {"image": "bench:2"}}'}}
    await home.client.patch(r.CONFIG_MAPS, name, good, namespace="ome")
    await told(home, "Normal", "counts again", name)
    await home.client.delete(r.CONFIG_MAPS, name, "ome")
    operator = home.operator
    assert operator is not None

    async def gone() -> bool:
        return not operator.benchmark_caches.informers()[-1].keys()

    await home.until("the operator has heard that it is gone", gone)
    assert operator.benchmark_caches.settings.benchmarkjob.pod_config.image == "bench:2"
