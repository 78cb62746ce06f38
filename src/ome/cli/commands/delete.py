"""``ome delete``: by kind and name, or the objects of files; waits until they are gone."""

from __future__ import annotations

import time

import click

from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Resource
from ome.cli import kinds, manifests
from ome.cli.api import Api
from ome.cli.commands.get import not_found
from ome.cli.errors import CliError, usage
from ome.cli.options import file_option, target
from ome.cli.target import Context


@click.command()
@click.argument("kind", required=False)
@click.argument("names", nargs=-1)
@file_option(required=False)
@click.option("--ignore-not-found", "lenient", is_flag=True, help="No error for what is not there.")
@click.option("--wait/--no-wait", default=True, help="Wait until it is gone.  [default: wait]")
@click.option("--timeout", type=float, default=120.0, show_default=True, metavar="SECONDS")
@target
def command(
    context: Context,
    kind: str | None,
    names: tuple[str, ...],
    files: tuple[str, ...],
    lenient: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Delete objects: KIND NAME..., KIND/NAME, or those in FILEs."""
    wanted = _wanted(context, kind, names, files)
    api = context.api()
    gone = []
    for resource_word, name, namespace in wanted:
        resource = _existing(api, resource_word, name, namespace or api.namespace)
        if resource is None:
            if lenient:
                continue
            first = kinds.resources_for(resource_word, api)[0]
            there = [o["metadata"]["name"] for o in api.list(first, namespace or api.namespace)]
            raise not_found(first, name, namespace or api.namespace, there)
        where = (namespace or api.namespace) if resource.namespaced else ""
        api.delete(resource, name, where)
        gone.append((resource, name, where))
    for resource, name, where in gone:
        if wait:
            _until_gone(api, context, resource, name, where, timeout)
        context.output.print(f"{resource.kind} {name} deleted")


def _wanted(
    context: Context, kind: str | None, names: tuple[str, ...], files: tuple[str, ...]
) -> list[tuple[str, str, str]]:
    if files:
        if kind:
            raise usage("either KIND NAME or -f FILE, not both")
        entries = manifests.read(files)
        # The other way round, so that what was made last goes first.
        return [
            (
                _word(e.object["kind"], e.object["apiVersion"]),
                e.object["metadata"]["name"],
                e.object["metadata"].get("namespace") or "",
            )
            for e in reversed(entries)
        ]
    if kind and "/" in kind and not names:
        kind, _, name = kind.partition("/")
        names = (name,)
    if not kind or not names or not all(names):
        raise usage("what is to be deleted?", "Say KIND NAME, for example: ome delete isvc smollm2")
    return [(kind, name, context.namespace or "") for name in names]


def _word(kind: str, api_version: str) -> str:
    group = api_version.partition("/")[0] if "/" in api_version else ""
    return f"{kind.lower()}.{group}" if group else kind.lower()


def _existing(api: Api, word: str, name: str, namespace: str) -> Resource | None:
    for resource in kinds.resources_for(word, api):
        if api.find(resource, name, namespace) is not None:
            return resource
    return None


def _until_gone(
    api: Api, context: Context, resource: Resource, name: str, namespace: str, timeout: float
) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            left = api.get(resource, name, namespace)
        except NotFound:
            return
        finalizers = ", ".join(left["metadata"].get("finalizers") or ())
        waits = f"waits for {finalizers}" if finalizers else "not gone yet"
        if time.monotonic() > deadline:
            raise CliError(
                f"{resource.kind} {name} is marked for deletion but still there after "
                f"{timeout:.0f} s ({waits})",
                remedy=f"'ome describe {resource.plural} {name}' shows more",
            )
        context.output.status(f"deleting {resource.kind} {name}: {waits}", fact=f"{name} {waits}")
        time.sleep(0.1)
