"""The criteria by which a runtime is judged, and the sentence for each that fails.

Judging is fast and says only *which* criteria failed (a bit each). Sentences are made when somebody
asks, from the same facts. An entry of ``supportedModelFormats`` is always judged as a whole, and
compatibility, score and the choice of accelerator overrides use the same judgement.

One-sided absence
    An entry that names an architecture takes exactly that architecture and exactly its
    quantization, where absent equals absent only: published runtimes rely on it (an ``fp8`` model
    never lands on a runtime made for the full-precision one). A *generic* entry names no
    architecture. It takes any architecture of its format; what else it leaves out (quantization,
    versions, framework) it also takes as given. A generic match ranks below every exact match,
    whatever the priorities, so that adding a generic runtime never changes an existing choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ome.selection.facts import DIFFUSION_PARTS, Diffusion, Entry, Model, Named, Runtime, Wishes
from ome.selection.sizes import format_parameters
from ome.selection.versions import Operator, accepts, requirement

# One bit per criterion. The low byte belongs to an entry, the rest to the runtime.
FORMAT = 1
FORMAT_VERSION = 2
FRAMEWORK = 4
FRAMEWORK_VERSION = 8
ARCHITECTURE = 16
QUANTIZATION = 32
DIFFUSION = 64
NO_ENTRIES = 1 << 8
DISABLED = 1 << 9
ACCELERATOR = 1 << 10
SIZE = 1 << 11
AUTO_SELECT = 1 << 12
PROTOCOL = 1 << 13


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one criterion failed. ``fix`` is what somebody could change so that it holds."""

    code: str
    message: str
    field: str
    fix: str

    def __str__(self) -> str:
        return self.message


def judge_entry(entry: Entry, model: Model) -> int:
    """The criteria that this entry fails for that model; 0 is a match."""
    failed = 0
    generic = entry.generic
    ours, theirs = entry.format, model.format
    if ours is None or theirs is None or ours.name != theirs.name:
        failed |= FORMAT
    elif not _version_matches(ours, theirs, generic):
        failed |= FORMAT_VERSION
    ours, theirs = entry.framework, model.framework
    if ours is None or theirs is None:
        if (ours is not None or theirs is not None) and not generic:
            failed |= FRAMEWORK
    elif ours.name != theirs.name:
        failed |= FRAMEWORK
    elif not _version_matches(ours, theirs, generic):
        failed |= FRAMEWORK_VERSION
    if entry.architecture != model.architecture and not generic:
        failed |= ARCHITECTURE
    if entry.quantization != model.quantization and (entry.quantization or not generic):
        failed |= QUANTIZATION
    if entry.diffusion and next(_diffusion_problems(entry.diffusion, model.diffusion), None):
        failed |= DIFFUSION
    return failed


def is_exact(entry: Entry, model: Model) -> bool:
    """A match by name, not by leaving things out: ranks before any generic match."""
    return entry.architecture == model.architecture and entry.quantization == model.quantization


def _version_matches(ours: Named, theirs: Named, generic: bool) -> bool:
    if ours.version and theirs.version:
        if ours.operator is Operator.EQUAL:
            return ours.identity is not None and ours.identity == theirs.identity
        return accepts(ours.version, ours.operator, theirs.version)
    return generic or ours.version == theirs.version


def judge_runtime(runtime: Runtime, model: Model, wishes: Wishes, *, explicit: bool) -> int:
    """The criteria outside of the entries that the runtime fails."""
    failed = 0
    if runtime.disabled:
        failed |= DISABLED
    if wishes.accelerator_classes and any(
        name not in runtime.accelerator_classes for _, name in wishes.accelerator_classes
    ):
        failed |= ACCELERATOR
    size = model.size
    if size is not None and (
        (runtime.size_min is not None and size < runtime.size_min)
        or (runtime.size_max is not None and size > runtime.size_max)
    ):
        failed |= SIZE
    if wishes.protocol and runtime.protocols and wishes.protocol not in runtime.protocols:
        failed |= PROTOCOL
    if not runtime.entries:
        failed |= NO_ENTRIES
    elif not explicit and not runtime.auto_select:
        failed |= AUTO_SELECT
    return failed


def _diffusion_problems(wanted: Diffusion, given: Diffusion | None) -> Iterator[tuple[str, str]]:
    """(path below diffusionPipeline, sentence) of everything in the entry that the model lacks."""
    if not given:
        yield "", "the entry is for diffusion pipelines, the model is not one"
        return
    class_name = wanted.get("className")
    if class_name and class_name != given.get("className"):
        yield (
            "className",
            f"the pipeline class is {given.get('className') or 'not given'}, "
            f"the entry takes {class_name}",
        )
    parts = {part: wanted.get(part) for part in DIFFUSION_PARTS}
    have: dict[str, Any] = {part: given.get(part) for part in DIFFUSION_PARTS}
    extra_have: Mapping[str, Any] = given.get("additionalComponents") or {}
    for name, part in (wanted.get("additionalComponents") or {}).items():
        parts[f"additionalComponents.{name}"] = part
        have[f"additionalComponents.{name}"] = extra_have.get(name)
    for name, part in parts.items():
        if part is None:
            continue
        mine = have.get(name)
        if mine is None:
            yield name, f"the model's pipeline has no {name}"
            continue
        for key in ("library", "type"):
            if part.get(key) and part[key] != mine.get(key):
                yield (
                    f"{name}.{key}",
                    f"{name}.{key} is {mine.get(key) or 'not given'}, the entry takes {part[key]}",
                )


def runtime_reasons(runtime: Runtime, model: Model, wishes: Wishes, failed: int) -> list[Reason]:
    """The sentences for the failed criteria outside of the entries."""
    reasons: list[Reason] = []
    if failed & DISABLED:
        reasons.append(
            Reason(
                "RuntimeDisabled",
                "the runtime is disabled",
                "spec.disabled",
                "set spec.disabled: false in the runtime",
            )
        )
    if failed & ACCELERATOR:
        for path, name in wishes.accelerator_classes:
            if name in runtime.accelerator_classes:
                continue
            listed = ", ".join(sorted(runtime.accelerator_classes)) or "none"
            reasons.append(
                Reason(
                    "AcceleratorClass",
                    f"the service asks for accelerator class {name} ({path}), "
                    f"the runtime lists {listed}",
                    "spec.acceleratorRequirements.acceleratorClasses",
                    f"add {name} to spec.acceleratorRequirements.acceleratorClasses of the "
                    f"runtime, or change {path} of the service",
                )
            )
    if failed & SIZE:
        reasons.append(_size_reason(runtime, model))
    if failed & PROTOCOL:
        reasons.append(
            Reason(
                "Protocol",
                f"the service asks for protocol {wishes.protocol}, the runtime speaks "
                f"{', '.join(sorted(runtime.protocols))}",
                "spec.protocolVersions",
                f"add {wishes.protocol} to spec.protocolVersions of the runtime",
            )
        )
    if failed & NO_ENTRIES:
        reasons.append(
            Reason(
                "NoFormats",
                "the runtime lists no supported model formats",
                "spec.supportedModelFormats",
                "add an entry to spec.supportedModelFormats of the runtime",
            )
        )
    if failed & AUTO_SELECT:
        reasons.append(_auto_select_reason(runtime, None))
    return reasons


def auto_select_reason(runtime: Runtime, entry: Entry) -> Reason:
    """For a runtime that has automatic entries, but not the one that matches."""
    return _auto_select_reason(runtime, entry)


def _auto_select_reason(runtime: Runtime, entry: Entry | None) -> Reason:
    index = entry.index if entry else 0
    which = f"its entry {index} that fits" if entry else "it"
    return Reason(
        "AutoSelect",
        f"the runtime does not offer itself for automatic selection ({which} has no "
        "autoSelect: true)",
        f"spec.supportedModelFormats[{index}].autoSelect",
        f"name it in the service (spec.runtime.name: {runtime.name}), or set autoSelect: true in "
        "the runtime",
    )


def _size_reason(runtime: Runtime, model: Model) -> Reason:
    size = model.size or 0.0
    low = runtime.size_min is not None and size < runtime.size_min
    side = "min" if low else "max"
    bounds = f"{runtime.size_min_text or 'any'} to {runtime.size_max_text or 'any'}"
    return Reason(
        "ModelSize",
        f"the model has {model.size_text} parameters, the runtime takes {bounds}",
        f"spec.modelSizeRange.{side}",
        f"set spec.modelSizeRange.{side} of the runtime to {format_parameters(size)}",
    )


def entry_reasons(entry: Entry, model: Model, failed: int) -> list[Reason]:
    """The sentences for the criteria that an entry fails, with paths inside the runtime."""
    base = f"spec.supportedModelFormats[{entry.index}]"
    reasons: list[Reason] = []

    def add(code: str, message: str, path: str, fix: str) -> None:
        reasons.append(Reason(code, message, f"{base}.{path}", fix))

    if failed & FORMAT:
        if model.format is None:
            reasons.append(
                Reason(
                    "ModelFormatUnknown",
                    f"the format of {model.kind} {model.name} is not known",
                    "spec.modelFormat",
                    f"wait until a node has read the model's files, or set spec.modelFormat of "
                    f"{model.kind} {model.name}",
                )
            )
        else:
            ours = entry.format.name if entry.format else "no format"
            add(
                "ModelFormat",
                f"the model's format is {model.format.name}, the entry takes {ours}",
                "modelFormat.name",
                f"use a model in format {ours}, or a runtime for {model.format.name}",
            )
    if failed & FORMAT_VERSION:
        _version_reason(add, "Format", "modelFormat", entry.format, model.format)
    if failed & FRAMEWORK:
        theirs = model.framework.name if model.framework else "not known"
        ours = entry.framework.name if entry.framework else "none"
        add(
            "ModelFramework",
            f"the model's framework is {theirs}, the entry takes {ours}",
            "modelFramework.name",
            f"set modelFramework.name of the model to {ours}, or use a runtime for {theirs}",
        )
    if failed & FRAMEWORK_VERSION:
        _version_reason(add, "Framework", "modelFramework", entry.framework, model.framework)
    if failed & ARCHITECTURE:
        theirs = model.architecture or "not known"
        add(
            "Architecture",
            f"the model's architecture is {theirs}, the entry takes {entry.architecture}",
            "modelArchitecture",
            f"add an entry with modelArchitecture: {model.architecture} to the runtime"
            if model.architecture
            else f"set spec.modelArchitecture of {model.kind} {model.name}",
        )
    if failed & QUANTIZATION:
        add(
            "Quantization",
            f"the model's quantization is {model.quantization or 'none'}, the entry takes "
            f"{entry.quantization or 'none'}",
            "quantization",
            f"add an entry with quantization: {model.quantization} to the runtime"
            if model.quantization
            else f"use a model quantized as {entry.quantization}, or an entry without quantization",
        )
    if failed & DIFFUSION and entry.diffusion:
        for path, sentence in _diffusion_problems(entry.diffusion, model.diffusion):
            add(
                "DiffusionPipeline",
                sentence,
                f"diffusionPipeline.{path}" if path else "diffusionPipeline",
                "use a runtime for this kind of pipeline",
            )
    return reasons


def _version_reason(
    add: Any, what: str, path: str, ours: Named | None, theirs: Named | None
) -> None:
    assert ours is not None
    assert theirs is not None
    takes = requirement(ours.version, ours.operator) if ours.version else "no version"
    add(
        f"{what}Version",
        f"the model's {what.lower()} is {theirs.name} {theirs.version or 'without a version'}, "
        f"the entry takes {takes}",
        f"{path}.version",
        f"set {path}.version in the runtime to {theirs.version}"
        if theirs.version
        else f"set spec.{path}.version of the model",
    )
