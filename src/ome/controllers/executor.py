"""Carries out plans. The only place from which controllers change children.

* Objects go out by server-side apply, field manager ``ome``, forced: what the plan names is ours.
* An object that the plan wants to create but that exists and belongs to someone else is left alone;
  :class:`NameTaken` says whose it is.
* Deletions name the uid, so that a new object of the same name is never hit.
* One event for each action that changed something, with the action's own sentence.
"""

from __future__ import annotations

import logging

from ome.api import constants as c
from ome.apimachinery.errors import Conflict, NotFound
from ome.apimachinery.objects import (
    Key,
    Object,
    Resource,
    controller_of,
    is_deleting,
    metadata,
)
from ome.controllers.plan import OPTIONAL, SCALE_MANAGER, Apply, Delete, Plan, Scale, owns
from ome.kube import Client, Events

log = logging.getLogger("ome.controllers.executor")


class NameTaken(Exception):  # noqa: N818 - a finding about the cluster, not a failure of ours
    """A child can't be created because its name is in use by an object that isn't ours."""

    def __init__(self, kind: str, name: str, holder: str, *, passing: bool) -> None:
        self.passing = passing
        """True where the other object is on its way out."""
        wait = "; it is being deleted" if passing else ""
        super().__init__(f"{kind} {name} exists already and belongs to {holder}{wait}")


class KindGone(Exception):  # noqa: N818 - as above
    """A child can't be applied because the cluster does not serve its kind any more."""

    def __init__(self, resource: Resource, sentence: str) -> None:
        self.resource = resource
        super().__init__(f"can't {sentence}: the cluster serves no {resource.kind} objects")


async def execute(plan: Plan, client: Client, events: Events) -> None:
    """Carries out all actions in order. Raises what the server answers."""
    for apply in plan.applies:
        await _apply(plan.owner, apply, client, events)
    for scale in plan.scales:
        await _scale(plan.owner, scale, client, events)
    for delete in plan.deletes:
        await _delete(plan.owner, delete, client, events)


async def _apply(owner: Object, action: Apply, client: Client, events: Events) -> None:
    if action.verb == "create":
        await _refuse_foreign(owner, action, client)
    try:
        await client.apply(action.resource, action.object, field_manager=c.MANAGER)
    except NotFound as error:
        if action.resource in OPTIONAL and "namespaces" not in error.message:
            raise KindGone(action.resource, action.sentence) from error
        raise
    log.info("%s/%s: %s", action.key.namespace, metadata(owner)["name"], action.sentence)
    if action.verb in ("create", "update"):
        reason = "Created" if action.verb == "create" else "Updated"
        events.normal(owner, reason, action.sentence)
    if action.replicas is not None:
        await _set_replicas(client, action.resource, action.key, action.replicas)


async def _refuse_foreign(owner: Object, action: Apply, client: Client) -> None:
    """The cache holds only labelled children, so ask the server who has the name."""
    try:
        found = await client.get(action.resource, action.key.name, action.key.namespace)
    except NotFound:
        return
    if owns(owner, found):
        return
    holder = controller_of(found)
    described = f"{holder['kind']} {holder['name']}" if holder else "nobody that OME knows"
    passing = is_deleting(found) or (
        holder is not None
        and holder.get("kind") == owner.get("kind")
        and holder.get("name") == metadata(owner)["name"]
    )
    raise NameTaken(action.resource.kind, action.key.name, described, passing=passing)


async def _scale(owner: Object, action: Scale, client: Client, events: Events) -> None:
    await _set_replicas(client, action.resource, action.key, action.replicas)
    log.info("%s/%s: %s", action.key.namespace, metadata(owner)["name"], action.sentence)
    events.normal(owner, "Scaled", action.sentence)


async def _set_replicas(client: Client, resource: Resource, key: Key, count: int) -> None:
    await client.patch(
        resource,
        key.name,
        {"spec": {"replicas": count}},
        namespace=key.namespace,
        field_manager=SCALE_MANAGER,
    )


async def _delete(owner: Object, action: Delete, client: Client, events: Events) -> None:
    try:
        await client.delete(action.resource, action.key.name, action.key.namespace, uid=action.uid)
    except (NotFound, Conflict):
        return  # gone already, or a new object has the name
    log.info("%s/%s: %s", action.key.namespace, metadata(owner)["name"], action.sentence)
    events.normal(owner, "Deleted", action.sentence)
