"""``ome model prune``: downloads on this machine that no model wants any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from ome.apimachinery.objects import Object
from ome.apimachinery.resources import PODS
from ome.cli.errors import CliError
from ome.cli.options import target
from ome.cli.output import size
from ome.cli.target import Context


@dataclass(frozen=True, slots=True)
class _Orphan:
    path: Path
    size_bytes: int
    uri: str
    user: str
    """The pod that has it mounted, if one has."""


@click.command(epilog="For example: ome model prune; ome model prune --yes")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, delete nothing.")
@target
def command(context: Context, yes: bool, dry_run: bool) -> None:
    """Delete downloads on this machine that no model object wants any more.

    That is what models with the label models.ome/reserve-model-artifact left, for example. What a
    pod uses stays, and so does everything that OME did not download. On a cluster the agents do
    this by themselves.
    """
    if context.remote:
        raise CliError(
            "the models of a cluster are on its nodes",
            remedy="The agents there delete what nobody wants any more",
        )
    from ome.cli import models

    api = context.api()
    objects = [o for resource in models.KINDS for o in api.list(resource)]
    objects += api.list(models.WEIGHTS)
    found = orphans(context.home.models, objects, api.list(PODS))
    output = context.output
    for orphan in found:
        used = f", kept: pod {orphan.user} uses it" if orphan.user else ""
        output.print(f"{orphan.path}   {size(orphan.size_bytes)}   {orphan.uri}{used}")
    going = [orphan for orphan in found if not orphan.user]
    total = size(sum(orphan.size_bytes for orphan in going))
    if not going:
        output.say("nothing to delete")
        return
    if dry_run:
        output.say(f"would delete {len(going)} folder(s), {total}")
        return
    if not yes and not click.confirm(f"Delete {len(going)} folder(s), {total}?", err=True):
        raise click.Abort
    for orphan in going:
        _delete(orphan.path, context.home.models)
    output.say(f"deleted {len(going)} folder(s), {total}")


def orphans(root: Path, models: Iterable[Object], pods: list[Object]) -> list[_Orphan]:
    """Published folders below ``root`` that are no model's."""
    from ome.agent import removal
    from ome.agent.paths import PathMap
    from ome.agent.target import target_of
    from ome.api.constants import DEFAULT_MODELS_ROOT
    from ome.storage import StorageError, manifest

    paths = PathMap({DEFAULT_MODELS_ROOT: root})
    wanted = set()
    for model in models:
        try:
            wanted.add(target_of(model, paths).path)
        except (StorageError, KeyError):
            continue  # such a model has no folder
    found = []
    for folder in removal.published(root) if root.is_dir() else ():
        listed = manifest.read(folder)
        if folder in wanted or listed is None:
            continue
        user = removal.pod_using(pods, folder, paths)
        found.append(_Orphan(folder, listed.size, listed.uri, user))
    return found


def _delete(folder: Path, root: Path) -> None:
    from ome.agent import removal
    from ome.storage import StorageError, publish

    try:
        with publish.lock(folder):
            pass  # nobody else works on it
        removal.erase(folder, [root])
    except StorageError as error:
        raise CliError(error.message, remedy=error.remedy) from error
    except OSError as error:
        raise CliError(
            f"it can't be deleted: {error.strerror}", where=str(error.filename or folder)
        ) from error
