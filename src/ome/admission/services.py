"""What makes an InferenceService invalid, and what is only worth a warning.

Refused is what can never work as written. What depends on other objects (a model or runtime that
doesn't exist yet, isn't enabled, doesn't fit) is a warning: those may still be applied, and the
status says what is waited for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ome.admission.templates import ephemeral_errors, number_errors
from ome.admission.view import View
from ome.api import constants as c
from ome.api import names
from ome.api import resources as o
from ome.api.references import foreign
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.selection import Runtime, SelectionInput, select_runtime

_MOST = 2**31 - 1
_NAME = re.compile(names.SERVICE_NAME_PATTERN)


def service_errors(obj: Object) -> list[FieldError]:
    """Everything that is wrong with the service itself."""
    found: list[FieldError] = []
    name = metadata(obj).get("name") or ""
    if name and not _NAME.fullmatch(name):
        found.append(
            FieldError(
                "metadata.name",
                f"{name!r} is not a name for a service: lower-case letters, digits and dashes, "
                "starting with a letter and not ending with a dash",
            )
        )
    annotations = annotations_of(obj)
    spec = obj.get("spec") or {}
    found += [FieldError(*wrong, "FieldValueNotSupported") for wrong in foreign(spec)]
    found += _scaling_annotations(annotations)
    keda = annotations.get(c.A_AUTOSCALER_CLASS) == c.AUTOSCALER_KEDA
    if keda:
        found += _keda_annotations(annotations)
    found += _keda(spec.get("kedaConfig"), "spec.kedaConfig")
    found += number_errors(spec, "spec")
    for component in c.COMPONENTS:
        if spec.get(component) is not None:
            found += _component(spec[component], f"spec.{component}")
    if spec.get("predictor") is not None:
        found += ephemeral_errors(spec["predictor"], "spec.predictor")
    if spec.get("decoder") is not None and spec.get("engine") is None:
        found.append(
            FieldError(
                "spec.engine",
                "a decoder needs an engine that prefills for it; add spec.engine",
                "FieldValueRequired",
            )
        )
    if spec.get("engine") is not None and not _says_what_to_run(spec):
        found.append(
            FieldError(
                "spec.model",
                "name a model (spec.model.name), a runtime (spec.runtime.name), or give the engine "
                "a complete runner (spec.engine.runner.image)",
                "FieldValueRequired",
            )
        )
    return found


def _says_what_to_run(spec: Mapping[str, Any]) -> bool:
    if (spec.get("model") or {}).get("name") or (spec.get("runtime") or {}).get("name"):
        return True
    return brings_own_runner(spec)


def brings_own_runner(spec: Mapping[str, Any]) -> bool:
    engine = spec.get("engine") or {}

    def image(part: Mapping[str, Any] | None) -> str:
        return ((part or {}).get("runner") or {}).get("image") or ""

    if image(engine):
        return True
    return bool(image(engine.get("leader")) and image(engine.get("worker")))


def _annotation(key: str) -> str:
    return f"metadata.annotations[{key}]"


def _scaling_annotations(annotations: Mapping[str, str]) -> Iterator[FieldError]:
    scaler = annotations.get(c.A_AUTOSCALER_CLASS)
    if scaler is not None and scaler not in c.AUTOSCALER_CLASSES:
        yield FieldError(
            _annotation(c.A_AUTOSCALER_CLASS),
            f"{scaler!r} is no class of autoscaler; use {', '.join(c.AUTOSCALER_CLASSES)}",
            "FieldValueNotSupported",
        )
    metric = annotations.get(c.A_AUTOSCALER_METRICS)
    if scaler == c.AUTOSCALER_HPA and metric is not None and metric not in ("cpu", "memory"):
        yield FieldError(
            _annotation(c.A_AUTOSCALER_METRICS),
            f"{metric!r} is not a metric that a HorizontalPodAutoscaler has; use cpu or memory",
            "FieldValueNotSupported",
        )
    target = annotations.get(c.A_TARGET_UTILIZATION)
    if target is not None and not (re.fullmatch(r"[0-9]+", target) and 1 <= int(target) <= 100):
        yield FieldError(
            _annotation(c.A_TARGET_UTILIZATION),
            f"{target!r} must be a whole number in [1-100]",
        )


def _keda_annotations(annotations: Mapping[str, str]) -> Iterator[FieldError]:
    checks: tuple[tuple[str, Callable[[str], str]], ...] = (
        (c.A_KEDA_OPERATOR, _operator_problem),
        (c.A_KEDA_THRESHOLD, _threshold_problem),
        (c.A_KEDA_SERVER_ADDRESS, _address_problem),
    )
    for key, check in checks:
        if key in annotations and (problem := check(annotations[key])):
            yield FieldError(_annotation(key), problem)


def _keda(config: Mapping[str, Any] | None, path: str) -> Iterator[FieldError]:
    if not config:
        return
    checks: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("scalingOperator", _operator_problem),
        ("scalingThreshold", _threshold_problem),
        ("promServerAddress", _address_problem),
    )
    for key, check in checks:
        value = config.get(key)
        if value and (problem := check(str(value))):
            yield FieldError(f"{path}.{key}", problem)
    for mode in (part.strip() for part in (config.get("authModes") or "").split(",")):
        if mode and mode not in c.KEDA_AUTH_MODES:
            yield FieldError(
                f"{path}.authModes",
                f"{mode!r} is not a way to authenticate; use {', '.join(c.KEDA_AUTH_MODES)}",
                "FieldValueNotSupported",
            )


def _operator_problem(value: str) -> str:
    if value in c.KEDA_OPERATORS:
        return ""
    return f"{value!r} is not an operator; use one of {', '.join(c.KEDA_OPERATORS)}"


def _threshold_problem(value: str) -> str:
    try:
        finite = math.isfinite(float(value))
    except ValueError:
        finite = False
    return "" if finite else f"{value!r} must be a finite number, such as 10 or 0.5"


def _address_problem(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https"):
        return f"{value!r} must start with http:// or https://"
    return "" if parts.hostname else f"{value!r} names no host"


def _component(part: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    low, high = part.get("minReplicas"), part.get("maxReplicas")
    size = (part.get("worker") or {}).get("size")
    counts = (("minReplicas", low), ("maxReplicas", high), ("worker.size", size))
    for field, count in counts:
        if isinstance(count, int | float) and count < 0:
            yield FieldError(f"{path}.{field}", f"{count} must not be negative")
        if isinstance(count, int | float) and count > _MOST:
            yield FieldError(f"{path}.{field}", f"{count} is more than Kubernetes counts ({_MOST})")
    if isinstance(low, int | float) and isinstance(high, int | float) and 0 < high < low:
        yield FieldError(
            f"{path}.maxReplicas", f"{high} is less than minReplicas ({low}); raise it"
        )
    canary = part.get("canaryTrafficPercent")
    if isinstance(canary, int | float) and not 0 <= canary <= 100:
        yield FieldError(f"{path}.canaryTrafficPercent", f"{canary} must be from 0 to 100")
    if part.get("minAvailable") is not None and part.get("maxUnavailable") is not None:
        yield FieldError(
            f"{path}.maxUnavailable",
            "can't stand beside minAvailable: a PodDisruptionBudget has one of them; remove one",
            "FieldValueForbidden",
        )
    yield from ephemeral_errors(part, path)
    yield from _keda(part.get("kedaConfig"), f"{path}.kedaConfig")


def service_warnings(obj: Object, view: View) -> list[str]:
    """What may turn out well or badly depending on other objects, and what has no effect."""
    spec = obj.get("spec") or {}
    found: list[str] = []
    name = metadata(obj).get("name") or ""
    if len(name) > names.MAX_SERVICE_NAME:
        found.append(
            f"the name has {len(name)} characters; beyond {names.MAX_SERVICE_NAME} the names of "
            "its Services are shortened with a hash"
        )
    if spec.get("engine") is None:
        found.append("spec.engine is missing, so nothing will serve; add engine: {}")
    for component in c.COMPONENTS:
        part = spec.get(component) or {}
        keda = part.get("kedaConfig") or {}
        if keda.get("authModes") and not keda.get("authenticationRef"):
            found.append(
                f"spec.{component}.kedaConfig.authModes has no effect without authenticationRef"
            )
    keda = spec.get("kedaConfig") or {}
    if keda.get("authModes") and not keda.get("authenticationRef"):
        found.append("spec.kedaConfig.authModes has no effect without authenticationRef")
    return found + _reference_warnings(obj, view)


def _reference_warnings(obj: Object, view: View) -> list[str]:
    spec = obj.get("spec") or {}
    namespace = metadata(obj).get("namespace") or "default"
    model_name = (spec.get("model") or {}).get("name")
    runtime_named = bool((spec.get("runtime") or {}).get("name"))
    model = _model(spec, namespace, view)
    found: list[str] = []
    if model_name and model is None:
        return [f"model {model_name} does not exist yet; the service waits until it is applied"]
    if model is not None and (model.get("spec") or {}).get("disabled"):
        return [f"model {model_name} is disabled; the service waits until it is enabled"]
    if spec.get("engine") is None or (brings_own_runner(spec) and not runtime_named):
        return found
    selection = select_runtime(SelectionInput(obj, model, _runtimes(view, namespace)))
    if selection.winner is None and model is not None and _is_unread(model):
        found.append(
            f"the format of model {model_name} is not known yet; a runtime is selected as soon as "
            "a node has fetched and read it"
        )
    elif selection.winner is None:
        assert selection.problem is not None
        found.append(f"{selection.problem.message}. What to do: {selection.problem.fix}")
    elif not selection.explicit:
        found.append(
            f"Runtime {selection.winner.name} will be auto-selected for model {model_name}"
        )
    return found + list(selection.warnings)


def _runtimes(view: View, namespace: str) -> Sequence[Runtime | Object]:
    compiled = getattr(view, "runtimes", None)  # a CompiledView; isinstance is slow for Protocols
    if compiled is not None:
        found: Sequence[Runtime] = compiled(namespace)
        return found
    return [
        *view.list(o.SERVING_RUNTIMES, namespace),
        *view.list(o.CLUSTER_SERVING_RUNTIMES),
    ]


def _is_unread(model: Object) -> bool:
    """Whether what selection needs to know will come from the model's files."""
    if annotations_of(model).get(c.A_SKIP_CONFIG_PARSING, "").lower() == "true":
        return False
    return not ((model.get("spec") or {}).get("modelFormat") or {}).get("name")


def _model(spec: Mapping[str, Any], namespace: str, view: View) -> Object | None:
    reference = spec.get("model") or {}
    name = reference.get("name")
    if not name:
        return None
    local = view.get(o.BASE_MODELS, namespace, name)
    cluster = view.get(o.CLUSTER_BASE_MODELS, "", name)
    if reference.get("kind") == "BaseModel":
        return local or cluster
    return cluster or local
