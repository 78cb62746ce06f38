"""``ome model list``: the models, where they are and how far."""

from __future__ import annotations

import time

import click

from ome.apimachinery.objects import Object
from ome.cli import views
from ome.cli.options import format_option, target
from ome.cli.target import Context

COLUMNS = ("NAME", "KIND", "ARCHITECTURE", "SIZE", "STATE", "NODES", "AGE", "WHY")


@click.command(epilog="For example: ome model list; ome model list -o json")
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces.")
@format_option("table", "wide", "json", "yaml", "name")
@target
def command(context: Context, everywhere: bool, form: str) -> None:
    """The models with their state, the nodes that have them, and what the others wait for."""
    from ome.cli import models

    api = context.api()
    namespace = "" if everywhere else api.namespace
    found = [o for resource in models.KINDS for o in api.list(resource, namespace)]
    if form in ("json", "yaml"):
        context.output.object({"apiVersion": "v1", "kind": "List", "items": found}, form)
    elif form == "name":
        for obj in found:
            context.output.print(f"{obj['kind'].lower()}.ome.io/{obj['metadata']['name']}")
    elif not found:
        context.output.say("no models. Make one: ome model add hf://Qwen/Qwen3-0.6B")
    else:
        columns = (*COLUMNS, "SOURCE") if form == "wide" else COLUMNS
        now = time.time()
        context.output.table(columns, [_row(obj, now)[: len(columns)] for obj in found])


def _row(obj: Object, now: float) -> tuple[str, ...]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return (
        views.name_of(obj),
        obj["kind"],
        spec.get("modelArchitecture") or "",
        spec.get("modelParameterSize") or "",
        status.get("state") or "Unknown",
        _nodes(status),
        views.age(obj, now),
        views.why(obj),
        (spec.get("storage") or {}).get("storageUri") or "",
    )


def _nodes(status: Object) -> str:
    """``2 of 3``: nodes that have it, of those that should."""
    ready = len(status.get("nodesReady") or ())
    others = len(status.get("nodesFailed") or ()) + len(status.get("nodesPending") or ())
    return f"{ready} of {ready + others}" if others else str(ready)
