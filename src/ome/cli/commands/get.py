"""``ome get``: models, runtimes and services at a glance; any kind, any format."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import click

from ome.api import resources as ours
from ome.apimachinery.objects import Object, Resource
from ome.cli import kinds, views
from ome.cli.api import Api
from ome.cli.errors import CliError, usage
from ome.cli.options import format_option, target
from ome.cli.output import Output
from ome.cli.target import Context

Row = Callable[[Object, float], tuple[str, ...]]

_OWN: dict[str, tuple[tuple[str, ...], Row]] = {
    "InferenceService": (views.SERVICE_COLUMNS, views.service_row),
    "BaseModel": (views.MODEL_COLUMNS, views.model_row),
    "ClusterBaseModel": (views.MODEL_COLUMNS, views.model_row),
    "ServingRuntime": (views.RUNTIME_COLUMNS, views.runtime_row),
    "ClusterServingRuntime": (views.RUNTIME_COLUMNS, views.runtime_row),
}
_OVERVIEW = (
    ("MODELS", (ours.CLUSTER_BASE_MODELS, ours.BASE_MODELS)),
    ("RUNTIMES", (ours.CLUSTER_SERVING_RUNTIMES, ours.SERVING_RUNTIMES)),
    ("SERVICES", (ours.INFERENCE_SERVICES,)),
)


@click.command()
@click.argument("kind", required=False)
@click.argument("names", nargs=-1)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces.")
@click.option("-l", "--selector", "labels", default="", metavar="QUERY", help="By labels.")
@click.option("--show-managed-fields", "managed", is_flag=True, help="In json and yaml.")
@format_option()
@target
def command(
    context: Context,
    kind: str | None,
    names: tuple[str, ...],
    everywhere: bool,
    labels: str,
    managed: bool,
    form: str,
) -> None:
    """Show models, runtimes and services with READY and WHY, or the objects of one KIND."""
    api = context.api()
    if kind is None:
        _overview(api, context.output, labels, form, managed=managed)
        return
    if "/" in kind and not names:
        kind, _, name = kind.partition("/")
        names = (name,)
    if names and everywhere:
        raise usage("a name and --all-namespaces don't go together")
    namespace = "" if everywhere else api.namespace
    wanted = kinds.resources_for(kind, api)
    if form in ("table", "wide") and wanted[0].kind not in _OWN:
        _server_table(api, context.output, wanted[0], namespace, names, labels)
        return
    found = _fetch(api, wanted, namespace, names, labels)
    if form in ("table", "wide"):
        if not found:
            where = f" in namespace {namespace}" if namespace and wanted[0].namespaced else ""
            context.output.say(f"no {kind} found{where}")
        else:
            _table(context.output, found, form)
    else:
        _print(context.output, found, form, single=len(names) == 1, managed=managed)


def _overview(api: Api, output: Output, labels: str, form: str, *, managed: bool) -> None:
    everything: list[Object] = []
    for title, wanted in _OVERVIEW:
        found = [o for r in wanted for o in api.list(r, labels=labels)]
        everything += found
        if form in ("table", "wide"):
            output.print(output.paint(title, "bold"))
            if found:
                _table(output, found, form)
            else:
                output.print("none")
            if title != "SERVICES":
                output.print()
    if form not in ("table", "wide"):
        _print(output, everything, form, single=False, managed=managed)


def _fetch(
    api: Api, wanted: Sequence[Resource], namespace: str, names: Sequence[str], labels: str
) -> list[Object]:
    if not names:
        return [o for r in wanted for o in api.list(r, namespace, labels=labels)]
    found = []
    for name in names:
        hits = [o for r in wanted if (o := api.find(r, name, namespace)) is not None]
        if not hits:
            there = [o["metadata"]["name"] for r in wanted for o in api.list(r, namespace)]
            raise not_found(wanted[0], name, namespace, there)
        found += hits
    return found


def not_found(resource: Resource, name: str, namespace: str, there: Sequence[str]) -> CliError:
    where = f" in namespace {namespace}" if resource.namespaced and namespace else ""
    shown = ", ".join(there[:10]) + (", …" if len(there) > 10 else "")
    return CliError(
        f"there is no {resource.kind} '{name}'{where}",
        remedy=f"There is: {shown}" if there else f"There is no {resource.kind} at all",
    )


def _table(output: Output, found: Sequence[Object], form: str) -> None:
    now = time.time()
    columns, row = _OWN[found[0]["kind"]]
    rows = [row(obj, now) for obj in found]
    if form == "table" and output.out.isatty():
        rows = [tuple(cell if len(cell) <= 90 else f"{cell[:89]}…" for cell in r) for r in rows]
    if form == "wide" and found[0]["kind"] == "InferenceService":
        columns = (*columns[:-1], "URL", columns[-1])
        urls = [(o.get("status") or {}).get("url") or "" for o in found]
        rows = [(*r[:-1], url, r[-1]) for r, url in zip(rows, urls, strict=True)]
    output.table(columns, rows)


def _server_table(
    api: Api,
    output: Output,
    resource: Resource,
    namespace: str,
    names: Sequence[str],
    labels: str,
) -> None:
    """Kinds that are not ours look as the API server shows them."""
    rows: list[tuple[str, ...]] = []
    headers: tuple[str, ...] = ()
    everywhere = resource.namespaced and not namespace
    for name in names or ("",):
        table = api.table(resource, namespace, name=name, labels=labels)
        if "columnDefinitions" not in table:
            table = _plain_table(table)
        columns = table.get("columnDefinitions") or ()
        shown = [i for i, c in enumerate(columns) if not c.get("priority")]
        headers = tuple(str(columns[i]["name"]).upper() for i in shown)
        if everywhere:
            headers = ("NAMESPACE", *headers)
        for entry in table.get("rows") or ():
            cells = entry["cells"]
            row = tuple("" if cells[i] is None else str(cells[i]) for i in shown)
            if everywhere:
                row = (str(entry["object"]["metadata"].get("namespace", "")), *row)
            rows.append(row)
    if not rows:
        output.say(f"no {resource.plural} found")
    else:
        output.table(headers, rows)


def _plain_table(answer: Object) -> Object:
    """The least there is to show, where a server has no table for a kind."""
    now = time.time()
    items = answer["items"] if isinstance(answer.get("items"), list) else [answer]
    columns = [{"name": "Name"}, {"name": "Age"}]
    rows = [{"cells": [o["metadata"]["name"], views.age(o, now)], "object": o} for o in items]
    return {"columnDefinitions": columns, "rows": rows}


def _print(
    output: Output, found: Sequence[Object], form: str, *, single: bool, managed: bool
) -> None:
    if not managed:
        found = [_without_managed_fields(o) for o in found]
    if form == "name":
        for obj in found:
            group = obj["apiVersion"].partition("/")[0] if "/" in obj["apiVersion"] else ""
            kind = obj["kind"].lower() + (f".{group}" if group else "")
            output.print(f"{kind}/{obj['metadata']['name']}")
    elif single and len(found) == 1:
        output.object(found[0], form)
    else:
        output.object({"apiVersion": "v1", "kind": "List", "items": list(found)}, form)


def _without_managed_fields(obj: Object) -> Object:
    """Who owns which field is for machines: as kubectl, it is shown only when asked for."""
    meta = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return {**obj, "metadata": meta}
