"""Everything that can be said of files without any server: the checks of admission, with lines.

Per object, in this order: is its kind known, what its schema says, what OME's rules say, what
Kubernetes asks of names and labels. Rules are asked only where the schema has nothing to say, as in
an API server; what is found is never said twice.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from ome.api import resources as ours
from ome.apimachinery import core_validation
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object, Resource
from ome.cli import checks, kinds, manifests, prepare
from ome.cli.errors import CliError
from ome.cli.manifests import Manifest, Problem

_PATH = re.compile(r"(?:metadata|spec|status)(?:\.[\w-]+|\[[^\]]*\])*")
_GROUPS = frozenset(resource.group for resource in kinds.KNOWN)


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One line of the answer. ``line`` is 0 and texts are empty where there is none."""

    severity: str
    file: str
    line: int = 0
    object: str = ""
    field: str = ""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = (place, self.object, self.field, self.message)
        return ": ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Examined:
    """``checked`` of our kinds, ``other`` of kinds that were only read."""

    findings: list[Finding]
    checked: int
    other: int

    def count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)


def examine(entries: Sequence[Manifest], problems: Iterable[CliError] = ()) -> Examined:
    """``problems`` are those that reading the files came upon."""
    findings = [of_problem(problem) for problem in problems]
    view = Files([*entries, *_shipped()])
    checked = other = 0
    seen: dict[tuple[str, str, str], Manifest] = {}
    for entry in entries:
        try:
            resource = _resource(entry)
        except Problem as problem:
            findings.append(of_problem(problem))
            continue
        if resource is None:
            other += 1
            continue
        first = seen.setdefault(_place(entry, resource), entry)
        if first is not entry:
            findings.append(_warning(entry, f"the same object stands in {first.where} already"))
        if resource in ours.ALL:
            checked += 1
            findings += review(entry, resource, view)
        else:
            other += 1
    findings.sort(key=lambda finding: (finding.file, finding.line))
    return Examined(findings, checked, other)


def of_problem(error: CliError) -> Finding:
    if not isinstance(error, Problem):
        return Finding(severity="error", file=error.where, message=error.message)
    return Finding(
        severity="error",
        file=error.path,
        line=error.line,
        object=error.title,
        field=error.field,
        message=error.text,
    )


def review(entry: Manifest, resource: Resource, view: Files) -> list[Finding]:
    """What an API server with OME's admission would say of creating the object."""
    from ome.admission import OmeAdmission

    errors = checks.schema_problems(entry, resource)
    if errors:
        return [of_problem(entry.problem(error)) for error in errors]
    found = OmeAdmission().review("CREATE", resource, entry.object, None, view)
    taken = {error.path for error in found.errors}
    errors = [*found.errors, *(e for e in _of_metadata(entry, resource) if e.path not in taken)]
    return [
        *(of_problem(entry.problem(error)) for error in errors),
        *(_warning(entry, text) for text in found.warnings),
    ]


def _of_metadata(entry: Manifest, resource: Resource) -> list[FieldError]:
    """Kubernetes' own rules. Who names no namespace gets one when the object is applied; one that
    a kind of the cluster names is ignored."""
    meta = dict(entry.object["metadata"])
    namespace = meta.pop("namespace", "") or "default"
    if resource.namespaced:
        meta["namespace"] = namespace
    return core_validation.validate(resource, {**entry.object, "metadata": meta})


def _warning(entry: Manifest, text: str) -> Finding:
    """Warnings are sentences; one that begins with a field stands on the field's line."""
    path = _PATH.match(text)
    line = entry.line_of(path[0].rstrip(".")) if path else entry.line
    return Finding(severity="warning", file=entry.path, line=line, object=entry.title, message=text)


def _resource(entry: Manifest) -> Resource | None:
    """The resource; None for kinds of other projects, such as a ScaledObject. Raises Problem."""
    kind, version = entry.object["kind"], entry.object["apiVersion"]
    try:
        return kinds.resource_of(kind, version)
    except CliError as error:
        group = version.rpartition("/")[0]
        known = [resource.kind for resource in kinds.KNOWN]
        if group not in _GROUPS and not difflib.get_close_matches(kind, known, n=1, cutoff=0.8):
            return None
        field = "apiVersion" if kind in known else "kind"
        raise Problem(
            error.message,
            path=entry.path,
            line=entry.line_of(field),
            title=entry.title,
            field=field,
            remedy=error.remedy,
        ) from error


def _place(entry: Manifest, resource: Resource) -> tuple[str, str, str]:
    meta = entry.object["metadata"]
    namespace = (meta.get("namespace") or "default") if resource.namespaced else ""
    return resource.plural, str(namespace), meta["name"]


def _shipped() -> list[Manifest]:
    """The runtimes that ``ome up`` installs; they are there before anything is applied."""
    return manifests.read([str(p) for p in prepare.host_runtimes()])


class Files:
    """The objects of the files, as the read-only view that OME's rules look things up in.

    Objects whose schema has something to say are not in it: rules could stumble over them.
    """

    def __init__(self, entries: Iterable[Manifest]) -> None:
        self._objects: dict[tuple[str, str, str], Object] = {}
        for entry in entries:
            resource = checks.known_or_none(entry)
            if resource is not None and not checks.schema_problems(entry, resource):
                self._objects.setdefault(_place(entry, resource), entry.object)
        self._sorted = sorted(self._objects.items(), key=lambda item: item[0])

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        where = namespace if resource.namespaced else ""
        return self._objects.get((resource.plural, where, name))

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [
            obj
            for (plural, where, _), obj in self._sorted
            if plural == resource.plural and (not namespace or where in ("", namespace))
        ]
