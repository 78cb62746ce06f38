"""What the client must be able to do with any API server, as tests without a server.

A test module brings fixtures ``client`` and ``restart`` and imports these tests. ``restart`` stops
the server, calls what it is given once the server is back, and returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.kube.waiting import until

from ome.apimachinery.errors import AlreadyExists, Conflict, Invalid, NotFound
from ome.apimachinery.objects import Key, Object, Resource, key_of, labels_of
from ome.apimachinery.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    NAMESPACES,
)
from ome.kube import Client, Controller, Events, Informer, LeaderElector, PatchType, RetryPolicy
from ome.kube.backoff import Backoff

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")
OWN = "own=yes"
"""Selects what a test made: a real cluster puts config maps of its own into every namespace."""

Restart = Callable[[], Awaitable[None]]


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": {"own": "yes", **(labels or {})}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


async def widgets(client: Client) -> None:
    """Defines a kind of our own."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await client.create(
        CUSTOM_RESOURCE_DEFINITIONS,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {
                    "plural": "widgets",
                    "singular": "widget",
                    "kind": "Widget",
                    "shortNames": ["wd"],
                },
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": schema},
                        "subresources": {"status": {}},
                    }
                ],
            },
        },
    )
    for _ in range(500):
        discovery = await client.discover(refresh=True)
        with contextlib.suppress(NotFound):
            if discovery.has(WIDGETS):
                await client.list(WIDGETS)
                return
        await asyncio.sleep(0.02)
    pytest.fail("the new kind is not served")


async def test_an_object_goes_through_all_verbs(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("x", k="1"))
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, config_map("x"))
    updated = await client.update(CONFIG_MAPS, {**made, "data": {"k": "2"}})
    with pytest.raises(Conflict):
        await client.update(CONFIG_MAPS, made)
    assert updated["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    await client.patch(CONFIG_MAPS, "x", {"data": {"l": "3"}}, namespace="default")
    operations = [{"op": "remove", "path": "/data/k"}]
    patched = await client.patch(
        CONFIG_MAPS, "x", operations, namespace="default", type=PatchType.JSON
    )
    assert patched["data"] == {"l": "3"}
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "x", "default", uid="another")
    await client.delete(CONFIG_MAPS, "x", "default", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "x", "default")
    with pytest.raises(Invalid):
        await client.create(CONFIG_MAPS, config_map("Not A Name"))


async def test_a_dry_run_changes_nothing(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("x"), dry_run=True)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "x", "default")


async def test_apply_without_force_names_who_is_in_the_way(client: Client) -> None:
    await client.apply(CONFIG_MAPS, config_map("x", k="1"), field_manager="one")
    with pytest.raises(Conflict) as caught:
        await client.apply(CONFIG_MAPS, config_map("x", k="2"), field_manager="two", force=False)
    assert any("one" in cause.message for cause in caught.value.causes)
    taken = await client.apply(CONFIG_MAPS, config_map("x", k="2"), field_manager="two")
    assert taken["data"] == {"k": "2"}
    emptied = await client.apply(CONFIG_MAPS, config_map("x"), field_manager="two")
    assert not emptied.get("data")


async def test_lists_are_paged_and_selected(client: Client) -> None:
    for number in range(1010):
        labels = {"odd": str(number % 2)}
        await client.create(CONFIG_MAPS, config_map(f"m{number:04}", labels))
    everything = await client.list(CONFIG_MAPS, "default", label_selector="odd")
    names = [obj["metadata"]["name"] for obj in everything.items]
    assert names == [f"m{number:04}" for number in range(1010)]
    odd = await client.list(CONFIG_MAPS, "default", label_selector="odd in (1)")
    assert len(odd.items) == 505
    one = await client.list(CONFIG_MAPS, "default", field_selector="metadata.name=m0007")
    assert [key_of(obj).name for obj in one.items] == ["m0007"]


async def test_discovery_knows_built_in_and_own_kinds(client: Client) -> None:
    await widgets(client)
    discovery = await client.discover(refresh=True)
    assert discovery.resource_for("deploy") == DEPLOYMENTS
    assert discovery.resource_for("cm") == CONFIG_MAPS
    assert discovery.resource_for("ns") == NAMESPACES
    assert discovery.resource_for("wd") == WIDGETS
    assert "status" in discovery.find("widget").subresources


@pytest.mark.parametrize("streaming", [False, True])
async def test_an_informer_follows_a_server_that_comes_and_goes(
    restart: Restart, client: Client, streaming: bool
) -> None:
    for number in range(20):
        await client.create(CONFIG_MAPS, config_map(f"m{number}"))
    told: list[tuple[str, str]] = []
    informer = Informer(
        client,
        CONFIG_MAPS,
        "default",
        label_selector=OWN,
        streaming=streaming,
        backoff=Backoff(0.02, 0.1),
        relist_jitter=0.01,
    )
    informer.add_index("label", lambda obj: [labels_of(obj).get("l", "")])
    running = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(informer.synced(), 10)
        assert len(informer) == 20
        assert informer.stats.lists == 1
        informer.add_handler(
            lambda event, old, new: told.append((event, (new or old)["metadata"]["name"]))
        )
        told.clear()
        await client.create(CONFIG_MAPS, config_map("new", {"l": "v"}))
        await until(lambda: told == [("ADDED", "new")])
        assert informer.keys_by_index("label", "v") == [Key("default", "new")]
        await restart()
        await client.delete(CONFIG_MAPS, "m0", "default")
        await client.patch(CONFIG_MAPS, "m1", {"data": {"a": "b"}}, namespace="default")
        await until(lambda: len(told) == 3, f"told: {told}, {informer.stats}")
        assert told[1:] == [("DELETED", "m0"), ("MODIFIED", "m1")]
        assert informer.get("default", "m1")["data"] == {"a": "b"}  # type: ignore[index]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_watch_ends_in_time(client: Client) -> None:
    version = (await client.list(CONFIG_MAPS)).resource_version
    events = [
        event
        async for event in client.watch(
            CONFIG_MAPS, resource_version=version, timeout_seconds=1, bookmarks=True
        )
    ]
    assert {event.type for event in events} <= {"BOOKMARK"}


async def test_a_controller_brings_the_world_in_line(client: Client) -> None:
    """Copies the size of each widget into a config map, and heals what others break."""
    await widgets(client)
    own, copies = (
        Informer(client, WIDGETS),
        Informer(client, CONFIG_MAPS, "default", label_selector=OWN),
    )

    async def reconcile(key: Key) -> None:
        widget = own.get(*key)
        if widget is None:
            return
        copy = config_map(f"copy-{key.name}", size=str(widget["spec"]["size"]))
        live = copies.get("default", f"copy-{key.name}")
        if live is None or live["data"] != copy["data"]:
            await client.apply(CONFIG_MAPS, copy)
        if (widget.get("status") or {}).get("done") != widget["spec"]["size"]:
            status = {"status": {"done": widget["spec"]["size"]}}
            await client.patch(
                WIDGETS, key.name, status, namespace=key.namespace, subresource="status"
            )

    controller = Controller("copy", reconcile, retry_policy=RetryPolicy(base=0.01))
    own.add_handler(lambda event, old, new: controller.enqueue(key_of(new or old)))

    def copy_changed(event: str, old: Any, new: Any) -> None:
        name = (new or old)["metadata"]["name"].removeprefix("copy-")
        controller.enqueue(Key("default", name))

    copies.add_handler(copy_changed)
    tasks = [asyncio.create_task(c.run()) for c in (own, copies, controller)]
    try:
        for number in range(30):
            meta = {"name": f"w{number}", "namespace": "default"}
            spec = {"size": number}
            await client.create(
                WIDGETS,
                {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": spec},
            )
        await until(lambda: all(copies.get("default", f"copy-w{n}") for n in range(30)))
        await client.patch(CONFIG_MAPS, "copy-w3", {"data": {"size": "wrong"}}, namespace="default")
        await client.patch(WIDGETS, "w4", {"spec": {"size": 44}}, namespace="default")

        def healed() -> bool:
            found = [copies.get("default", f"copy-w{n}") for n in (3, 4)]
            return [obj and obj["data"] for obj in found] == [{"size": "3"}, {"size": "44"}]

        await until(healed)
        await until(lambda: (own.get("default", "w4") or {}).get("status") == {"done": 44})
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_events_are_written_and_counted(client: Client) -> None:
    made = await client.create(CONFIG_MAPS, config_map("x"))
    events = Events(client, "test")
    for _ in range(3):
        events.warning(made, "Odd", "that is odd")
        await events.flush()
    (event,) = (await client.list(EVENTS, "default")).items
    assert (event["count"], event["message"]) == (3, "that is odd")


async def test_leadership_is_handed_over(client: Client) -> None:
    leading: list[str] = []

    def elector(name: str) -> LeaderElector:
        return LeaderElector(
            client,
            "op",
            "default",
            name,
            lease_duration=2,
            renew_deadline=1,
            retry_period=0.05,
        )

    async def lead(name: str) -> None:
        leading.append(name)
        await asyncio.Event().wait()

    tasks = {
        name: asyncio.create_task(elector(name).run(lambda name=name: lead(name)))  # type: ignore[misc]
        for name in ("one", "two")
    }
    await until(lambda: leading)
    tasks[leading[0]].cancel()
    await until(lambda: len(leading) == 2)
    lease = await client.get(LEASES, "op", "default")
    assert lease["spec"]["holderIdentity"] == leading[1]
    assert lease["spec"]["leaseTransitions"] == 1
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
