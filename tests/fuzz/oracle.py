"""What the CRDs say, read a second time and in another way, to hold the product against.

``violations`` walks the plain JSON of a CRD, without the product's schema code.
``refused_by_rules`` evaluates the CRDs' validation rules, which are of a small part of CEL, as
Python. Both are for objects that were pruned and defaulted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from ome.api.crds import crd
from ome.apimachinery.objects import Object, Resource

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int, float),
    "number": (int, float),
}


@cache
def _schema(resource: Resource) -> dict[str, Any]:
    schema: dict[str, Any] = crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def violations(resource: Resource, obj: Object) -> list[str]:
    """Paths below spec and status at which a value is of a wrong type, missing or not allowed."""
    schema = _schema(resource)
    found = [name for name in schema.get("required", ()) if name not in obj]
    for name in ("spec", "status"):
        if name in obj:
            found += _below(schema["properties"][name], obj[name], name)
    return found


def _below(schema: Any, value: Any, path: str) -> Iterator[str]:
    if value is None and schema.get("nullable"):
        return
    if not _fits(schema, value):
        yield path
        return
    if isinstance(value, dict):
        known = schema.get("properties", {})
        yield from (f"{path}.{name}" for name in schema.get("required", ()) if name not in value)
        for name, inner in value.items():
            child = known.get(name, schema.get("additionalProperties"))
            if isinstance(child, dict):
                yield from _below(child, inner, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _below(schema.get("items", {}), item, f"{path}[{index}]")
        if schema.get("x-kubernetes-list-type") == "set" and len(set(map(repr, value))) < len(
            value
        ):
            yield path
        keys = schema.get("x-kubernetes-list-map-keys")
        if keys:
            defaults = {k: p.get("default") for k, p in schema["items"]["properties"].items()}
            found = [[i.get(k, defaults.get(k)) for k in keys] for i in value if type(i) is dict]
            if any(a in found[:n] for n, a in enumerate(found)):
                yield path


def _fits(schema: Any, value: Any) -> bool:
    kind = schema.get("type", "")
    if schema.get("x-kubernetes-int-or-string"):
        if not (isinstance(value, str) or _whole(value)):
            return False
    elif kind == "boolean":
        return _is_bool(value)
    elif kind and (_is_bool(value) or not isinstance(value, _TYPES[kind])):
        return False
    if kind == "integer" and not _whole(value):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, int | float) and not _is_bool(value):
        if "minimum" in schema and value < schema["minimum"]:
            return False
        if "maximum" in schema and value > schema["maximum"]:
            return False
    if isinstance(value, str) and "pattern" in schema:
        return re.search(schema["pattern"].replace("$", r"\Z"), value, re.ASCII) is not None
    return not ("minItems" in schema and len(value) < schema["minItems"])


def _is_bool(value: Any) -> bool:
    return value is True or value is False


def _whole(value: Any) -> bool:
    if _is_bool(value) or not isinstance(value, int | float):
        return False
    return -(2**63) <= value < 2**63 and value == int(value)


# -- rules -----------------------------------------------------------------------------------------


@cache
def _rules(resource: Resource) -> list[tuple[tuple[str, ...], str, Any]]:
    from ome.cli.checks import schema_of

    found = []
    for rule in schema_of(resource).cel_rules():
        python = re.sub(r"has\(self\.(\w+)\)", r"('\1' in self)", rule.rule)
        python = re.sub(r"self\.(\w+)", r"self['\1']", python)
        python = python.replace("||", " or ").replace("&&", " and ")
        python = re.sub(r"!(?!=)", " not ", python)
        found.append(
            (tuple(rule.path.split(".")), rule.rule, compile(python.strip(), rule.rule, "eval"))
        )
    return found


def refused_by_rules(resource: Resource, obj: Object) -> list[str]:
    """The rules that an object of the right types breaks."""
    broken = []
    for path, text, program in _rules(resource):
        part: Any = obj
        for step in path:
            part = part.get(step) if isinstance(part, dict) else None
        if isinstance(part, dict) and not eval(program, {"self": part}):
            broken.append(f"{'.'.join(path)}: {text}")
    return broken
