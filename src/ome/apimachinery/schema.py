"""Structural schemas: what an object's fields are, as a lazily resolved graph.

A :class:`Schema` is one node. It is built from a CRD's ``openAPIV3Schema``
(:meth:`Schema.from_crd`) or from the vendored definitions of Kubernetes' own kinds
(:func:`ome.apimachinery.definitions.schema_for`). Children are built when somebody first asks for
them, so a graph with cycles costs nothing until it is walked, and the parts that no object uses
cost nothing at all.

Guarantees:

* :meth:`default`, :meth:`canonical` and :meth:`prune` never change their argument. What they did
  not have to change, the result shares with it; if nothing changed they return the argument itself.
* Defaults are filled only into objects that exist. A null is dropped where the schema does not say
  ``nullable`` and a default, if there is one, takes its place.
* Empty lists and maps of Kubernetes' own kinds are dropped where they are not required, as the API
  server stores them. Those of custom resources are left as they are.
* Quantities of Kubernetes' own kinds are brought to their canonical spelling, as the API server
  stores them. Those of custom resources are left as they are.
* Wrong types are left for :meth:`validate`; the other functions pass them through.

Rules of ``x-kubernetes-validations`` need a CEL evaluator, which is not a dependency of OME: they
are *not* checked here. :meth:`Schema.cel_rules` lists them for whoever has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ome.apimachinery import quantity, validation
from ome.apimachinery.errors import FieldError
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object

Raw = Mapping[str, Any]
Resolver = Callable[[str], "Schema"]

_REF: Final = "$ref"
_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_QUANTITY_REF: Final = "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"
_NOTHING: Final[Raw] = {}
_DROP: Final = object()


@dataclass(frozen=True, slots=True)
class CelRule:
    """One ``x-kubernetes-validations`` entry. ``path`` has ``[]`` for items, ``{}`` for values."""

    path: str
    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = "FieldValueInvalid"
    field_path: str = ""
    optional_old_self: bool = False


class Schema:
    """One node of the graph. Read-only for users. ``core`` nodes are of Kubernetes' own types."""

    __slots__ = (
        "_additional",
        "_children",
        "_defaults",
        "_items",
        "_memo",
        "_merge_defaults",
        "_quantities",
        "_resolve",
        "checks",
        "core",
        "default_value",
        "embedded",
        "format",
        "granular_list",
        "granular_map",
        "has_default",
        "int_or_string",
        "list_type",
        "map_keys",
        "map_type",
        "nullable",
        "patch_merge_key",
        "patch_strategy",
        "preserve_unknown",
        "properties",
        "raw",
        "type",
    )

    def __init__(
        self,
        raw: Raw,
        resolve: Resolver | None = None,
        *,
        core: bool = False,
        memo: dict[int, Schema] | None = None,
    ) -> None:
        get = raw.get
        self.raw = raw
        # Nodes by the identity of their raw form, which they keep alive: where a large schema
        # repeats itself as one shared object, its nodes are made once too.
        self._memo = memo
        self.core = core
        self._resolve = resolve
        self.properties: Raw = get("properties") or _NOTHING
        self.type: str = get("type") or ""
        self.format: str = get("format") or ""
        self.nullable = bool(get("nullable"))
        self.int_or_string = bool(get("x-kubernetes-int-or-string"))
        self.preserve_unknown = bool(get("x-kubernetes-preserve-unknown-fields"))
        self.embedded = bool(get("x-kubernetes-embedded-resource"))
        self.list_type: str = get("x-kubernetes-list-type") or "atomic"
        self.map_keys: tuple[str, ...] = tuple(get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = get("x-kubernetes-map-type") or "granular"
        self.granular_map = self.map_type != "atomic" and self.type in ("object", "")
        self.granular_list = self.list_type != "atomic" and self.type == "array"
        strategy = get("x-kubernetes-patch-strategy") or ""
        self.patch_strategy = frozenset(strategy.split(",")) if strategy else frozenset()
        self.patch_merge_key: str = get("x-kubernetes-patch-merge-key") or ""
        self.has_default = "default" in raw
        self.default_value: Any = get("default")
        self.checks: validation.Checks | None = None
        self._children: dict[str, Schema] = {}
        self._additional: Schema | None = None
        self._items: Schema | None = None
        self._defaults: tuple[tuple[str, Any], ...] | None = None
        self._merge_defaults: Mapping[str, Any] | None = None
        self._quantities: frozenset[str] | None = None

    @staticmethod
    def from_crd(schema: Raw | None) -> Schema:
        """The schema of a custom resource version: ``spec.versions[].schema.openAPIV3Schema``.

        ``apiVersion``, ``kind`` and ``metadata`` are known whether the CRD states them or not.
        """
        from ome.apimachinery import definitions  # definitions are made of schemas

        raw = dict(schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
        raw["properties"] = _with_type_meta(raw.get("properties") or {})
        return Schema(raw, definitions.resolve, memo={})

    def child(self, name: str) -> Schema | None:
        """The schema of a member of an object; None where the member is unknown."""
        child = self._children.get(name)
        if child is not None:
            return child
        raw = self.properties.get(name)
        if raw is None and self.embedded:
            raw = _with_type_meta(_NOTHING).get(name)
        if raw is not None:
            child = self._children[name] = self._node(raw)
            return child
        return self.additional

    @property
    def additional(self) -> Schema | None:
        """The schema of members that are not listed; None if there may be none."""
        if self._additional is None:
            raw = self.raw.get("additionalProperties")
            if isinstance(raw, Mapping):
                self._additional = self._node(raw)
            elif raw is True or self.preserve_unknown or not (self.type or self.int_or_string):
                self._additional = DEDUCED
        return self._additional

    @property
    def items(self) -> Schema:
        """The schema of a list's items."""
        if self._items is None:
            raw = self.raw.get("items")
            self._items = self._node(raw) if isinstance(raw, Mapping) else DEDUCED
        return self._items

    @property
    def deduced(self) -> bool:
        """Nothing is known of the type: the value's own shape decides."""
        return not self.type and not self.int_or_string

    @property
    def is_quantity(self) -> bool:
        return self.int_or_string and self.format == "quantity"

    @property
    def defaults(self) -> tuple[tuple[str, Any], ...]:
        """Names and defaults of the members that have one."""
        if self._defaults is None:
            self._defaults = tuple((n, r["default"]) for n, r in self.properties.items()
                                   if "default" in r)  # fmt: skip
        return self._defaults

    @property
    def quantities(self) -> frozenset[str]:
        """Names of the members that are quantities; ``*`` where all unlisted ones are."""
        if self._quantities is None:
            found = {n for n, r in self.properties.items() if _is_quantity(r)}
            additional = self.raw.get("additionalProperties")
            if isinstance(additional, Mapping) and _is_quantity(additional):
                found.add("*")
            self._quantities = frozenset(found)
        return self._quantities

    @property
    def key_defaults(self) -> Mapping[str, Any]:
        """Of a list map: the defaults of its keys."""
        if self._merge_defaults is None:
            found = dict(self.items.defaults)
            self._merge_defaults = {k: found[k] for k in self.map_keys if k in found}
        return self._merge_defaults

    def variant(self, rules: Raw) -> Schema:
        """An option of ``anyOf`` and its like: value rules without a structure of their own."""
        return Schema({"nullable": True, **rules}, self._resolve)

    def _node(self, raw: Raw) -> Schema:
        reference = raw.get(_REF)
        if not isinstance(reference, str) or self._resolve is None:
            memo = self._memo
            if memo is None:
                return Schema(raw, self._resolve, core=self.core)
            node = memo.get(id(raw))
            if node is None:
                node = memo[id(raw)] = Schema(raw, self._resolve, core=self.core, memo=memo)
            return node
        target = self._resolve(reference.rpartition("/")[2])
        siblings = {k: v for k, v in raw.items() if k not in (_REF, "description")}
        if not siblings:
            return target
        return Schema({**target.raw, **siblings}, target._resolve, core=target.core)

    def default(self, obj: Object) -> Object:
        """The object with defaults filled in, nulls and empty parts dropped, and quantities spelled
        canonically."""
        result: Object = _fill(self, obj, fill=True)
        return result

    def canonical(self, obj: Object) -> Object:
        """Like :meth:`default` but without filling in defaults, and with what is stated empty."""
        result: Object = _fill(self, obj, fill=False)
        return result

    def prune(self, obj: Object) -> tuple[Object, list[str]]:
        """The object without the fields that the schema does not know, and their paths."""
        unknown: list[str] = []
        result: Object = _prune(self, obj, "", unknown)
        return result, unknown

    def validate(self, obj: Any, path: str = "", *, repeats: bool = False) -> list[FieldError]:
        """Everything that is wrong with the values, in the order of the object. ``repeats``: as
        :func:`ome.apimachinery.validation.validate` has it."""
        return validation.validate(self, obj, path, repeats=repeats)

    def cel_rules(self) -> list[CelRule]:
        """All CEL rules below this node. Cycles are followed once."""
        return list(_rules(self, "", set()))


DEDUCED: Final = Schema({"x-kubernetes-preserve-unknown-fields": True, "nullable": True})
"""The schema of a value of which nothing is known."""


def _is_quantity(raw: Raw) -> bool:
    return bool(raw.get(_REF) == _QUANTITY_REF)


def _with_type_meta(properties: Raw) -> Raw:
    stated = properties.get("metadata") or {}
    return {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        **properties,
        "metadata": {"$ref": f"#/components/schemas/{_OBJECT_META}"}
        if not stated.get("properties")
        else _stated_metadata(stated),
    }


def _stated_metadata(stated: Raw) -> Raw:
    """A CRD may restrict ``name`` and ``generateName``; all other fields are ObjectMeta's."""
    from ome.apimachinery import definitions

    raw = definitions.definition(_OBJECT_META)
    restricted = {
        name: {**raw["properties"][name], **rule}
        for name, rule in stated["properties"].items()
        if name in ("name", "generateName")
    }
    return {**raw, "properties": {**raw["properties"], **restricted}}


def _fill(schema: Schema, value: Any, *, fill: bool) -> Any:
    if schema is DEDUCED:
        return value
    if isinstance(value, dict):
        return _fill_object(schema, value, fill=fill)
    if isinstance(value, list):
        items = schema.items
        filled = [_fill_value(items, v, fill=fill) for v in value]
        # A null item that may not be null stays: dropping it would move the others.
        changed = [old if new is _DROP else new for old, new in zip(value, filled, strict=True)]
        same = all(a is b for a, b in zip(changed, value, strict=True))
        return value if same else changed
    return value


def _fill_object(schema: Schema, value: Object, *, fill: bool) -> Object:
    out: Object | None = None
    quantities = schema.quantities
    for name, inner in value.items():
        if isinstance(inner, dict | list):
            child = schema.child(name)
            new = inner if child is None else _fill(child, inner, fill=fill)
            if fill and not new and schema.core and _says_nothing(schema, name, child, new):
                new = _DROP
        elif inner is None or name in quantities or "*" in quantities:
            child = schema.child(name)
            new = inner if child is None else _fill_value(child, inner, fill=fill)
        else:
            continue
        if new is not inner:
            out = dict(value) if out is None else out
            if new is _DROP:
                del out[name]
            else:
                out[name] = new
    if fill:
        for name, default in schema.defaults:
            if name not in value:
                out = dict(value) if out is None else out
                child = schema.child(name)
                copied = copy_json(default)
                out[name] = copied if child is None else _fill(child, copied, fill=True)
    return value if out is None else out


def _says_nothing(schema: Schema, name: str, child: Schema | None, value: Any) -> bool:
    """Whether an empty list or map is the same as none, as in Go's types, which leave it out."""
    if child is None or name in (schema.raw.get("required") or ()):
        return False
    if isinstance(value, list):
        return child.type == "array"
    is_map = not child.properties and "additionalProperties" in child.raw
    return child.type == "object" and is_map


def _fill_value(child: Schema, value: Any, *, fill: bool) -> Any:
    """The new value; ``_DROP`` for a null that may not stay."""
    if value is None:
        if child.nullable:
            return value
        return copy_json(child.default_value) if fill and child.has_default else _DROP
    if isinstance(value, dict | list):
        return _fill(child, value, fill=fill)
    if child.is_quantity and quantity.is_valid(value):
        canonical = quantity.canonical(value)
        return value if canonical == value else canonical
    return value


def _prune(schema: Schema, value: Any, path: str, unknown: list[str]) -> Any:
    if schema is DEDUCED:
        return value
    if isinstance(value, list):
        if schema.type != "array":
            return value
        items = schema.items
        changed = [_prune(items, v, f"{path}[{i}]", unknown) if isinstance(v, dict | list) else v
                   for i, v in enumerate(value)]  # fmt: skip
        return value if all(a is b for a, b in zip(changed, value, strict=True)) else changed
    if not isinstance(value, dict) or schema.type not in ("object", ""):
        return value
    out: Object | None = None
    for name, inner in value.items():
        child = schema.child(name)
        if child is not None and not isinstance(inner, dict | list):
            continue
        inner_path = f"{path}.{name}" if path else name
        if child is None:
            unknown.append(inner_path)
            out = dict(value) if out is None else out
            del out[name]
            continue
        new = _prune(child, inner, inner_path, unknown)
        if new is not inner:
            out = dict(value) if out is None else out
            out[name] = new
    return value if out is None else out


def _rules(schema: Schema, path: str, above: set[int]) -> Iterator[CelRule]:
    if id(schema) in above:
        return
    for rule in schema.raw.get("x-kubernetes-validations") or ():
        yield CelRule(
            path,
            rule.get("rule") or "",
            rule.get("message") or "",
            rule.get("messageExpression") or "",
            rule.get("reason") or "FieldValueInvalid",
            rule.get("fieldPath") or "",
            bool(rule.get("optionalOldSelf")),
        )
    inside = above | {id(schema)}
    for name in schema.properties:
        child = schema.child(name)
        if child is not None:
            yield from _rules(child, f"{path}.{name}" if path else name, inside)
    if schema.type == "array":
        yield from _rules(schema.items, f"{path}[]", inside)
    elif isinstance(schema.raw.get("additionalProperties"), Mapping) and schema.additional:
        yield from _rules(schema.additional, f"{path}{{}}", inside)
