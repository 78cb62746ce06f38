"""Events reach the server, once and counted, and never hurt who reports them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.kube.fakeapi import FakeApi, Fault

from ome.kube import Client, Events

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "a", "uid": "u1", "resourceVersion": "7"},
}


def written(api: FakeApi) -> list[dict[str, Any]]:
    return [obj for (collection, *_), obj in api.objects.items() if collection.endswith("/events")]


async def test_an_event_says_what_about_whom(api: FakeApi, client: Client) -> None:
    events = Events(client, "ome-test")
    events.warning(POD, "Broken", "it fell")
    await events.flush()
    (event,) = written(api)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "namespace": "a",
        "uid": "u1",
        "resourceVersion": "7",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Broken", "it fell")
    assert event["count"] == 1
    assert event["source"] == {"component": "ome-test"}
    assert event["metadata"]["namespace"] == "a"
    assert event["firstTimestamp"].endswith("Z")


async def test_the_same_again_is_counted(api: FakeApi, client: Client) -> None:
    events = Events(client)
    events.normal(POD, "Started", "up")
    events.normal(POD, "Started", "up")
    await events.flush()
    events.normal(POD, "Started", "up")
    await events.flush()
    events.normal(POD, "Started", "up again")
    await events.flush()
    assert sorted((e["message"], e["count"]) for e in written(api)) == [("up", 3), ("up again", 1)]


async def test_an_event_that_expired_is_written_anew(api: FakeApi, client: Client) -> None:
    events = Events(client)
    events.normal(POD, "Started", "up")
    await events.flush()
    ((collection, namespace, name),) = api.objects
    await api.drop(collection, namespace, name)
    events.normal(POD, "Started", "up")
    await events.flush()
    assert [e["count"] for e in written(api)] == [1]


async def test_after_the_window_it_is_a_new_event(api: FakeApi, client: Client) -> None:
    events = Events(client, window=0)
    for _ in range(2):
        events.normal(POD, "Started", "up")
        await events.flush()
    assert [e["count"] for e in written(api)] == [1, 1]


async def test_an_object_can_not_flood_and_does_not_silence_others(
    api: FakeApi, client: Client
) -> None:
    events = Events(client, burst=3)
    for number in range(10):
        events.normal(POD, "Started", str(number))
    other = {**POD, "metadata": {**POD["metadata"], "name": "q"}}  # type: ignore[dict-item]
    events.normal(other, "Started", "up")
    await events.flush()
    assert len(written(api)) == 4
    assert events.dropped == 7


async def test_cluster_scoped_objects_have_their_events_in_default(
    api: FakeApi, client: Client
) -> None:
    events = Events(client)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    events.normal(node, "Ready", "up")
    await events.flush()
    assert written(api)[0]["metadata"]["namespace"] == "default"


async def test_nothing_that_goes_wrong_reaches_the_caller(
    api: FakeApi, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    events = Events(client)
    events.normal({"metadata": None}, "Odd", "no kind at all")
    assert "could not be reported" in caplog.text
    api.fail(Fault(method="POST", status=422))
    events.normal(POD, "One", "lost")
    api.fail(Fault(method="POST", status=403))
    events.normal(POD, "Two", "not allowed")
    events.normal(POD, "Three", "x" * 5000)
    await events.flush()
    (event,) = written(api)
    assert event["reason"] == "Three"
    assert len(event["message"]) == 1024


async def test_what_a_server_fails_on_is_written_later_and_once(
    api: FakeApi, client: Client
) -> None:
    events = Events(client)
    api.fail(Fault(method="POST", status=500))
    api.fail(Fault(method="POST", reset_after_work=True))
    events.normal(POD, "One", "done")
    await events.flush()
    assert [event["reason"] for event in written(api)] == ["One"]
    api.fail(Fault(method="POST", status=500, times=100))
    events.normal(POD, "Two", "never")
    await events.flush()
    assert [event["reason"] for event in written(api)] == ["One"]
    assert events.dropped == 1


async def test_what_happens_while_the_server_is_away_is_told_when_it_is_back(
    client: Client, api: FakeApi
) -> None:
    await api.stop()
    events = Events(client)
    for number in range(3):
        events.normal(POD, "Started", str(number))
    await asyncio.sleep(1.5)  # longer than the client itself tries
    events.normal(POD, "Started", "0")
    back = await FakeApi().start(port=api.port)
    try:
        await events.flush()
        assert {e["message"]: e["count"] for e in written(back)} == {"0": 2, "1": 1, "2": 1}
        assert events.dropped == 0
    finally:
        await back.stop()


async def test_closing_does_not_wait_for_ever(api: FakeApi, client: Client) -> None:
    events = Events(client)
    await events.close()
    api.fail(Fault(method="POST", delay=30))
    events.normal(POD, "Slow", "server")
    await events.close(timeout=0.05)
