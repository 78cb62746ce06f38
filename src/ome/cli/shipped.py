"""The shipped catalog on a cluster: runtimes, accelerator classes and the models that are named.

The replica that leads puts it there once it acts, since its webhooks look at these objects too: an
installation could not. Only what changed in the catalog is written, so a restart writes nothing.
What people have changed stays: an object that somebody else made is left alone, and so are fields
that somebody else has taken. What is deleted comes back with the next leader; who wants to be rid
of it switches the catalog off, which deletes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence

from ome.api import resources as o
from ome.apimachinery.errors import Conflict, NotFound, StatusError
from ome.apimachinery.objects import Object, Resource, annotations_of, metadata
from ome.cli import forbidden
from ome.cli.bootstrap import A_HASH, digest
from ome.cli.errors import CliError, usage
from ome.cli.prepare import catalog_dir
from ome.kube import Client, KubeError

log = logging.getLogger("ome.catalog")

MANAGER = "ome-catalog"
_RETRY_SECONDS = 10.0


def names(text: str) -> list[str]:
    """A JSON list of names of models."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise usage(f"{text!r} is no list of models", 'Write a JSON list such as ["qwen3-8b"]')
    return found


def chosen(models: Iterable[str]) -> list[Object]:
    """All runtimes for clusters, all accelerator classes, and these models. Raises CliError."""
    from ome.cli import manifests

    root = catalog_dir()
    every = {path.stem: path for path in sorted((root / "models").glob("*.yaml"))}
    if unknown := sorted(set(models) - set(every)):
        raise CliError(
            f"the catalog has no model {', '.join(unknown)}",
            remedy=f"There are: {', '.join(every)}",
            code=2,
        )
    paths = [
        *sorted((root / "accelerators").glob("*.yaml")),
        *sorted((root / "runtimes" / "cluster").glob("*.yaml")),
        *(every[name] for name in sorted(set(models))),
    ]
    return [entry.object for entry in manifests.read([str(path) for path in paths])]


async def put(client: Client, objects: Sequence[Object]) -> None:
    """Returns when each is there. What is refused is tried again, and said."""
    left = list(objects)
    while left:
        failed = []
        for obj in left:
            try:
                await _put(client, obj)
            except (StatusError, KubeError) as error:
                log.warning("catalog: %s: %s", _title(obj), forbidden.explained(str(error)))
                failed.append(obj)
        left = failed
        if left:
            await asyncio.sleep(_RETRY_SECONDS)


async def _put(client: Client, obj: Object) -> None:
    resource = o.by_kind(obj["kind"])
    assert resource is not None, obj["kind"]
    live = await _live(client, resource, metadata(obj)["name"])
    wanted = _marked(obj)
    held = annotations_of(live).get(A_HASH) if live is not None else None
    if held == annotations_of(wanted)[A_HASH]:
        return
    if live is not None and held is None:
        log.info("catalog: left %s as it is: somebody else has made it", _title(obj))
        return
    try:
        await client.apply(resource, wanted, field_manager=MANAGER, force=False)
    except Conflict as conflict:
        fields = ", ".join(cause.path for cause in conflict.causes)
        log.info("catalog: left %s as somebody has changed it (%s)", _title(obj), fields)
    else:
        log.info("catalog: %s %s", "updated" if live is not None else "made", _title(obj))


async def _live(client: Client, resource: Resource, name: str) -> Object | None:
    try:
        return await client.get(resource, name)
    except NotFound:
        return None


def _marked(obj: Object) -> Object:
    meta = metadata(obj)
    annotations = {**(meta.get("annotations") or {}), A_HASH: digest(obj)}
    return {**obj, "metadata": {**meta, "annotations": annotations}}


def _title(obj: Object) -> str:
    return f"{obj['kind']} {metadata(obj)['name']}"
