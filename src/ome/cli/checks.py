"""What can be said of manifests without any server: kinds, and OME's own schemas."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Sequence

from ome.api import resources as ours
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Resource
from ome.apimachinery.schema import Schema
from ome.cli import kinds, manifests
from ome.cli.errors import CliError
from ome.cli.manifests import STEP, Manifest

_IN_BODY = re.compile(r"Invalid value: (?P<value>.*): \S+ in body (?P<rule>.*)", re.DOTALL)
_TYPE = re.compile(r'must be of type (\w+): "(\w+)"')


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
            known_kind = any(r.kind == entry.object["kind"] for r in kinds.KNOWN)
            error.where = entry.locate("apiVersion" if known_kind else "kind")
            problems.append(error)
            continue
        resources.append(resource)
        problems += [entry.problem(p) for p in schema_problems(entry, resource)]
    manifests.raise_all(problems)
    return resources


def known(entry: Manifest) -> Resource:
    return kinds.resource_of(entry.object["kind"], entry.object["apiVersion"])


def known_or_none(entry: Manifest) -> Resource | None:
    """Like :func:`known`; None for kinds of other projects."""
    try:
        return known(entry)
    except CliError:
        return None


def schema_problems(entry: Manifest, resource: Resource) -> list[FieldError]:
    """Unknown, mistyped and missing fields of one of our kinds; nothing for other kinds."""
    if resource not in ours.ALL:
        return []
    schema = schema_of(resource)
    pruned, unknown = schema.prune(entry.object)
    problems = [FieldError(path, _unknown(path, schema)) for path in unknown]
    return problems + [_plain(e) for e in schema.validate(schema.default(pruned))]


def _plain(error: FieldError) -> FieldError:
    """The same without what Kubernetes' wording says twice."""
    found = _IN_BODY.fullmatch(error.message)
    if found is None:
        return error
    typed = _TYPE.fullmatch(found["rule"])
    if typed is not None:
        text = f"must be of type {typed[1]}, this is of type {typed[2]}"
    else:
        text = f"{found['value']} {found['rule']}"
    return FieldError(error.path, text, error.reason)


@functools.cache
def schema_of(resource: Resource) -> Schema:
    """The schema of one of our kinds, as its CRD states it."""
    from ome.api.crds import crd

    version = crd(resource)["spec"]["versions"][0]
    return Schema.from_crd(version["schema"]["openAPIV3Schema"])


def _unknown(path: str, schema: Schema) -> str:
    """What is wrong with an unknown field, with the nearest known name."""
    parent, _, name = path.rpartition(".")
    node: Schema | None = schema
    for step in STEP.findall(parent):
        node = node and (node.items if step.startswith("[") else node.child(step))
    known = list(node.properties) if node is not None else []
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return (
        f"there is no such field; did you mean {close[0]}?" if close else "there is no such field"
    )
