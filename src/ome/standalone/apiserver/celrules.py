"""``x-kubernetes-validations`` of custom resources, where there is something to evaluate them.

The evaluator is the package ``common-expression-language`` (import name ``cel``), which OME does
not depend on: whoever composes the server has validators of their own in ``Admission``, and they
are authoritative. Without the package, and for rules that use functions which only Kubernetes has,
the writer of a CRD gets a warning and the rule is not checked.

Rules that compare with ``oldSelf`` are checked on updates, but not below lists, where the old item
can't be told from its place.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
from collections.abc import Iterator
from typing import Any

from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object
from ome.apimachinery.schema import CelRule, Schema
from ome.standalone.apiserver.kinds import Kind

log = logging.getLogger(__name__)

MARK = b'"x-kubernetes-validations"'
_MISSING = object()
_STEP = re.compile(r"[^.\[{]+|\[\]|\{\}")

Compiled = list[tuple[CelRule, Any]]


def available() -> bool:
    return importlib.util.find_spec("cel") is not None


def warnings_for(kind: Kind) -> list[str]:
    """What the writer of a CRD must know about its rules."""
    if not available():
        return [
            f"{kind.resource}: x-kubernetes-validations are not checked here, because the package "
            "common-expression-language is not installed"
        ]
    evaluator = importlib.import_module("cel")
    found = []
    for rule in kind.schema.cel_rules():
        try:
            evaluator.compile(rule.rule)
        except ValueError as error:
            text = str(error).splitlines()[0]
            found.append(f"{kind.resource}: a rule of {rule.path or 'the root'} is skipped: {text}")
    return found


def validate(kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
    """What the rules of a kind say about an object."""
    if not kind.has_rules or not available():
        return []
    problems = []
    for rule, program in kind.cel_programs(compile_rules):
        for path, value, before in _places(rule.path, obj, old):
            variables = {"self": value}
            if "oldSelf" in rule.rule:
                if before is _MISSING:
                    continue
                variables["oldSelf"] = before
            problem = _check(rule, program, path, variables)
            if problem is not None:
                problems.append(problem)
    return problems


def compile_rules(schema: Schema) -> Compiled:
    """The rules that can be compiled; the writer of the CRD was warned of the others."""
    evaluator = importlib.import_module("cel")
    found: Compiled = []
    for rule in schema.cel_rules():
        try:
            found.append((rule, evaluator.compile(rule.rule)))
        except ValueError:
            continue
    return found


def _check(rule: CelRule, program: Any, path: str, variables: dict[str, Any]) -> FieldError | None:
    try:
        if program.execute(variables) is not False:
            return None
    except (RuntimeError, ValueError, TypeError) as error:
        if "Undefined variable or function" in str(error):
            log.warning("a rule of %s can't be checked here: %s", path or "the root", error)
            return None
        return FieldError(path, f"Invalid value: rule {rule.rule!r} failed: {error}")
    message = rule.message or f"failed rule: {rule.rule}"
    where = f"{path}{rule.field_path}".lstrip(".") if rule.field_path else path
    return FieldError(where, f"Invalid value: {message}", rule.reason)


def _places(path: str, obj: Any, old: Any) -> Iterator[tuple[str, Any, Any]]:
    """Path, value and former value of everything that a rule's path stands for."""
    found: list[tuple[str, Any, Any]] = [("", obj, _MISSING if old is None else old)]
    for step in _STEP.findall(path):
        found = [inner for place in found for inner in _inside(step, *place)]
    yield from found


def _inside(step: str, path: str, value: Any, old: Any) -> Iterator[tuple[str, Any, Any]]:
    if step == "[]":
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield f"{path}[{index}]", item, _MISSING
        return
    if not isinstance(value, dict):
        return
    before = old if isinstance(old, dict) else {}
    names = list(value) if step == "{}" else [step] if step in value else []
    for name in names:
        inner = f"{path}[{name}]" if step == "{}" else f"{path}.{name}".lstrip(".")
        yield inner, value[name], before.get(name, _MISSING)
