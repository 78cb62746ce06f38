"""Children without the label by which they are watched, against the embedded API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio
from tests.unit.kube.waiting import until

from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Key, Object, labels_of, owner_reference
from ome.controllers import unlabelled
from ome.controllers.cluster import Cluster
from ome.controllers.unlabelled import Unlabelled
from ome.kube import Client, Informer


@pytest_asyncio.fixture
async def labels(
    client: Client, services_are_served: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Unlabelled]:
    """Connected to caches as the operator does it; not running."""
    monkeypatch.setattr(unlabelled, "GATHER_SECONDS", 0.05)
    services = Informer(client, o.INFERENCE_SERVICES)
    maps = Informer(client, r.CONFIG_MAPS, label_selector=c.L_INFERENCE_SERVICE)
    made = Unlabelled(
        client,
        cast(Cluster, SimpleNamespace(services=services, children={r.CONFIG_MAPS: maps})),
    )

    def changed(event: str, old: Any, _new: Any) -> None:
        if event == "DELETED":
            made.vanished(old)

    maps.add_handler(changed)
    tasks = [asyncio.create_task(informer.run()) for informer in (services, maps)]
    await services.synced()
    await maps.synced()
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def service(client: Client, labels: Unlabelled, name: str = "chat") -> Object:
    made = await client.create(
        o.INFERENCE_SERVICES,
        {
            "apiVersion": "ome.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"engine": {"minReplicas": 1}},
        },
    )
    await until(lambda: labels._cluster.services.snapshot("default", name))
    return made


async def child(client: Client, name: str, owner: Object | None, **changes: Any) -> None:
    meta: Object = {"name": name, "namespace": "default"}
    if owner is not None:
        meta["ownerReferences"] = [{**owner_reference(owner), **changes}]
    await client.create(r.CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})


async def label_of(client: Client, name: str) -> str | None:
    found = await client.get(r.CONFIG_MAPS, name, "default")
    return labels_of(found).get(c.L_INFERENCE_SERVICE)


async def test_whoever_begins_to_lead_finds_those_of_living_services(
    client: Client, labels: Unlabelled
) -> None:
    owner = await service(client, labels)
    await child(client, "lost", owner)
    await child(client, "of-an-earlier-one", owner, uid="gone")
    await child(client, "of-another-kind", owner, kind="Deployment")
    await child(client, "of-nobody", None)
    task = asyncio.create_task(labels.run())
    seen = labels._cluster.children[r.CONFIG_MAPS]
    await until(lambda: seen.keys())
    assert seen.keys() == [Key("default", "lost")]
    assert await label_of(client, "lost") == "chat"
    for name in ("of-an-earlier-one", "of-another-kind", "of-nobody"):
        assert await label_of(client, name) is None
    task.cancel()


async def test_who_leads_gives_it_back_and_lets_what_is_deleted_go(
    client: Client, labels: Unlabelled
) -> None:
    owner = await service(client, labels)
    for name in ("lost", "deleted"):
        await child(client, name, owner)
    task = asyncio.create_task(labels.run())
    seen = labels._cluster.children[r.CONFIG_MAPS]
    await until(lambda: len(seen) == 2)
    without: Object = {"metadata": {"labels": {c.L_INFERENCE_SERVICE: None}}}
    await client.delete(r.CONFIG_MAPS, "deleted", "default")
    await client.patch(r.CONFIG_MAPS, "lost", without, namespace="default")
    await until(lambda: not len(seen))
    await until(lambda: len(seen) == 1)
    assert await label_of(client, "lost") == "chat"
    assert not task.done()
    task.cancel()


async def test_a_server_that_refuses_for_a_while_is_asked_again(
    client: Client, labels: Unlabelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unlabelled, "RETRY_SECONDS", 0.05)
    owner = await service(client, labels)
    task = asyncio.create_task(labels.run())
    await child(client, "lost", owner)
    patch, refused = client.patch, []

    async def refuse(*given: Any, **more: Any) -> Object:
        if len(refused) < 2:
            refused.append(given)
            raise unlabelled.StatusError("not now")
        return await patch(*given, **more)

    label: Object = {"metadata": {"labels": {c.L_INFERENCE_SERVICE: "chat"}}}
    seen = labels._cluster.children[r.CONFIG_MAPS]
    await client.patch(r.CONFIG_MAPS, "lost", label, namespace="default")
    await until(lambda: len(seen) == 1)
    without: Object = {"metadata": {"labels": {c.L_INFERENCE_SERVICE: None}}}
    await client.patch(r.CONFIG_MAPS, "lost", without, namespace="default")
    monkeypatch.setattr(client, "patch", refuse)
    await until(lambda: not len(seen))
    await until(lambda: len(seen) == 1)
    assert len(refused) == 2
    task.cancel()
