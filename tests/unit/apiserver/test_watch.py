"""Watches: from any version, through selectors, to the end of the history."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.unit.apiserver.home import CORE, MERGE, Home, config_map, pod

from ome.standalone.apiserver import Limits

MAPS = f"{CORE}/configmaps"
STREAM = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


async def test_a_watch_begins_with_what_is_there(api: Home) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    async with api.watch(MAPS) as watch:
        assert await watch.names(1) == [("ADDED", "a")]
        await api.ok("POST", MAPS, config_map("b"))
        await api.ok("DELETE", f"{MAPS}/a")
        assert await watch.names(2) == [("ADDED", "b"), ("DELETED", "a")]


async def test_initial_events_end_with_a_marked_bookmark(api: Home) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    async with api.watch(MAPS, STREAM) as watch:
        assert await watch.names(1) == [("ADDED", "a")]
        bookmark = await watch.next()
        assert bookmark["type"] == "BOOKMARK"
        meta = bookmark["object"]["metadata"]
        assert meta["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert bookmark["object"]["kind"] == "ConfigMap"
        listed = await api("GET", MAPS)
        assert meta["resourceVersion"] == listed.revision


async def test_a_watch_from_a_version_gives_each_later_change_once(api: Home) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    listed = await api("GET", MAPS)
    for number in range(20):
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"n": str(number)}}, type=MERGE)
    async with api.watch(MAPS, f"resourceVersion={listed.revision}") as watch:
        events = [await watch.next() for _ in range(20)]
    assert [e["object"]["data"]["n"] for e in events] == [str(n) for n in range(20)]


async def test_a_watch_from_a_version_works_after_a_restart(tmp_path: Path) -> None:
    api = Home(tmp_path)
    await api.up()
    await api.ok("POST", MAPS, config_map("a"))
    listed = await api("GET", MAPS)
    await api.ok("POST", MAPS, config_map("b"))
    await api.ok("DELETE", f"{MAPS}/a")
    await api.down()
    await api.up()
    async with api.watch(MAPS, f"resourceVersion={listed.revision}") as watch:
        assert await watch.names(2) == [("ADDED", "b"), ("DELETED", "a")]
    await api.down()


async def test_versions_out_of_reach_are_expired(tmp_path: Path) -> None:
    api = Home(tmp_path)
    await api.up(limits=Limits(log_rows=10, ring_rows=5))
    await api.ok("POST", MAPS, config_map("a"))
    for number in range(60):
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"n": str(number)}}, type=MERGE)
    answer = await api("GET", f"{MAPS}?watch=true&resourceVersion=2")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    answer = await api("GET", f"{MAPS}?watch=true&resourceVersion=999999")
    assert answer.status == 410
    await api.down()


async def test_a_watcher_that_falls_behind_reads_from_disk(tmp_path: Path) -> None:
    api = Home(tmp_path)
    await api.up(limits=Limits(ring_rows=3))
    await api.ok("POST", MAPS, config_map("a"))
    async with api.watch(MAPS) as watch:
        await watch.next()
        big = "x" * 200_000
        for number in range(60):
            data = {"data": {"n": str(number), "big": big}}
            await api.ok("PATCH", f"{MAPS}/a", data, type=MERGE)
        seen = [json.dumps((await watch.next())["object"]["data"]["n"]) for _ in range(60)]
    assert seen == [json.dumps(str(n)) for n in range(60)]
    await api.down()


async def test_a_watcher_that_falls_behind_the_history_is_cut_with_410(tmp_path: Path) -> None:
    api = Home(tmp_path)
    await api.up(limits=Limits(log_rows=5, ring_rows=2))
    await api.ok("POST", MAPS, config_map("a"))
    async with api.watch(MAPS) as watch:
        await watch.next()
        big = "x" * 500_000
        for number in range(60):
            data = {"data": {"n": str(number), "big": big}}
            await api.ok("PATCH", f"{MAPS}/a", data, type=MERGE)
        event = await watch.next()
        while event["type"] == "MODIFIED":
            event = await watch.next()
        assert event["type"] == "ERROR"
        assert event["object"]["code"] == 410
        assert await watch.next() is None
    await api.down()


async def test_selectors_show_objects_that_move_in_and_out(api: Home) -> None:
    async with api.watch(MAPS, "labelSelector=on%3Dyes") as watch:
        await api.ok("POST", MAPS, config_map("a", {"on": "no"}))
        await api.ok("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}}, type=MERGE)
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, type=MERGE)
        await api.ok("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "no"}}}, type=MERGE)
        await api.ok("POST", MAPS, config_map("b", {"on": "yes"}))
        await api.ok("DELETE", f"{MAPS}/b")
        assert await watch.names(5) == [
            ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b"), ("DELETED", "b"),
        ]  # fmt: skip


async def test_what_leaves_a_selector_is_shown_with_what_it_was_selected_by(api: Home) -> None:
    """As Kubernetes does: a cache finds out whose it was."""
    for gone in ({"on": None}, None):
        await api.ok("POST", MAPS, config_map("a", {"on": "yes", "of": "x"}))
        async with api.watch(MAPS, "labelSelector=on%3Dyes") as watch:
            assert (await watch.next())["type"] == "ADDED"
            patch = {"metadata": {"labels": gone}, "data": {"k": "new"}}
            changed = await api.ok("PATCH", f"{MAPS}/a", patch, type=MERGE)
            event = await watch.next()
            assert event["type"] == "DELETED"
            meta = event["object"]["metadata"]
            assert meta["labels"] == {"on": "yes", "of": "x"}
            assert meta["resourceVersion"] == changed["metadata"]["resourceVersion"]
        await api.ok("DELETE", f"{MAPS}/a")


async def test_field_selectors_follow_the_status_of_pods(api: Home) -> None:
    await api.ok("POST", f"{CORE}/pods", pod("p"))
    async with api.watch(f"{CORE}/pods", "fieldSelector=status.phase%3DRunning") as watch:
        status = {"status": {"phase": "Running"}}
        await api.ok("PATCH", f"{CORE}/pods/p/status", status, type=MERGE)
        status = {"status": {"phase": "Succeeded"}}
        await api.ok("PATCH", f"{CORE}/pods/p/status", status, type=MERGE)
        assert await watch.names(2) == [("ADDED", "p"), ("DELETED", "p")]


async def test_watches_see_only_their_namespace_and_kind(api: Home) -> None:
    async with api.watch(MAPS) as watch:
        await api.ok("POST", "/api/v1/namespaces/ome/configmaps", config_map("other"))
        await api.ok("POST", f"{CORE}/secrets", {"metadata": {"name": "s"}})
        await api.ok("POST", MAPS, config_map("mine"))
        assert await watch.names(1) == [("ADDED", "mine")]


async def test_bookmarks_come_when_nothing_happens(api: Home) -> None:
    api.server.core.bookmark_seconds = 0.05
    async with api.watch(MAPS, "allowWatchBookmarks=true&resourceVersion=1") as watch:
        await api.ok("POST", f"{CORE}/secrets", {"metadata": {"name": "s"}})
        newest = api.store.revision
        seen = 0
        while seen < newest:
            event = await watch.next()
            assert event["type"] == "BOOKMARK"
            seen = int(event["object"]["metadata"]["resourceVersion"])


async def test_a_watch_ends_when_its_time_is_over_and_when_the_server_stops(api: Home) -> None:
    async with api.watch(MAPS, "timeoutSeconds=1") as watch:
        assert await watch.next() is None
    async with api.watch(MAPS) as watch:
        stopping = asyncio.create_task(api.server.stop())
        assert await watch.next() is None
        await asyncio.wait_for(stopping, 5)


async def test_watch_events_can_be_tables_and_metadata(api: Home) -> None:
    await api.ok("POST", MAPS, config_map("a", k="v"))
    accept = "application/json;as=Table;g=meta.k8s.io;v=v1"
    async with api.watch(MAPS, STREAM, accept) as watch:
        first = (await watch.next())["object"]
        assert first["kind"] == "Table"
        assert first["rows"][0]["cells"][:2] == ["a", 1]
        assert first["columnDefinitions"]
        assert (await watch.next())["type"] == "BOOKMARK"
        await api.ok("POST", MAPS, config_map("b"))
        assert (await watch.next())["object"]["columnDefinitions"] == []
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    async with api.watch(MAPS, "", accept) as watch:
        event = await watch.next()
        assert event["object"]["kind"] == "PartialObjectMetadata"
        assert "data" not in event["object"]
