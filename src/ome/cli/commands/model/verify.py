"""``ome model verify``: every byte compared with its hash again, in a folder or on the nodes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ome.api.constants import A_VERIFY, NODE_MODEL_READY
from ome.apimachinery.objects import key_of
from ome.cli.errors import FAILURE, CliError
from ome.cli.options import target
from ome.cli.output import Output, size
from ome.cli.target import Context

_POLL_SECONDS = 0.3


@click.command(epilog="For example: ome model verify ./qwen3; ome model verify qwen3-0-6b")
@click.argument("place", metavar="NAME|DIR")
@click.option("--cluster", is_flag=True, help="The ClusterBaseModel of that name.")
@click.option("--timeout", type=float, default=3600.0, show_default=True, metavar="SECONDS")
@target
def command(context: Context, place: str, cluster: bool, timeout: float) -> None:
    """Look for bit rot: read all bytes of a model and compare them with the hashes of its source.

    DIR is a folder that OME downloaded. For the model NAME every node that has it looks, and a node
    that finds damage fetches the damaged files again. The status is 1 where anything is damaged.
    """
    folder = Path(place).expanduser()
    if "/" in place[:2] or place.startswith((".", "~")) or folder.is_dir():
        _folder(context.output, folder)
    else:
        _nodes(context, place, timeout, cluster=cluster)


def _folder(output: Output, folder: Path) -> None:
    from ome.storage import rot

    if not folder.is_dir():
        raise CliError("there is no such folder", where=str(folder))
    last = 0.0

    def tell(done: int, total: int, name: str) -> None:
        nonlocal last
        if time.monotonic() - last > 0.1:
            last = time.monotonic()
            tenth = done * 10 // total if total else 0
            output.status(f"{size(done)} of {size(total)}, {name}", fact=f"{tenth}0 %")

    found = rot.check(folder, tell)
    if found is None:
        raise CliError(
            "it has no manifest, so there are no hashes to compare with",
            where=str(folder),
            remedy="Only folders that OME downloaded can be verified",
        )
    for name in found.strangers:
        output.warn(f"{folder / name} is no file of the model")
    for name, why in found.damaged:
        output.error(f"{folder / name}: {why}")
    if not found.good:
        raise CliError(
            f"{len(found.damaged)} of {found.files} files are damaged",
            where=str(folder),
            remedy="Delete them and run 'ome model download' again: only they are fetched",
            code=FAILURE,
        )
    output.print(f"{folder}: {found.files} files, {size(found.size)}, all as they should be")


def _nodes(context: Context, name: str, timeout: float, *, cluster: bool) -> None:
    from ome.cli import modelreports, models

    api = context.api()
    resource, model = models.find(api, name, context.namespace, cluster=cluster)
    key = key_of(model)
    asked = f"{time.time():.3f}"
    waiting = {r.node for r in modelreports.reports(api, model) if r.status == NODE_MODEL_READY}
    if not waiting:
        raise CliError(
            f"no node has {resource.kind} {key}", remedy=f"See 'ome model describe {name}'"
        )
    patch = {"metadata": {"annotations": {A_VERIFY: asked}}}
    api.patch(resource, key.name, patch, key.namespace)
    deadline = time.monotonic() + timeout
    damaged: list[str] = []
    while waiting:
        for report in modelreports.reports(api, model):
            verified = report.entry.get("verified") or {}
            if report.node in waiting and verified.get("asked") == asked:
                waiting.discard(report.node)
                damaged += _said(context.output, report.node, verified)
        if not waiting:
            break
        if time.monotonic() > deadline:
            raise CliError(
                f"node {', '.join(sorted(waiting))} did not answer in {timeout:.0f} s",
                remedy="Look at the model agent there",
            )
        context.output.status(f"waiting for node {', '.join(sorted(waiting))}")
        time.sleep(_POLL_SECONDS)
    if damaged:
        raise CliError(
            f"damaged on {', '.join(damaged)}", where=str(key), remedy="It is being fetched again"
        )


def _said(output: Output, node: str, verified: dict[str, Any]) -> list[str]:
    """Prints what a node found; the node's name where that is damage."""
    if verified.get("note"):
        output.print(f"{node}: {verified['note']}")
    for entry in verified.get("damaged") or ():
        output.error(f"{node}: {entry['path']}: {entry['why']}")
    if verified.get("damaged"):
        return [node]
    if not verified.get("note"):
        files, total = verified.get("files") or 0, size(verified.get("bytes") or 0)
        output.print(f"{node}: {files} files, {total}, all as they should be")
    return []
