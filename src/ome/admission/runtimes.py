"""What makes a ServingRuntime or ClusterServingRuntime invalid, and what is worth a warning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ome.admission.superseded import no_effect
from ome.admission.templates import ephemeral_errors, number_errors
from ome.admission.view import View
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object, metadata
from ome.selection.sizes import parse_parameters


def runtime_errors(obj: Object) -> list[FieldError]:
    """Everything that is wrong with the runtime itself; a disabled one may be anything."""
    spec = obj.get("spec") or {}
    if spec.get("disabled") is True:
        return []
    return [
        *_size_range(spec),
        *_workers(spec),
        *_node_groups(spec),
        *_ephemeral(spec),
        *number_errors(spec, "spec"),
        *_priorities(spec),
    ]


def _size_range(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    given = spec.get("modelSizeRange") or {}
    low, high = parse_parameters(given.get("min")), parse_parameters(given.get("max"))
    if low is not None and high is not None and low > high:
        yield FieldError(
            "spec.modelSizeRange",
            f"min {given['min']} is more than max {given['max']}, so no model would ever fit",
        )


def _workers(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    """The legacy top-level workers, where only an engine is configured."""
    both = spec.get("engineConfig") is not None and spec.get("decoderConfig") is not None
    size = (spec.get("workers") or {}).get("size")
    if both:
        return
    multi = "several nodes need a leader, a worker and a worker size of at least 1"
    if isinstance(size, int | float) and size <= 0:
        yield FieldError("spec.workers.size", f"{size} is too few: {multi}")
        return
    if spec.get("engineConfig") is None:
        return
    modes = {
        item.get("value")
        for container in spec.get("containers") or ()
        for item in container.get("env") or ()
        if item.get("name") == c.E_DEPLOYMENT_MODE
    }
    if c.MODE_MULTI_NODE in modes and not size:
        yield FieldError("spec.workers.size", f"{c.E_DEPLOYMENT_MODE} says MultiNode: {multi}")
    if c.MODE_RAW in modes and size:
        yield FieldError(
            "spec.workers",
            f"{c.E_DEPLOYMENT_MODE} says RawDeployment, which has no workers; remove one of them",
        )


def _node_groups(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for name in ("engineConfig", "decoderConfig"):
        part = spec.get(name) or {}
        leader, worker = part.get("leader"), part.get("worker")
        if worker is not None and leader is None:
            yield FieldError(
                f"spec.{name}.leader",
                "a worker needs a leader; add one",
                "FieldValueRequired",
            )
        size = (worker or {}).get("size")
        if isinstance(size, int | float) and size <= 0:
            yield FieldError(f"spec.{name}.worker.size", f"{size} must be at least 1")


def _ephemeral(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for component in c.COMPONENTS:
        part = spec.get(f"{component}Config")
        if part is not None:
            yield from ephemeral_errors(part, f"spec.{component}Config")


def _priorities(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    """Entries of one name stand for one format, so they can't differ in priority."""
    seen: dict[str, tuple[int, int]] = {}
    for index, entry in enumerate(spec.get("supportedModelFormats") or ()):
        name, priority = entry.get("name"), entry.get("priority")
        if not name or priority is None or entry.get("autoSelect") is not True:
            continue
        first = seen.setdefault(name, (index, priority))
        if first[1] != priority:
            yield FieldError(
                f"spec.supportedModelFormats[{index}].priority",
                f"{priority} differs from {first[1]}, which entry {first[0]} of the same name "
                f"({name}) has; give both the same or different names",
            )


def runtime_warnings(obj: Object, view: View) -> list[str]:
    """Accelerator classes that don't exist yet, sizes that can't be read, ties with others."""
    spec = obj.get("spec") or {}
    if spec.get("disabled") is True:
        return []
    found = []
    wanted = (spec.get("acceleratorRequirements") or {}).get("acceleratorClasses") or ()
    missing = [name for name in wanted if view.get(o.ACCELERATOR_CLASSES, "", name) is None]
    if missing:
        found.append(
            f"accelerator classes {', '.join(missing)} do not exist yet; services that need them "
            "wait until they are applied"
        )
    given = spec.get("modelSizeRange") or {}
    for side in ("min", "max"):
        if given.get(side) and parse_parameters(given[side]) is None:
            found.append(
                f"spec.modelSizeRange.{side} {given[side]!r} is no size (write 7B or 500M); it is "
                "ignored"
            )
    return [*found, *no_effect(spec), *_ties(obj, view)]


def _ties(obj: Object, view: View) -> list[str]:
    namespace = metadata(obj).get("namespace") or ""
    name = metadata(obj).get("name")
    resource = o.SERVING_RUNTIMES if namespace else o.CLUSTER_SERVING_RUNTIMES
    mine = _signatures(obj)
    return [
        f"{resource.kind} {metadata(peer)['name']} takes the same models ({format_}) with the same "
        "priority; the name that sorts first wins. Give one a higher priority"
        for peer in view.list(resource, namespace)
        if metadata(peer).get("name") != name
        for format_ in sorted(mine.keys() & _signatures(peer).keys())[:1]
    ]


def _signatures(obj: Object) -> dict[str, None]:
    """What the automatic entries take, in words; equal words tie."""
    spec = obj.get("spec") or {}
    if spec.get("disabled") is True:
        return {}
    given = spec.get("modelSizeRange") or {}
    bounds = f"{parse_parameters(given.get('min'))}-{parse_parameters(given.get('max'))}"
    found: dict[str, None] = {}
    for entry in spec.get("supportedModelFormats") or ():
        if entry.get("autoSelect") is not True:
            continue
        parts = [
            *(_named(entry.get(key) or {}) for key in ("modelFormat", "modelFramework")),
            entry.get("modelArchitecture") or "any architecture",
            entry.get("quantization") or "",
            str(entry.get("diffusionPipeline") or ""),
            bounds,
            f"priority {entry.get('priority') or 1}",
        ]
        found[", ".join(part for part in parts if part.strip())] = None
    return found


def _named(given: Mapping[str, Any]) -> str:
    parts = (given.get("name"), given.get("version"), given.get("operator"))
    return " ".join(str(part) for part in parts if part)
