"""YAML request bodies, as JSON values. Imported only when a client sends YAML."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import yaml

from ome.apimachinery import yamltext
from ome.apimachinery.errors import BadRequest

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.1 without dates, which Kubernetes has as strings."""


def _or_text(made: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """22:30 is a text for Kubernetes; YAML 1.1 made a number of minutes of it."""
    return lambda loader, node: node.value if ":" in node.value else made(loader, node)


_Loader.add_constructor("tag:yaml.org,2002:int", _or_text(yaml.SafeLoader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", _or_text(yaml.SafeLoader.construct_yaml_float))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}


def decode(data: bytes, deepest: int) -> Any:
    try:
        # A few lines of nested aliases stand for gigabytes, so they are refused unexpanded; and
        # the C loader has no limit but the end of its stack.
        found = yamltext.outline(data, deepest)
        if found.line:
            raise BadRequest(f"the request body is nested more than {deepest} levels deep")
        if found.aliases:
            raise BadRequest("YAML aliases are not accepted in a request body; write it out")
        value = yaml.load(data, _Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise BadRequest(f"the request body is not valid YAML: {text}") from None
    except RecursionError:
        raise BadRequest("the request body is nested too deeply") from None
    return _as_json(value)


def encode(value: Any) -> bytes:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True)
    return text.encode()


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(key): _as_json(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_as_json(child) for child in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise BadRequest(f"the request body holds a value that JSON can't carry: {value!r}")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int | float):
        return str(key)
    raise BadRequest(f"the request body has a key that is not a string: {key!r}")
