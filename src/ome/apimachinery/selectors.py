"""Which objects are meant: label selectors, field selectors and node selector terms.

The three look alike and differ in what absence means:

* a label selector's ``NotIn`` (and ``!=``) matches an object without the label;
* a field selector compares text, and an absent field is the empty text;
* node selector terms are alternatives, a term without requirements matches nothing, and ``Gt`` and
  ``Lt`` compare whole numbers.

Malformed input raises :class:`~ome.apimachinery.errors.BadRequest`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ome.apimachinery import names
from ome.apimachinery.errors import BadRequest
from ome.apimachinery.objects import Object, labels_of, metadata

_OPERATORS: Final = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt")
_TOKEN: Final = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. ``values`` is sorted; ``operator`` is as in matchExpressions."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        if value is None or not _INTEGER.fullmatch(value):
            return False
        have, want = int(value), int(self.values[0])
        return have > want if self.operator == "Gt" else have < want

    def __str__(self) -> str:
        match self.operator:
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case "Gt":
                return f"{self.key}>{self.values[0]}"
            case "Lt":
                return f"{self.key}<{self.values[0]}"
            case "In" if len(self.values) == 1:
                return f"{self.key}={self.values[0]}"
            case "NotIn" if len(self.values) == 1:
                return f"{self.key}!={self.values[0]}"
            case _:
                return f"{self.key} {self.operator.lower()} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold. ``nothing`` is the selector that was null: it matches no object.

    ``str()`` is the form for a query parameter (sorted by key); it can't express ``nothing``.
    """

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        present = labels or {}
        return all(r.matches(present) for r in self.requirements)

    @property
    def everything(self) -> bool:
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return ",".join(str(r) for r in sorted(self.requirements, key=lambda r: r.key))


def parse_label_selector(text: str) -> LabelSelector:
    """The syntax of ``kubectl -l``: ``a=b,c!=d,e in (x,y),f notin (z),g,!h,n>1``."""
    tokens = _tokens(text)
    if not tokens:
        return LabelSelector()
    found = []
    at = 0
    while True:
        requirement, at = _requirement(text, tokens, at)
        found.append(requirement)
        if at == len(tokens):
            return LabelSelector(tuple(found))
        if tokens[at] != ",":
            raise _unparsable(text, f"found '{tokens[at]}', expected ',' or the end")
        at += 1


def label_selector(obj: Mapping[str, Any] | None) -> LabelSelector:
    """A ``LabelSelector`` object: null matches nothing, an empty one everything."""
    if obj is None:
        return LabelSelector(nothing=True)
    found = [_checked(k, "In", (v,)) for k, v in sorted((obj.get("matchLabels") or {}).items())]
    for expression in obj.get("matchExpressions") or ():
        operator = expression.get("operator") or ""
        if operator not in _OPERATORS[:4]:
            raise BadRequest(f'"{operator}" is not a valid label selector operator')
        found.append(
            _checked(expression.get("key") or "", operator, expression.get("values") or ())
        )
    return LabelSelector(tuple(found))


def from_labels(labels: Mapping[str, str]) -> LabelSelector:
    """All of these labels, as in a Service's ``selector`` (which is a plain map)."""
    return LabelSelector(tuple(Requirement(k, "In", (v,)) for k, v in sorted(labels.items())))


def _tokens(text: str) -> list[str]:
    tokens = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:  # pragma: no cover - the pattern takes any character
            raise _unparsable(text, f"unexpected character at {at}")
        tokens.append(match[1])
        at = match.end()
    return tokens


def _requirement(text: str, tokens: Sequence[str], at: int) -> tuple[Requirement, int]:
    def peek(offset: int = 0) -> str:
        return tokens[at + offset] if at + offset < len(tokens) else ""

    negated = peek() == "!"
    at += negated
    key = peek()
    if not key or key in "=!(),<>" or key in ("==", "!="):
        raise _unparsable(text, f"found '{key}', expected a label key")
    at += 1
    operator = peek()
    if negated:
        return _checked(key, "DoesNotExist", ()), at
    if operator in ("", ","):
        return _checked(key, "Exists", ()), at
    if operator in ("=", "==", "!=", ">", "<"):
        value = peek(1)
        # "a=" and "a=,b" ask for the empty value.
        value, used = ("", 1) if value in ("", ",") else (value, 2)
        if value in ("=", "==", "!", "!=", "(", ")", "<", ">"):
            raise _unparsable(text, f"found '{value}', expected a value")
        name = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}[operator]
        return _checked(key, name, (value,)), at + used
    if operator in ("in", "notin"):
        values, at = _value_list(text, tokens, at + 1)
        return _checked(key, "In" if operator == "in" else "NotIn", values), at
    raise _unparsable(text, f"found '{operator}', expected one of: in, notin, =, ==, !=, >, <")


def _value_list(text: str, tokens: Sequence[str], at: int) -> tuple[list[str], int]:
    """Values between parentheses; nothing between commas is the empty value."""
    if at >= len(tokens) or tokens[at] != "(":
        raise _unparsable(text, "expected '(' after in or notin")
    values: list[str] = []
    pending = ""
    for index in range(at + 1, len(tokens)):
        token = tokens[index]
        if token in (",", ")"):
            values.append(pending)
            pending = ""
            if token == ")":
                return values, index + 1
        elif pending or token in "=!(<>" or token in ("==", "!="):
            raise _unparsable(text, f"found '{token}', expected ',' or ')'")
        else:
            pending = token
    raise _unparsable(text, "expected ')'")


def _checked(key: str, operator: str, values: Iterable[str]) -> Requirement:
    listed = tuple(sorted(set(values)))
    for problem in names.label_key(key):
        raise BadRequest(f'"{key}" is not a valid label key: {problem}')
    if operator in ("In", "NotIn") and not listed:
        raise BadRequest(f"for 'in', 'notin' operators, values set of \"{key}\" can't be empty")
    if operator in ("Exists", "DoesNotExist") and listed:
        raise BadRequest(f'values set of "{key}" must be empty for exists and does not exist')
    if operator in ("Gt", "Lt"):
        if len(listed) != 1 or not _INTEGER.fullmatch(listed[0]):
            raise BadRequest(f"for 'Gt', 'Lt' operators, \"{key}\" needs exactly one integer")
        return Requirement(key, operator, listed)
    for value in listed:
        for problem in names.label_value(value):
            raise BadRequest(f'"{value}" is not a valid value of label "{key}": {problem}')
    return Requirement(key, operator, listed)


def _unparsable(text: str, why: str) -> BadRequest:
    return BadRequest(f'unable to parse selector "{text}": {why}')


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """``path`` is dotted; ``equals`` is False for ``!=``."""

    path: str
    value: str
    equals: bool = True

    def matches(self, obj: Mapping[str, Any]) -> bool:
        return (field_text(obj, self.path) == self.value) is self.equals

    def __str__(self) -> str:
        escaped = re.sub(r"([\\,=])", r"\\\1", self.value)
        return f"{self.path}{'=' if self.equals else '!='}{escaped}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, obj: Mapping[str, Any]) -> bool:
        return all(r.matches(obj) for r in self.requirements)

    def exact(self, path: str) -> str | None:
        """The value that ``path`` must have, if the selector fixes one (for index look-ups)."""
        for requirement in self.requirements:
            if requirement.path == path and requirement.equals:
                return requirement.value
        return None

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)


def parse_field_selector(text: str) -> FieldSelector:
    """``metadata.name=a,status.phase!=Running``; ``\\,`` ``\\=`` ``\\\\`` stand for themselves."""
    found = []
    for term in _split_escaped(text):
        if not term.strip():
            continue
        match = re.fullmatch(r"\s*([^=!\s]+)\s*(==|!=|=)(.*)", term, re.DOTALL)
        if match is None:
            raise BadRequest(f'invalid selector: "{text}"; can\'t understand "{term.strip()}"')
        path, operator, raw = match.groups()
        found.append(FieldRequirement(path, _unescape(raw.strip(), text), operator != "!="))
    return FieldSelector(tuple(found))


def field_text(obj: Mapping[str, Any], path: str) -> str:
    """The field at a dotted path as text; empty where it is absent."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _split_escaped(text: str) -> list[str]:
    return re.findall(r"((?:\\.|[^,\\]|\\$)*)(?:,|$)", text, re.DOTALL)


def _unescape(value: str, text: str) -> str:
    if re.search(r"\\(?![\\,=])|(?<!\\)(?:\\\\)*(?<!\\)[=]", value):
        raise BadRequest(f'invalid field selector: "{text}"; escape "," "=" and "\\" in values')
    return re.sub(r"\\([\\,=])", r"\1", value)


def node_selector_matches(
    node: Mapping[str, Any], node_selector_term_list: Sequence[Mapping[str, Any]] | None
) -> bool:
    """Whether a node satisfies at least one of the terms of a core/v1 ``NodeSelector``."""
    return any(node_selector_term_matches(node, t) for t in node_selector_term_list or ())


def node_selector_term_matches(node: Mapping[str, Any], term: Mapping[str, Any]) -> bool:
    """Whether a node satisfies a term. An empty or malformed term matches no node."""
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = labels_of(node)
    try:
        by_label = [
            _checked(e.get("key") or "", _node_operator(e), e.get("values") or ())
            for e in expressions
        ]
        return all(r.matches(labels) for r in by_label) and all(
            _node_field_matches(node, f) for f in fields
        )
    except BadRequest:
        return False


def node_affinity_matches(node: Mapping[str, Any], pod_spec: Mapping[str, Any]) -> bool:
    """Whether a node satisfies a pod's ``nodeSelector`` and its *required* node affinity."""
    labels = labels_of(node)
    wanted: Mapping[str, str] = pod_spec.get("nodeSelector") or {}
    if any(labels.get(k) != v for k, v in wanted.items()):
        return False
    affinity: Object = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return node_selector_matches(node, required.get("nodeSelectorTerms"))


def _node_operator(expression: Mapping[str, Any]) -> str:
    operator: str = expression.get("operator") or ""
    if operator not in _OPERATORS:
        raise BadRequest(f'"{operator}" is not a valid node selector operator')
    return operator


def _node_field_matches(node: Mapping[str, Any], field: Mapping[str, Any]) -> bool:
    values: Sequence[str] = field.get("values") or ()
    operator = field.get("operator")
    if field.get("key") != "metadata.name" or len(values) != 1 or operator not in ("In", "NotIn"):
        raise BadRequest("matchFields knows metadata.name with In or NotIn and one value only")
    return (metadata(node).get("name") == values[0]) is (operator == "In")
