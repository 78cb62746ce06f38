"""Carries out plans. The only place from which controllers change children.

* Objects are created by POST, one request that can't hit an object of somebody else: that one is
  left alone, and :class:`NameTaken` says whose it is. Changes go out by server-side apply, field
  manager ``ome``, forced: what the plan names is ours (:mod:`ome.controllers.ownership`).
* A child of ours that the cache doesn't show, because it lags or somebody took the child's label or
  owner away, is only marked as ours again. What else is to be done about it is decided when the
  cache shows it: a plan that takes it for missing knows neither its template nor its replicas.
* Deletions name the uid, so that a new object of the same name is never hit.
* One event for what was created, changed, scaled and deleted at one time, with the actions' own
  sentences.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.errors import AlreadyExists, Conflict, NotFound
from ome.apimachinery.objects import (
    Key,
    Object,
    Resource,
    controller_of,
    is_deleting,
    metadata,
    uid_of,
)
from ome.controllers import ownership
from ome.controllers.plan import OPTIONAL, SCALE_MANAGER, Apply, Delete, Plan, Scale, belongs
from ome.kube import Client, Events, PatchType

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


Wrote = Callable[[Resource, Object], None]
"""Is told what the server has after each write."""


async def execute(
    plan: Plan, client: Client, events: Events, wrote: Wrote = lambda _resource, _object: None
) -> bool:
    """Carries out all actions in order. Raises what the server answers.

    False where a child exists that the plan took for missing: what was observed is not what is.
    """
    done: dict[str, list[str]] = {}
    complete = True
    try:
        for apply in plan.applies:
            changed, action = await _apply(plan.owner, apply, client)
            wrote(apply.resource, changed)
            if action is None or action.verb != apply.verb:
                complete = False
            if action is not None:
                _note(done, plan.owner, _REASONS.get(action.verb, ""), action)
        for scale in plan.scales:
            changed = await _set_replicas(client, scale.resource, scale.key, scale.replicas)
            wrote(scale.resource, changed)
            _note(done, plan.owner, "Scaled", scale)
        for delete in plan.deletes:
            if await _delete(delete, client):
                _note(done, plan.owner, "Deleted", delete)
    finally:
        for reason, sentences in done.items():
            events.normal(plan.owner, reason, "; ".join(sentences))
    return complete


_REASONS = {"create": "Created", "update": "Updated"}
"""Taking over and tidying up change nothing that a user would notice."""


def _note(
    done: dict[str, list[str]], owner: Object, reason: str, action: Apply | Scale | Delete
) -> None:
    log.info("%s/%s: %s", action.key.namespace, metadata(owner)["name"], action.sentence)
    if reason:
        done.setdefault(reason, []).append(action.sentence)


async def _apply(owner: Object, action: Apply, client: Client) -> tuple[Object, Apply | None]:
    """What the server has now, and what was done; None where nothing was to be done."""
    try:
        if action.verb != "create":
            return await _change(action, action.hand_over, client), action
        return await _create(owner, action, client)
    except NotFound as error:
        if action.resource in OPTIONAL and "namespaces" not in error.message:
            raise KindGone(action.resource, action.sentence) from error
        raise


async def _create(owner: Object, action: Apply, client: Client) -> tuple[Object, Apply | None]:
    """The cache holds only labelled children, and may lag: somebody may have the name."""
    key = action.key
    try:
        made = await client.create(
            action.resource,
            ownership.for_creation(action.object, action.replicas),
            field_manager=c.MANAGER,
        )
    except AlreadyExists as taken:
        found = await _holder(client, action)
        if found is None:  # the next look makes it
            raise Conflict(f"{taken.message}, and was deleted meanwhile") from taken
    else:
        return made, action
    if not belongs(owner, found) and not ownership.is_stray(found, action.object):
        if await _is_left_over(owner, found, client):
            left = Delete(action.resource, key, uid_of(found), f"delete {key.name}, left over")
            await _delete(left, client)
        raise _taken(owner, action, found)
    patch = ownership.marks(found, action.object)
    if not patch:
        return found, None
    made = await client.patch(
        action.resource, key.name, patch, namespace=key.namespace, field_manager=c.MANAGER
    )
    sentence = f"mark {action.resource.kind} {key.name} as the service's again"
    return made, replace(action, verb="update", sentence=sentence)


async def _is_left_over(owner: Object, found: Object, client: Client) -> bool:
    """True for a child of an earlier object of the owner's name, which the garbage collector has
    not come to yet. The server is asked whether ``owner`` is the one of today: a cache may lag."""
    holder, resource = controller_of(found), o.by_kind(owner["kind"])
    if holder is None or resource is None or not _is_name_of(holder, owner):
        return False
    meta = metadata(owner)
    named = f"metadata.name={meta['name']}"
    listed = await client.list(resource, meta.get("namespace") or "", field_selector=named)
    return [uid_of(item) for item in listed.items] == [uid_of(owner)] != [holder.get("uid")]


def _is_name_of(holder: Mapping[str, Any], owner: Object) -> bool:
    group = str(holder.get("apiVersion") or "").partition("/")[0]
    return (
        holder.get("kind") == owner.get("kind")
        and holder.get("name") == metadata(owner)["name"]
        and group == str(owner.get("apiVersion") or "").partition("/")[0]
    )


async def _holder(client: Client, action: Apply) -> Object | None:
    """Who has the name. A list, which we may do anyway, spares the right to get."""
    named = f"metadata.name={action.key.name}"
    listed = await client.list(action.resource, action.key.namespace, field_selector=named)
    return listed.items[0] if listed.items else None


async def _change(action: Apply, hand_over: list[Object], client: Client) -> Object:
    if hand_over:
        await client.patch(
            action.resource,
            action.key.name,
            hand_over,
            namespace=action.key.namespace,
            type=PatchType.JSON,
            field_manager=c.MANAGER,
        )
    return await client.apply(action.resource, action.object, field_manager=c.MANAGER)


def _taken(owner: Object, action: Apply, found: Object) -> NameTaken:
    holder = controller_of(found)
    described = f"{holder['kind']} {holder['name']}" if holder else "nobody that OME knows"
    passing = is_deleting(found) or (holder is not None and _is_name_of(holder, owner))
    return NameTaken(action.resource.kind, action.key.name, described, passing=passing)


async def _set_replicas(client: Client, resource: Resource, key: Key, count: int) -> Object:
    return await client.patch(
        resource,
        key.name,
        {"spec": {"replicas": count}},
        namespace=key.namespace,
        field_manager=SCALE_MANAGER,
    )


async def _delete(action: Delete, client: Client) -> bool:
    try:
        await client.delete(
            action.resource,
            action.key.name,
            action.key.namespace,
            propagation="Foreground" if action.anew else "Background",
            uid=action.uid,
        )
    except (NotFound, Conflict):
        return False  # gone already, or a new object has the name
    return True
