"""The API server's own rules for the kinds that run pods, and for autoscalers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from ome.apimachinery import pod_validation, selectors
from ome.apimachinery import problems as p
from ome.apimachinery.errors import BadRequest, FieldError
from ome.apimachinery.jsonvalues import json_equal
from ome.apimachinery.objects import Object

_PERCENT: Final = re.compile(r"[0-9]+%")
_STATEFUL_MUTABLE: Final = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def deployment(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, old)
    strategy = spec.get("strategy") or {}
    yield from p.one_of("spec.strategy.type", strategy.get("type"), ("Recreate", "RollingUpdate"))
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        detail = "may not be specified when strategy `type` is 'Recreate'"
        yield p.forbidden("spec.strategy.rollingUpdate", detail)
    elif rolling is not None:
        yield from _rolling(rolling, "spec.strategy.rollingUpdate")
    yield from p.at_least("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"), 0)
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= (spec.get("minReadySeconds") or 0):
        yield p.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than"
                        " minReadySeconds")  # fmt: skip


def replica_set(obj: Object, old: Object | None) -> Iterator[FieldError]:
    yield from _replicated(obj.get("spec") or {}, old)


def stateful_set(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, None)
    yield from p.one_of(
        "spec.podManagementPolicy", spec.get("podManagementPolicy"), ("OrderedReady", "Parallel")
    )
    if old is None:
        return
    before = old.get("spec") or {}
    changed = [
        k
        for k in sorted(spec.keys() | before.keys())
        if k not in _STATEFUL_MUTABLE and not json_equal(spec.get(k), before.get(k))
    ]
    if changed:
        allowed = ", ".join(f"'{f}'" for f in _STATEFUL_MUTABLE)
        yield p.forbidden("spec", f"updates to statefulset spec for fields other than {allowed} are"
                          f" forbidden; changed: {', '.join(changed)}")  # fmt: skip


def daemon_set(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    yield from _replicated(spec, old)
    strategy = spec.get("updateStrategy") or {}
    yield from p.one_of(
        "spec.updateStrategy.type", strategy.get("type"), ("OnDelete", "RollingUpdate")
    )


def job(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    for field in ("parallelism", "completions", "backoffLimit", "ttlSecondsAfterFinished"):
        yield from p.at_least(f"spec.{field}", spec.get(field), 0)
    yield from p.at_least("spec.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 0)
    mode = spec.get("completionMode")
    yield from p.one_of("spec.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        yield p.required("spec.completions", "when completion mode is Indexed")
    template = spec.get("template") or {}
    yield from pod_validation.pod_template(template, "spec.template")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        yield p.unsupported("spec.template.spec.restartPolicy", policy, ("OnFailure", "Never"))
    if spec.get("selector") is not None:
        yield from _selects(spec)
    if old is not None:
        yield from _job_update(spec, old)


def _job_update(spec: Object, old: Object) -> Iterator[FieldError]:
    before = old.get("spec") or {}
    for field in ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"):
        if not json_equal(spec.get(field), before.get(field)):
            yield p.immutable(f"spec.{field}", spec.get(field))
    elastic = spec.get("completionMode") == "Indexed" and (
        spec.get("completions") == spec.get("parallelism")
    )
    if spec.get("completions") != before.get("completions") and not elastic:
        yield p.immutable("spec.completions", spec.get("completions"))
    unstarted = before.get("suspend") and not (old.get("status") or {}).get("startTime")
    if not unstarted and not json_equal(spec.get("template"), before.get("template")):
        yield p.immutable("spec.template", "")


def autoscaler(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas")
    metrics = spec.get("metrics") or []
    zero = any(m.get("type") in ("Object", "External") for m in metrics)
    yield from p.at_least("spec.minReplicas", least, 0 if zero else 1)
    if not most or most < 1:
        yield p.invalid("spec.maxReplicas", most, "must be greater than 0")
    elif least is not None and most < least:
        yield p.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    for field in ("kind", "name"):
        if not target.get(field):
            yield p.required(f"spec.scaleTargetRef.{field}")


def count_or_percent(value: Any, path: str) -> Iterator[FieldError]:
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            yield p.invalid(path, value, "a valid percent string must be a numeric string followed"
                            " by an ending '%'")  # fmt: skip
    else:
        yield from p.at_least(path, value, 0)


def _rolling(rolling: Object, path: str) -> Iterator[FieldError]:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from count_or_percent(unavailable, f"{path}.maxUnavailable")
    yield from count_or_percent(surge, f"{path}.maxSurge")
    if unavailable in (0, "0%") and surge in (0, "0%"):
        detail = "may not be 0 when `maxSurge` is 0"
        yield p.invalid(f"{path}.maxUnavailable", unavailable, detail)
    percent = isinstance(unavailable, str) and _PERCENT.fullmatch(unavailable)
    if percent and int(str(unavailable)[:-1]) > 100:
        yield p.invalid(f"{path}.maxUnavailable", unavailable, "must not be greater than 100%")


def _replicated(spec: Object, old: Object | None) -> Iterator[FieldError]:
    """What all kinds share that keep pods running: replicas, selector and template."""
    yield from p.at_least("spec.replicas", spec.get("replicas"), 0)
    yield from p.at_least("spec.minReadySeconds", spec.get("minReadySeconds"), 0)
    selector = spec.get("selector")
    if selector is None:
        yield p.required("spec.selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield p.invalid("spec.selector", selector, "empty selector is invalid for this kind")
    else:
        yield from _selects(spec)
    template = spec.get("template")
    if template is None:
        yield p.required("spec.template")
        return
    yield from pod_validation.pod_template(template, "spec.template")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy != "Always":
        yield p.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        where = "spec.template.spec.activeDeadlineSeconds"
        yield p.forbidden(where, "activeDeadlineSeconds in this kind is not supported")
    if old is not None and not json_equal(selector, (old.get("spec") or {}).get("selector")):
        yield p.immutable("spec.selector", selector)


def _selects(spec: Object) -> Iterator[FieldError]:
    try:
        selector = selectors.label_selector(spec["selector"])
    except BadRequest as error:
        yield p.invalid("spec.selector", spec["selector"], error.message)
        return
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not selector.matches(labels):
        detail = "`selector` does not match template `labels`"
        yield p.invalid("spec.template.metadata.labels", labels, detail)
