"""``ome validate``: everything that can be said of files without any server."""

from __future__ import annotations

import click

from ome.api import resources as ours
from ome.apimachinery.objects import Object, Resource
from ome.cli import checks, kinds, manifests, prepare
from ome.cli.errors import CliError
from ome.cli.manifests import Manifest
from ome.cli.options import file_option
from ome.cli.target import Context


@click.command()
@file_option()
@click.pass_obj
def command(context: Context, files: tuple[str, ...]) -> None:
    """Check FILEs: syntax, kinds, fields, types, and OME's own rules. No server is asked."""
    entries = manifests.read(files)
    resources = checks.check_all(entries)
    problems: list[CliError] = []
    view = Files([*entries, *_shipped()])
    for entry, resource in zip(entries, resources, strict=True):
        errors, warnings = review(entry, resource, view)
        problems += errors
        for text in warnings:
            context.output.warn(f"{entry.where}: {entry.title}: {text}")
    manifests.raise_all(problems)
    checked = sum(r in ours.ALL for r in resources)
    rest = len(entries) - checked
    other = f"; {rest} of other kinds were only read" if rest else ""
    context.output.print(f"{checked} object(s) are valid{other}")


def _shipped() -> list[Manifest]:
    """The runtimes that ``ome up`` installs; they are there before anything is applied."""
    return manifests.read([str(p) for p in prepare.host_runtimes()])


class Files:
    """The objects of the files, as the read-only view that OME's rules look things up in."""

    def __init__(self, entries: list[Manifest]) -> None:
        self._objects: dict[tuple[str, str, str], Object] = {}
        for entry in entries:
            meta = entry.object["metadata"]
            resource = kinds.resource_of(entry.object["kind"], entry.object["apiVersion"])
            namespace = (meta.get("namespace") or "default") if resource.namespaced else ""
            self._objects.setdefault((resource.plural, namespace, meta["name"]), entry.object)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        where = namespace if resource.namespaced else ""
        return self._objects.get((resource.plural, where, name))

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [
            obj
            for (plural, where, _), obj in sorted(self._objects.items())
            if plural == resource.plural and (not namespace or where in ("", namespace))
        ]


def review(entry: Manifest, resource: Resource, view: Files) -> tuple[list[CliError], list[str]]:
    """What admission would say of creating the object."""
    from ome.admission import OmeAdmission

    if resource not in ours.ALL:
        return [], []
    found = OmeAdmission().review("CREATE", resource, entry.object, None, view)
    return [entry.problem(error) for error in found.errors], found.warnings
