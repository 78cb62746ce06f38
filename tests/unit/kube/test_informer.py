"""The cache stays true to the server, whatever happens on the way."""

from __future__ import annotations

import asyncio
import copy
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.kube.fakeapi import FakeApi, Fault
from tests.unit.kube.waiting import Start, until

from ome.apimachinery.objects import Key, key_of, labels_of
from ome.apimachinery.resources import CONFIG_MAPS, PODS
from ome.kube import Client, Informer, InformerSet, Snapshot, wire
from ome.kube.backoff import Backoff

MAPS = "/api/v1/configmaps"


def config_map(name: str, namespace: str = "a", app: str = "", **data: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "namespace": namespace}
    if app:
        meta["labels"] = {"app": app}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


class Log:
    """Records what a handler is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.versions: list[str] = []

    def __call__(self, event: str, old: Any, new: Any) -> None:
        subject = new if new is not None else old
        self.events.append((event, subject["metadata"]["name"]))
        if new is not None:
            self.versions.append(new["metadata"]["resourceVersion"])


def informer_of(client: Client, **options: Any) -> Informer:
    options.setdefault("backoff", Backoff(0.01, 0.05))
    options.setdefault("relist_jitter", 0.01)
    return Informer(client, CONFIG_MAPS, **options)


@pytest.fixture(params=["list", "streaming"])
def streaming(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "streaming")


async def test_what_exists_is_there_once_synced_and_changes_follow(
    api: FakeApi, client: Client, start: Start, streaming: bool
) -> None:
    for number in range(700):
        await api.put(MAPS, config_map(f"m{number:03}"))
    informer, log = informer_of(client, streaming=streaming), Log()
    informer.add_handler(log)
    start(informer.run())
    await informer.synced()
    assert len(informer) == len(log.events) == 700
    assert {event for event, _ in log.events} == {"ADDED"}
    log.events.clear()
    await api.put(MAPS, config_map("m000", k="v"))
    await api.put(MAPS, config_map("new"))
    await api.drop(MAPS, "a", "m001")
    await until(lambda: len(log.events) == 3)
    assert log.events == [("MODIFIED", "m000"), ("ADDED", "new"), ("DELETED", "m001")]
    assert informer.get("a", "m001") is None
    found = informer.get("a", "m000")
    assert found is not None
    assert found["data"] == {"k": "v"}
    assert (found["kind"], found["apiVersion"]) == ("ConfigMap", "v1")
    assert len(api.sent("GET", watch=False)) == (0 if streaming else 2)


async def test_a_server_without_streaming_lists_is_listed(
    client: Client, api: FakeApi, start: Start
) -> None:
    api.watch_list = False
    await api.put(MAPS, config_map("x"))
    informer = informer_of(client, streaming=True)
    start(informer.run())
    await informer.synced()
    assert informer.keys() == [Key("a", "x")]


async def test_a_server_that_never_ends_its_initial_events_is_listed(
    client: Client, api: FakeApi, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome.kube.reflector._STREAMING_PATIENCE", 0.1)
    monkeypatch.setattr("tests.unit.kube.fakeapi.INITIAL_END", {})
    await api.put(MAPS, config_map("x"))
    informer = informer_of(client, streaming=True)
    start(informer.run())
    await informer.synced()
    assert len(informer) == 1
    assert api.sent("GET", watch=False)


async def test_a_cut_watch_goes_on_where_it_was(api: FakeApi, client: Client, start: Start) -> None:
    informer, log = informer_of(client), Log()
    informer.add_handler(log)
    api.fail(Fault(watch=True, cut_after=400))
    start(informer.run())
    await informer.synced()
    for number in range(10):
        await api.put(MAPS, config_map(f"m{number}"))
    await until(lambda: len(informer) == 10)
    assert log.events == [("ADDED", f"m{n}") for n in range(10)]
    assert informer.stats.lists == 1
    watches = api.sent("GET", watch=True)
    assert len(watches) >= 2
    # It goes on from the last event, not from the list.
    assert int(watches[-1].query["resourceVersion"]) > int(watches[0].query["resourceVersion"])


async def test_bookmarks_move_the_position(api: FakeApi, client: Client, start: Start) -> None:
    informer = informer_of(client)
    start(informer.run())
    await informer.synced()
    await until(lambda: api.open_watches == 1)
    await api.bookmark(MAPS)
    await until(lambda: informer.stats.bookmarks == 1)
    api.compact()
    api.cut_watches()
    await until(lambda: len(api.sent("GET", watch=True)) == 2 and api.open_watches == 1)
    assert informer.stats.expired == 0
    assert api.sent("GET", watch=True)[-1].query["resourceVersion"] == str(api.version)


@pytest.mark.parametrize("as_event", [True, False])
async def test_after_410_only_the_differences_are_told(
    api: FakeApi, client: Client, start: Start, as_event: bool, streaming: bool
) -> None:
    for name in ("kept", "changed", "gone", "remade"):
        await api.put(MAPS, config_map(name))
    informer, log = informer_of(client, streaming=streaming), Log()
    informer.add_handler(log)
    start(informer.run())
    await informer.synced()
    await until(lambda: api.open_watches == 1)
    kept = informer.entry(Key("a", "kept"))
    log.events.clear()
    if as_event:
        api.fail(Fault(watch=True, error_event=410))
    api.cut_watches()  # what comes now is done before the client can come back
    await until(lambda: api.open_watches == 0)
    await api.put(MAPS, config_map("changed", k="v"))
    await api.drop(MAPS, "a", "gone")
    await api.drop(MAPS, "a", "remade")
    await api.put(MAPS, config_map("remade"))
    await api.put(MAPS, config_map("fresh"))
    api.compact()
    await until(lambda: informer.get("a", "fresh"))
    assert sorted(log.events) == [
        ("ADDED", "fresh"),
        ("ADDED", "remade"),
        ("DELETED", "gone"),
        ("DELETED", "remade"),
        ("MODIFIED", "changed"),
    ]
    assert informer.entry(Key("a", "kept")) is kept
    assert informer.stats.expired == 1


async def test_no_version_is_told_twice(api: FakeApi, client: Client, start: Start) -> None:
    informer, log = informer_of(client), Log()
    informer.add_handler(log)
    start(informer.run())
    await informer.synced()
    obj = await api.put(MAPS, config_map("x"))
    await until(lambda: len(log.events) == 1)
    for _ in range(3):  # a server that repeats itself
        await api._record("MODIFIED", MAPS, obj)
        api.version += 1
    await api.put(MAPS, config_map("x", k="v"))
    await until(lambda: len(log.versions) == 2)
    assert len(set(log.versions)) == len(log.versions) == 2


async def test_failures_are_waited_out_and_shown(
    api: FakeApi, client: Client, start: Start
) -> None:
    await api.put(MAPS, config_map("x"))
    api.fail(Fault(status=404, times=3))
    informers = InformerSet(client)
    informer = informers.informer(CONFIG_MAPS, backoff=Backoff(0.01, 0.05))
    start(informers.run())
    await until(lambda: informer.stats.failures)
    assert "configmaps" in informers.waiting_for()[0]
    assert "404" in informers.waiting_for()[0]
    await informers.synced()
    assert informers.waiting_for() == []


async def test_a_watch_that_stands_again_is_no_error_though_nothing_happens(
    api: FakeApi, client: Client, start: Start
) -> None:
    informer = informer_of(client)
    start(informer.run())
    await until(lambda: api.open_watches == 1)
    api.cut_watches()
    await until(lambda: informer.stats.last_error)
    await until(lambda: api.open_watches == 1)
    await until(lambda: not informer.stats.last_error)
    assert informer.stats.lists == 1


async def test_watches_that_hold_for_a_while_and_are_cut_are_not_asked_for_ever_later(
    api: FakeApi, client: Client, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that cuts whatever is quiet for some minutes would else make the cache late."""
    monkeypatch.setattr("ome.kube.reflector._HELD", 0.05)
    backoff = Backoff(0.01, 60)
    informer = informer_of(client, backoff=backoff)
    start(informer.run())

    def has_failed(times: int) -> Callable[[], bool]:
        return lambda: informer.stats.failures == times

    for turn in range(1, 13):
        await until(lambda: api.open_watches == 1)
        await asyncio.sleep(0.1)
        api.cut_watches()
        await until(has_failed(turn))
        assert backoff.failures == 1


async def test_what_vanishes_while_a_list_starts_over_is_not_kept(
    api: FakeApi, client: Client, start: Start
) -> None:
    for number in range(501):
        await api.put(MAPS, config_map(f"m{number:03}"))
    api.fail(Fault(paged=True, status=410, delay=0.1))
    informer = informer_of(client)
    start(informer.run())
    await until(lambda: any("continue" in seen.query for seen in api.requests))
    await api.drop(MAPS, "a", "m000")
    await informer.synced()
    assert len(informer) == 500
    assert informer.get("a", "m000") is None


async def test_a_kind_that_can_not_be_watched_is_told(
    api: FakeApi, client: Client, start: Start
) -> None:
    api.fail(Fault(status=200, body=b'{"items":[]}', times=99))
    informer = informer_of(client)
    start(informer.run())
    await until(lambda: "can't be watched" in informer.stats.last_error)
    assert api.sent(watch=True) == []


async def test_a_version_from_the_future_leads_to_a_new_list(
    api: FakeApi, client: Client, start: Start
) -> None:
    informer = informer_of(client)
    api.fail(Fault(watch=True, status=504, times=5))  # "too large resource version"
    start(informer.run())
    await until(lambda: informer.stats.lists == 2)
    await until(lambda: api.open_watches == 1)


async def test_watches_that_end_at_once_are_not_asked_for_in_a_hurry(
    api: FakeApi, client: Client, start: Start
) -> None:
    api.fail(Fault(watch=True, end=True, times=1000))
    informer = informer_of(client)
    start(informer.run())
    await until(lambda: len(api.sent(watch=True)) == 1)
    begin = time.monotonic()
    await until(lambda: len(api.sent(watch=True)) == 2)
    assert time.monotonic() - begin >= 0.9


async def test_indexes_follow_changes(api: FakeApi, client: Client, start: Start) -> None:
    await api.put(MAPS, config_map("x", app="one"))
    await api.put(MAPS, config_map("y", "b", app="one"))
    await api.put(MAPS, config_map("z"))
    informer = informer_of(client)
    informer.add_index("app", lambda obj: [labels_of(obj)["app"]] if labels_of(obj) else [])
    start(informer.run())
    await informer.synced()
    informer.add_index("late", lambda obj: [obj["metadata"]["namespace"]] * 2)
    assert informer.keys_by_index("app", "one") == [Key("a", "x"), Key("b", "y")]
    assert [key_of(obj) for obj in informer.by_index("late", "b")] == [Key("b", "y")]
    await api.put(MAPS, config_map("x", app="two"))
    await api.drop(MAPS, "b", "y")
    await until(lambda: informer.by_index("app", "two"))
    await until(lambda: not informer.by_index("app", "one"))
    assert informer.by_index("late", "b") == []
    with pytest.raises(KeyError, match=r"no index 'nope' \(there are: app, late\)"):
        informer.by_index("nope", "")
    with pytest.raises(ValueError, match="already"):
        informer.add_index("app", lambda obj: [])


async def test_an_index_function_that_fails_costs_only_its_entry(
    api: FakeApi, client: Client, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    await api.put(MAPS, config_map("x", app="one"))
    await api.put(MAPS, config_map("y"))
    informer = informer_of(client)
    informer.add_index("app", lambda obj: [obj["metadata"]["labels"]["app"]])
    start(informer.run())
    await informer.synced()
    assert informer.keys_by_index("app", "one") == [Key("a", "x")]
    assert len(informer) == 2
    assert "an index function failed on <ConfigMap a/y" in caplog.text


async def test_nonsense_from_the_server_is_waited_out(
    api: FakeApi, client: Client, start: Start
) -> None:
    await api.put(MAPS, config_map("x"))
    api.fail(Fault(status=200, body=b'{"items":[{"metadata":[]}]}'))
    api.fail(Fault(watch=True, status=200, body=b'{"type":"ADDED","object":{"metadata":1}}\n'))
    api.fail(Fault(watch=True, status=200, body=b"what?\n"))
    informer = informer_of(client)
    start(informer.run())
    await informer.synced()
    await until(lambda: api.open_watches == 1)
    assert informer.keys() == [Key("a", "x")]
    assert informer.stats.failures == 3


@pytest.mark.parametrize("seed", range(6))
async def test_the_cache_ends_up_true_whatever_happens(
    api: FakeApi, client: Client, start: Start, seed: int
) -> None:
    """Random changes and random faults; in the end cache, index and what handlers were told agree
    with the server, and no version was told twice."""
    rng = random.Random(seed)
    told: dict[str, dict[str, Any]] = {}
    versions: set[tuple[str, str]] = set()

    def handler(event: str, old: Any, new: Any) -> None:
        if event == "DELETED":
            del told[old["metadata"]["name"]]
            return
        meta = new["metadata"]
        assert (event == "MODIFIED") == (meta["name"] in told)
        version = (meta["uid"], meta["resourceVersion"])
        assert version not in versions
        versions.add(version)
        told[meta["name"]] = dict(new["data"])

    informer = informer_of(client, streaming=seed % 2 == 0, backoff=Backoff(0.001, 0.01))
    informer.add_index("v", lambda obj: [obj["data"]["v"]])
    informer.add_handler(handler)
    start(informer.run())
    faults = [
        lambda: api.fail(Fault(watch=True, cut_after=rng.randrange(1, 900))),
        lambda: api.fail(Fault(watch=True, error_event=rng.choice([410, 500]))),
        lambda: api.fail(Fault(watch=True, status=rng.choice([410, 429, 503]))),
        lambda: api.fail(Fault(watch=False, status=410)),
        lambda: api.fail(Fault(reset=True)),
        api.compact,
        api.cut_watches,
    ]
    for step in range(150):
        name = f"m{rng.randrange(20)}"
        if rng.random() < 0.3 and (MAPS, "a", name) in api.objects:
            await api.drop(MAPS, "a", name)
        else:
            await api.put(MAPS, config_map(name, v=str(rng.randrange(3)), step=str(step)))
        if rng.random() < 0.2:
            rng.choice(faults)()
        if rng.random() < 0.1:
            await api.bookmark(MAPS)
        await asyncio.sleep(rng.random() * 0.004)
    wanted = {name: obj["data"] for (_, _, name), obj in api.objects.items()}
    await until(lambda: told == wanted, f"{informer.stats}", 10)
    assert {o["metadata"]["name"]: o["data"] for o in informer.list()} == wanted
    for value in "012":
        names = {key.name for key in informer.keys_by_index("v", value)}
        assert names == {name for name, data in wanted.items() if data["v"] == value}


async def test_a_handler_that_fails_does_not_stop_the_others(
    api: FakeApi, client: Client, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: str, old: Any, new: Any) -> None:
        raise RuntimeError("no")

    informer, log = informer_of(client), Log()
    informer.add_handler(broken)
    informer.add_handler(log)
    start(informer.run())
    await informer.synced()
    await api.put(MAPS, config_map("x"))
    await until(lambda: log.events)
    assert "a handler failed on ADDED of <ConfigMap a/x" in caplog.text


async def test_out_of_memory_ends_the_informer_which_would_miss_changes(
    api: FakeApi, client: Client
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    informer = informer_of(client)
    informer.add_handler(full)
    await api.put(MAPS, config_map("x"))
    with pytest.raises(MemoryError):
        async with asyncio.timeout(5):
            await informer.run()


async def test_a_late_handler_hears_what_is_there(
    api: FakeApi, client: Client, start: Start
) -> None:
    await api.put(MAPS, config_map("x"))
    informer, log = informer_of(client), Log()
    start(informer.run())
    await informer.synced()
    informer.add_handler(log)
    assert log.events == [("ADDED", "x")]


async def test_what_is_given_out_is_the_callers_own(
    api: FakeApi, client: Client, start: Start
) -> None:
    await api.put(MAPS, config_map("x", k="v"))
    informer = informer_of(client)
    start(informer.run())
    await informer.synced()
    first = informer.list()[0]
    first["data"]["k"] = "mine"
    assert informer.list("a")[0]["data"] == {"k": "v"}
    assert informer.list("b") == []


async def test_a_snapshot_reads_like_the_object(api: FakeApi, client: Client, start: Start) -> None:
    await api.put(MAPS, config_map("x", k="v"))
    informer = informer_of(client)
    start(informer.run())
    await informer.synced()
    snapshot = informer.snapshot("a", "x")
    assert isinstance(snapshot, Snapshot)
    assert snapshot
    assert snapshot.key == key_of(snapshot) == Key("a", "x")
    assert snapshot["data"]["k"] == "v"
    assert snapshot.get("spec") is None
    assert "data" in snapshot
    assert dict(snapshot) == informer.get("a", "x") == snapshot.object()
    assert snapshot == snapshot.object()
    assert {**snapshot} == snapshot.object()
    assert copy.deepcopy(snapshot) == snapshot.object()
    assert informer.snapshots()[0].uid == snapshot["metadata"]["uid"]


async def test_managed_fields_can_be_left_out(api: FakeApi, client: Client, start: Start) -> None:
    obj = config_map("x", note='"managedFields":[1]')
    obj["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": {"f:data": {}}}]
    await api.put(MAPS, obj)
    informer = informer_of(client, transform=wire.drop_managed_fields)
    start(informer.run())
    await informer.synced()
    found = informer.get("a", "x")
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert found["data"] == obj["data"]


def test_dropping_managed_fields_keeps_everything_else() -> None:
    plain = json.dumps(config_map("x", k="v")).encode()
    assert wire.drop_managed_fields(plain) is plain
    inner = {**config_map("x"), "spec": {"metadata": {"managedFields": [1]}}}
    assert json.loads(wire.drop_managed_fields(json.dumps(inner).encode())) == inner


async def test_a_set_shares_informers_and_starts_late_ones(
    api: FakeApi, client: Client, start: Start
) -> None:
    await api.put(MAPS, config_map("x", app="one"))
    await api.put(MAPS, config_map("y", app="two"))
    informers = InformerSet(client)
    every = informers.informer(CONFIG_MAPS)
    assert informers.informer(CONFIG_MAPS) is every
    start(informers.run())
    await informers.synced()
    some = informers.informer(CONFIG_MAPS, label_selector="app=one")
    pods = informers.informer(PODS, "b")
    await informers.synced()
    assert (len(every), len(some), len(pods)) == (2, 1, 0)
    assert len(list(informers)) == 3


async def test_an_informer_runs_once(api: FakeApi, client: Client, start: Start) -> None:
    informer = informer_of(client)
    start(informer.run())
    await informer.synced()
    with pytest.raises(RuntimeError, match="runs already"):
        await informer.run()
