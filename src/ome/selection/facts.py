"""What selection reads from models, runtimes and services, taken out of the raw objects once.

A :class:`Runtime` is made when a runtime object arrives and used for every selection after that:
versions are parsed, sizes are numbers, lists are sets. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.api.constants import E_PROTOCOL_VERSION
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.selection.sizes import parse_parameters
from ome.selection.versions import Operator, parse

ACCELERATOR_CLASS_ANNOTATION = "ome.io/accelerator-class"
DEFAULT_FORMAT_WEIGHT = 10
DEFAULT_FRAMEWORK_WEIGHT = 5
DIFFUSION_PARTS = ("scheduler", "textEncoder", "tokenizer", "transformer", "vae")

Diffusion = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Named:
    """A format or framework: name, version, and on a runtime's side operator and weight."""

    name: str
    version: str
    operator: Operator = Operator.EQUAL
    weight: int = 0
    identity: tuple[object, ...] | None = None
    """The parsed version for equality; None where there is none or it can't be parsed."""

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None, default_weight: int = 0) -> Named | None:
        if not raw or not raw.get("name"):
            return None
        weight = raw.get("weight")
        parsed = parse(raw.get("version") or "")
        return cls(
            raw["name"],
            raw.get("version") or "",
            Operator.of(raw.get("operator")),
            int(weight) if weight else default_weight,
            None if parsed is None else parsed[:6],
        )

    def __str__(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True)
class Model:
    """What a BaseModel or ClusterBaseModel says about itself."""

    name: str
    kind: str
    format: Named | None
    framework: Named | None
    architecture: str
    quantization: str
    size_text: str
    size: float | None
    diffusion: Diffusion | None
    disabled: bool

    @classmethod
    def of(cls, obj: Object) -> Model:
        spec = obj.get("spec") or {}
        size = spec.get("modelParameterSize") or ""
        return cls(
            name=metadata(obj).get("name") or "",
            kind=obj.get("kind") or "ClusterBaseModel",
            format=Named.of(spec.get("modelFormat")),
            framework=Named.of(spec.get("modelFramework")),
            architecture=spec.get("modelArchitecture") or "",
            quantization=spec.get("quantization") or "",
            size_text=size,
            size=parse_parameters(size),
            diffusion=spec.get("diffusionPipeline"),
            disabled=bool(spec.get("disabled")),
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of ``supportedModelFormats``."""

    index: int
    format: Named | None
    framework: Named | None
    architecture: str
    quantization: str
    diffusion: Diffusion | None
    auto_select: bool
    priority: int
    score: int
    """What the entry scores when it matches: (format weight + framework weight) x priority."""
    generic: bool
    """Names no architecture (and describes no diffusion pipeline), so it takes any."""
    raw: Mapping[str, Any]

    @classmethod
    def of(cls, index: int, raw: Mapping[str, Any]) -> Entry:
        format_ = Named.of(raw.get("modelFormat"), DEFAULT_FORMAT_WEIGHT)
        framework = Named.of(raw.get("modelFramework"), DEFAULT_FRAMEWORK_WEIGHT)
        priority = int(raw.get("priority") or 1)
        weight = (format_.weight if format_ else 0) + (framework.weight if framework else 0)
        return cls(
            index=index,
            format=format_,
            framework=framework,
            architecture=raw.get("modelArchitecture") or "",
            quantization=raw.get("quantization") or "",
            diffusion=raw.get("diffusionPipeline"),
            auto_select=raw.get("autoSelect") is True,
            priority=priority,
            score=weight * priority,
            generic=not raw.get("modelArchitecture") and not raw.get("diffusionPipeline"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Runtime:
    """A ServingRuntime (``namespace`` set) or ClusterServingRuntime, ready to be compared."""

    name: str
    namespace: str
    disabled: bool
    entries: tuple[Entry, ...]
    size_min_text: str
    size_max_text: str
    size_min: float | None
    size_max: float | None
    accelerator_classes: frozenset[str]
    protocols: frozenset[str]
    auto_select: bool
    raw: Object

    @property
    def kind(self) -> str:
        return "ServingRuntime" if self.namespace else "ClusterServingRuntime"

    @classmethod
    def of(cls, obj: Object) -> Runtime:
        spec = obj.get("spec") or {}
        range_ = spec.get("modelSizeRange") or {}
        requirements = spec.get("acceleratorRequirements") or {}
        entries = tuple(
            Entry.of(index, raw)
            for index, raw in enumerate(spec.get("supportedModelFormats") or ())
            if raw
        )
        namespaced = obj.get("kind") == "ServingRuntime"
        return cls(
            name=metadata(obj).get("name") or "",
            namespace=(metadata(obj).get("namespace") or "default") if namespaced else "",
            disabled=spec.get("disabled") is True,
            entries=entries,
            size_min_text=range_.get("min") or "",
            size_max_text=range_.get("max") or "",
            size_min=parse_parameters(range_.get("min")),
            size_max=parse_parameters(range_.get("max")),
            accelerator_classes=frozenset(requirements.get("acceleratorClasses") or ()),
            protocols=frozenset(spec.get("protocolVersions") or ()),
            auto_select=any(entry.auto_select for entry in entries),
            raw=obj,
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the service itself asks of a runtime."""

    namespace: str
    runtime: str
    runtime_kind: str
    accelerator_classes: tuple[tuple[str, str], ...]
    """(field path, class name), each of which the runtime must list."""
    protocol: str

    @classmethod
    def of(cls, service: Object) -> Wishes:
        spec = service.get("spec") or {}
        runtime = spec.get("runtime") or {}
        classes: list[tuple[str, str]] = []
        annotated = annotations_of(service).get(ACCELERATOR_CLASS_ANNOTATION)
        if annotated:
            classes.append((f"metadata.annotations[{ACCELERATOR_CLASS_ANNOTATION}]", annotated))
        for path, holder in (
            ("spec.acceleratorSelector", spec.get("acceleratorSelector")),
            (
                "spec.engine.acceleratorOverride",
                (spec.get("engine") or {}).get("acceleratorOverride"),
            ),
            (
                "spec.decoder.acceleratorOverride",
                (spec.get("decoder") or {}).get("acceleratorOverride"),
            ),
        ):
            if holder and holder.get("acceleratorClass"):
                classes.append((f"{path}.acceleratorClass", holder["acceleratorClass"]))
        return cls(
            namespace=metadata(service).get("namespace") or "default",
            runtime=runtime.get("name") or "",
            runtime_kind=runtime.get("kind") or "",
            accelerator_classes=tuple(classes),
            protocol=_protocol(spec),
        )


def _protocol(spec: Mapping[str, Any]) -> str:
    """Of the predictor, or of what a predictor was rewritten to."""
    predictor = (spec.get("predictor") or {}).get("model") or {}
    if predictor.get("protocolVersion"):
        return str(predictor["protocolVersion"])
    runner = (spec.get("engine") or {}).get("runner") or {}
    values = {item.get("name"): item.get("value") for item in runner.get("env") or ()}
    return str(values.get(E_PROTOCOL_VERSION) or "")
