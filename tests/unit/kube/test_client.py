"""Verbs, retries, errors, lists in pages, watches, streams."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.unit.kube.fakeapi import FakeApi, Fault
from tests.unit.kube.waiting import Start, until

from ome.apimachinery.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    InternalError,
    NotFound,
    StatusError,
    TooManyRequests,
    Unauthorized,
)
from ome.apimachinery.resources import CONFIG_MAPS, NODES, PODS
from ome.kube import Client, PatchType, Unreachable

MAPS = "/api/v1/configmaps"


def config_map(name: str, namespace: str = "a", **data: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


async def test_an_object_goes_through_all_verbs(api: FakeApi, client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("x", k="1"))
    assert made["metadata"]["resourceVersion"]
    made["data"] = {"k": "2"}
    made = await client.update(CONFIG_MAPS, made)
    made = await client.patch(CONFIG_MAPS, "x", {"data": {"l": "3"}}, namespace="a")
    assert (await client.get(CONFIG_MAPS, "x", "a"))["data"] == {"k": "2", "l": "3"}
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, config_map("x"))
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "x", "a", uid="another")
    await client.delete(CONFIG_MAPS, "x", "a", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "x", "a")


async def test_update_with_an_old_version_is_a_conflict(api: FakeApi, client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("x"))
    await client.update(CONFIG_MAPS, made)
    with pytest.raises(Conflict):
        await client.update(CONFIG_MAPS, made)


async def test_apply_says_who_forces_and_leaves_managed_fields_out(
    api: FakeApi, client: Client
) -> None:
    obj = config_map("x", k="1")
    obj["metadata"] = {"name": "x", "namespace": "a", "managedFields": [{}]}
    await client.apply(CONFIG_MAPS, obj, field_manager="me", dry_run=True)
    seen = api.requests[-1]
    assert seen.method == "PATCH"
    assert seen.query == {"fieldManager": "me", "force": "true", "dryRun": "All"}
    assert seen.headers["Content-Type"] == "application/apply-patch+yaml"
    assert "managedFields" not in json.loads(seen.body)["metadata"]


async def test_each_patch_type_has_its_content_type(api: FakeApi, client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("x"))
    for type_ in (PatchType.MERGE, PatchType.STRATEGIC):
        await client.patch(CONFIG_MAPS, "x", {}, namespace="a", type=type_, subresource="status")
        assert api.requests[-1].headers["Content-Type"] == type_.value
        assert api.requests[-1].path.endswith("/x/status")


async def test_a_delete_carries_its_options(api: FakeApi, client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("x"))
    await client.delete(CONFIG_MAPS, "x", "a", propagation="Foreground", grace_period_seconds=0)
    assert json.loads(api.requests[-1].body) == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
    }


async def test_a_namespaced_object_without_namespace_is_a_mistake(client: Client) -> None:
    with pytest.raises(ValueError, match="needs a namespace"):
        await client.get(PODS, "x")
    with pytest.raises(ValueError, match="needs a name"):
        await client.get(NODES, "")


async def test_names_can_not_leave_their_place_in_the_path(api: FakeApi, client: Client) -> None:
    with pytest.raises(NotFound):
        await client.get(NODES, "a/../b?x")
    assert "a%2F..%2Fb%3Fx" in str(api.requests[-1].path) or api.requests[-1].path.endswith(
        "/nodes/a/../b?x"
    )


# -- retries and errors -----------------------------------------------------------------------


async def test_a_cut_get_is_sent_again(api: FakeApi, client: Client) -> None:
    await api.put(MAPS, config_map("x"))
    api.fail(Fault(reset=True, times=2))
    assert (await client.get(CONFIG_MAPS, "x", "a"))["kind"] == "ConfigMap"
    assert len(api.requests) == 3


async def test_a_cut_create_is_not_sent_again(api: FakeApi, client: Client) -> None:
    api.fail(Fault(method="POST", reset_after_work=True))
    with pytest.raises(Unreachable) as caught:
        await client.create(CONFIG_MAPS, config_map("x"))
    assert caught.value.maybe_done
    assert len(api.requests) == 1


async def test_a_delete_that_worked_before_the_cut_is_a_success(
    api: FakeApi, client: Client
) -> None:
    await api.put(MAPS, config_map("x"))
    api.fail(Fault(method="DELETE", reset_after_work=True))
    await client.delete(CONFIG_MAPS, "x", "a")
    assert len(api.sent("DELETE")) == 2


async def test_server_errors_of_idempotent_requests_are_retried(
    api: FakeApi, client: Client
) -> None:
    await api.put(MAPS, config_map("x"))
    api.fail(Fault(method="PATCH", status=500))
    api.fail(Fault(method="PATCH", status=503))
    await client.patch(CONFIG_MAPS, "x", {"data": {"a": "b"}}, namespace="a")
    assert len(api.sent("PATCH")) == 3


async def test_a_json_patch_is_not_sent_again_after_an_error(api: FakeApi, client: Client) -> None:
    await api.put(MAPS, config_map("x"))
    api.fail(Fault(method="PATCH", status=500))
    with pytest.raises(InternalError):
        await client.patch(CONFIG_MAPS, "x", [], namespace="a", type=PatchType.JSON)
    assert len(api.requests) == 1


async def test_retries_end(api: FakeApi) -> None:
    async with Client(api.url, attempts=2) as client:
        api.fail(Fault(status=500, times=9))
        with pytest.raises(InternalError):
            await client.get(NODES, "x")
    assert len(api.requests) == 2


async def test_retry_after_is_honoured_for_every_method(api: FakeApi, client: Client) -> None:
    api.fail(Fault(status=429, headers={"Retry-After": "1"}))
    begin = time.monotonic()
    await client.create(CONFIG_MAPS, config_map("x"))
    assert time.monotonic() - begin >= 1.0
    assert len(api.requests) == 2


async def test_retry_after_reaches_the_caller_in_the_end(api: FakeApi) -> None:
    async with Client(api.url, attempts=1) as client:
        api.fail(Fault(status=429, headers={"Retry-After": "7"}))
        with pytest.raises(TooManyRequests) as caught:
            await client.get(NODES, "x")
    assert caught.value.retry_after == 7


async def test_a_web_page_is_no_kubernetes_answer(api: FakeApi, client: Client) -> None:
    api.fail(Fault(status=200, body=b"<html>log in</html>"))
    with pytest.raises(Unreachable, match="not what the Kubernetes API gives"):
        await client.get(NODES, "x")


async def test_an_error_that_a_proxy_wrote_is_shown(api: FakeApi) -> None:
    async with Client(api.url, attempts=1) as client:
        api.fail(Fault(status=502, body=b"<h1>Bad gateway</h1>"))
        with pytest.raises(StatusError, match="answered 502: <h1>Bad gateway") as caught:
            await client.get(NODES, "x")
    assert caught.value.code == 502


async def test_nobody_listening_is_said_with_a_remedy(api: FakeApi) -> None:
    await api.stop()
    async with Client(api.url, attempts=2) as client:
        with pytest.raises(Unreachable, match="Nothing listens there") as caught:
            await client.get(NODES, "x")
    assert not caught.value.maybe_done
    async with Client.unix("/nonexistent/api.sock", attempts=1) as client:
        with pytest.raises(Unreachable, match=r"unix:///nonexistent/api\.sock.*Nothing listens"):
            await client.get(NODES, "x")


async def test_a_server_that_starts_late_is_waited_for(api: FakeApi) -> None:
    port = api.port
    await api.stop()
    async with Client(f"http://127.0.0.1:{port}") as client:
        creating = asyncio.create_task(client.create(CONFIG_MAPS, config_map("x")))
        await asyncio.sleep(0)
        async with await FakeApi().start(port=port):
            assert (await creating)["metadata"]["uid"]


async def test_a_slow_answer_times_out(api: FakeApi) -> None:
    async with Client(api.url, timeout=0.1, attempts=1) as client:
        api.fail(Fault(delay=2))
        with pytest.raises(Unreachable, match="too long"):
            await client.get(NODES, "x")


async def test_a_refused_token_without_remedy_is_an_error(api: FakeApi, client: Client) -> None:
    api.tokens = {"right"}
    with pytest.raises(Unauthorized):
        await client.get(NODES, "x")
    assert len(api.requests) == 1
    async with Client(api.url, token="right") as trusted:
        assert (await trusted.list(NODES)).items == []


async def test_requests_are_observed(api: FakeApi, client: Client) -> None:
    seen: list[tuple[str, str, int]] = []
    client.observer = lambda verb, resource, code, seconds: seen.append((verb, resource, code))
    await client.apply(CONFIG_MAPS, config_map("x"))
    await client.list(CONFIG_MAPS)
    with pytest.raises(NotFound):
        await client.get(NODES, "x")
    assert seen == [
        ("apply", "configmaps", 200),
        ("list", "configmaps", 200),
        ("get", "nodes", 404),
    ]


async def test_warnings_of_the_server_are_passed_on(api: FakeApi, client: Client) -> None:
    heard: list[str] = []
    client.on_warning = heard.append
    api.fail(Fault(status=200, body=b"{}", headers={"Warning": '299 - "spec.x is \\"old\\""'}))
    await client.get(NODES, "x")
    assert heard == ['spec.x is "old"']


async def test_a_unix_socket_serves_as_well(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    async with await FakeApi().start(unix=path), Client.unix(path) as client:
        await client.create(CONFIG_MAPS, config_map("x"))
        assert len((await client.list(CONFIG_MAPS)).items) == 1


async def test_a_closed_client_can_be_used_again(api: FakeApi, client: Client) -> None:
    await client.list(NODES)
    await client.close()
    assert (await client.list(NODES)).items == []


# -- lists ------------------------------------------------------------------------------------


async def test_a_list_is_read_in_pages_and_items_know_their_kind(
    api: FakeApi, client: Client
) -> None:
    for number in range(1203):
        await api.put(MAPS, config_map(f"m{number:04}"))
    listed = await client.list(CONFIG_MAPS)
    assert [o["metadata"]["name"] for o in listed.items] == [f"m{n:04}" for n in range(1203)]
    assert listed.resource_version == str(api.version)
    assert [seen.query.get("limit") for seen in api.requests] == ["500"] * 3
    assert listed.items[0]["kind"] == "ConfigMap"
    assert listed.items[0]["apiVersion"] == "v1"


async def test_a_list_starts_over_when_a_page_has_expired(api: FakeApi, client: Client) -> None:
    for number in range(1001):
        await api.put(MAPS, config_map(f"m{number:04}"))
    api.fail(Fault(paged=True, status=410))
    names = [o["metadata"]["name"] for o in (await client.list(CONFIG_MAPS)).items]
    assert names == [f"m{n:04}" for n in range(1001)]


async def test_pages_that_expire_again_and_again_end_in_one_page(
    api: FakeApi, client: Client
) -> None:
    for number in range(501):
        await api.put(MAPS, config_map(f"m{number:04}"))
    api.fail(Fault(paged=True, status=410, times=99))
    assert len((await client.list(CONFIG_MAPS)).items) == 501
    assert "limit" not in api.requests[-1].query


async def test_selectors_and_namespace_are_sent(api: FakeApi, client: Client) -> None:
    await client.list(
        CONFIG_MAPS, "a", label_selector="x in (a,b),!c", field_selector="metadata.name=y"
    )
    assert api.requests[-1].path == "/api/v1/namespaces/a/configmaps"
    assert api.requests[-1].query["labelSelector"] == "x in (a,b),!c"
    assert api.requests[-1].query["fieldSelector"] == "metadata.name=y"


# -- watches and streams ----------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1, 7, 4096])
async def test_watch_events_survive_any_chunking(client: Client, api: FakeApi, chunk: int) -> None:
    api.chunk = chunk
    await api.put(MAPS, config_map("small"))
    big = config_map("big", value="ä\\n" * (2_000 if chunk == 1 else 200_000))
    await api.put(MAPS, big)
    seen = []
    watch = client.watch(CONFIG_MAPS, resource_version="100")
    async with aclosing(watch):
        async for event in watch:
            seen.append(event)
            if len(seen) == 2:
                break
    assert [(e.type, e.object["metadata"]["name"]) for e in seen] == [
        ("ADDED", "small"),
        ("ADDED", "big"),
    ]
    assert seen[1].object["data"] == big["data"]


async def test_a_watch_ends_with_the_server_and_skips_a_cut_line(
    api: FakeApi, client: Client
) -> None:
    await api.put(MAPS, config_map("x"))
    await api.put(MAPS, config_map("y"))
    api.fail(Fault(watch=True, cut_after=250))
    seen = []
    with pytest.raises(Unreachable):
        async for event in client.watch(CONFIG_MAPS, resource_version="100"):
            seen.append(event.object["metadata"]["name"])
    assert seen == ["x"]
    api.fail(Fault(watch=True, end=True))
    assert [event async for event in client.watch(CONFIG_MAPS)] == []


async def test_a_version_too_old_is_expired_both_ways(api: FakeApi, client: Client) -> None:
    api.compact()
    with pytest.raises(Expired):
        async for _ in client.watch(CONFIG_MAPS, resource_version="1"):
            pytest.fail("no event is due")
    api.fail(Fault(watch=True, error_event=410))
    with pytest.raises(Expired):
        async for _ in client.watch(CONFIG_MAPS, resource_version=str(api.version)):
            pytest.fail("no event is due")


async def test_leaving_a_watch_closes_its_connection(
    api: FakeApi, client: Client, start: Start
) -> None:
    async def follow() -> None:
        async for _ in client.watch(CONFIG_MAPS):
            pass

    task = start(follow())
    await until(lambda: api.open_watches == 1)
    task.cancel()
    await until(lambda: api.open_watches == 0)


async def test_closing_the_client_ends_its_watches(
    api: FakeApi, client: Client, start: Start
) -> None:
    async def follow() -> None:
        async for _ in client.watch(CONFIG_MAPS):
            pass

    task = start(follow())
    await until(lambda: api.open_watches == 1)
    await client.close()
    with pytest.raises(Unreachable, match="the client was closed"):
        await asyncio.wait_for(task, 5)


async def test_logs_are_streamed_with_their_options(api: FakeApi, client: Client) -> None:
    api.fail(Fault(status=200, body=b"one\ntwo\n"))
    chunks = [
        chunk async for chunk in client.logs("p", "a", container="c", follow=True, tail_lines=0)
    ]
    assert b"".join(chunks) == b"one\ntwo\n"
    assert api.requests[-1].path == "/api/v1/namespaces/a/pods/p/log"
    assert api.requests[-1].query == {"container": "c", "follow": "true", "tailLines": "0"}


async def test_raw_requests_and_streams(api: FakeApi, client: Client) -> None:
    api.documents["/version"] = {"major": "1"}
    assert json.loads(await client.request("GET", "/version")) == {"major": "1"}
    chunks = [chunk async for chunk in client.stream("GET", "/version")]
    assert json.loads(b"".join(chunks)) == {"major": "1"}
    with pytest.raises(NotFound):
        async for _ in client.stream("GET", "/api/v1/nodes/x"):
            pytest.fail("nothing is due")
