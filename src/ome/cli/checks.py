"""What can be said of manifests without any server: kinds, and OME's own schemas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ome.api import resources as ours
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Resource
from ome.cli import kinds, manifests
from ome.cli.errors import CliError
from ome.cli.manifests import Manifest


def check_all(
    entries: Sequence[Manifest], find: Callable[[Manifest], Resource] | None = None
) -> list[Resource]:
    """The resource of each object. Raises all problems of all files at once."""
    resources: list[Resource] = []
    problems: list[CliError] = []
    for entry in entries:
        try:
            resource = find(entry) if find else known(entry)
        except CliError as error:
            error.where = error.where or entry.locate("kind")
            problems.append(error)
            continue
        resources.append(resource)
        problems += [entry.problem(p) for p in schema_problems(entry, resource)]
    manifests.raise_all(problems)
    return resources


def known(entry: Manifest) -> Resource:
    return kinds.resource_of(entry.object["kind"], entry.object["apiVersion"])


def schema_problems(entry: Manifest, resource: Resource) -> list[FieldError]:
    """Unknown, mistyped and missing fields of one of our kinds; nothing for other kinds."""
    if resource not in ours.ALL:
        return []
    from ome.api.crds import schema_for

    schema = schema_for(resource)
    _, unknown = schema.prune(entry.object)
    problems = [FieldError(path, _unknown(path, schema)) for path in unknown]
    return problems + schema.validate(schema.default(entry.object))


def _unknown(path: str, schema: object) -> str:
    return "there is no such field"
