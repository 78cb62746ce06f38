"""Names that an earlier service of the same name still holds; nobody collects garbage here."""

from __future__ import annotations

from typing import Any

import pytest

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, owner_reference, uid_of
from ome.controllers.executor import NameTaken, execute
from ome.controllers.plan import plan_children
from ome.kube import Client, Events
from ome.rendering import Child, Observed

pytestmark = pytest.mark.usefixtures("services_are_served")


async def service(client: Client) -> Object:
    return await client.create(
        o.INFERENCE_SERVICES,
        {
            "apiVersion": "ome.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "chat", "namespace": "default"},
            "spec": {"engine": {"minReplicas": 1}},
        },
    )


def child(owner: Object, **changes: str) -> Object:
    reference: dict[str, Any] = {**owner_reference(owner), **changes}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "default", "ownerReferences": [reference]},
    }


async def bring(client: Client, owner: Object) -> None:
    plan = plan_children(owner, [Child(r.CONFIG_MAPS, child(owner))], Observed({}))
    events = Events(client, "test")
    try:
        await execute(plan, client, events)
    finally:
        await events.close()


async def test_it_is_deleted_and_then_made_anew(client: Client) -> None:
    owner = await service(client)
    await client.create(r.CONFIG_MAPS, child(owner, uid="an-earlier-one"))
    with pytest.raises(NameTaken) as taken:
        await bring(client, owner)
    assert taken.value.passing
    await bring(client, owner)
    made = await client.get(r.CONFIG_MAPS, "a", "default")
    assert made["metadata"]["ownerReferences"][0]["uid"] == uid_of(owner)


async def test_whoever_knows_only_an_earlier_service_deletes_nothing(client: Client) -> None:
    """A cache that lags: the child is that of the service of today."""
    today = await service(client)
    await client.create(r.CONFIG_MAPS, child(today))
    earlier = {**today, "metadata": {**today["metadata"], "uid": "an-earlier-one"}}
    with pytest.raises(NameTaken):
        await bring(client, earlier)
    left = await client.get(r.CONFIG_MAPS, "a", "default")
    assert left["metadata"]["ownerReferences"][0]["uid"] == uid_of(today)


@pytest.mark.parametrize("changes", [{"name": "other"}, {"apiVersion": "other.example/v1"}])
async def test_what_belongs_to_somebody_else_stays(client: Client, changes: dict[str, str]) -> None:
    owner = await service(client)
    await client.create(r.CONFIG_MAPS, child(owner, uid="somebody", **changes))
    with pytest.raises(NameTaken) as taken:
        await bring(client, owner)
    assert not taken.value.passing
    left = await client.get(r.CONFIG_MAPS, "a", "default")
    assert left["metadata"]["ownerReferences"][0]["uid"] == "somebody"
