"""The part of Go's template language that manifests use, and nothing of its power.

Supported inside ``{{ }}`` (also with trim markers ``{{-`` and ``-}}``): dotted fields
(``.Name``, ``.Annotations.team``) and ``index .Labels "some/key"``. A key that isn't there gives an
empty text, an unknown field is an error, and values are inserted as they are: no HTML escaping,
which would spoil commands and URLs. There are no functions, pipes, loops or nested templates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Data: TypeAlias = Mapping[str, "str | Mapping[str, str]"]

_ACTION = re.compile(
    r"(?P<before>\s*)\{\{(?P<left>-?)(?P<body>.*?)(?P<right>-?)\}\}(?P<after>\s*)", re.S
)
_FIELD = re.compile(r"\.(\w+)(?:\.([\w-]+))?")
_INDEX = re.compile(r"""index\s+\.(\w+)\s+(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)""")


class TemplateError(ValueError):
    """The text uses something that is not in the supported part of the language."""


def render(text: str, data: Data) -> str:
    """``text`` with every action replaced by its value from ``data``."""
    if "{{" not in text:
        return text

    def replace(found: re.Match[str]) -> str:
        before = "" if found["left"] else found["before"]
        after = "" if found["right"] else found["after"]
        return f"{before}{_evaluate(found['body'].strip(), data)}{after}"

    return _ACTION.sub(replace, text)


def _evaluate(expression: str, data: Data) -> str:
    if expression.startswith("/*") and expression.endswith("*/"):
        return ""
    if found := _INDEX.fullmatch(expression):
        holder = _lookup(found[1], data, expression)
        key = found[2] if found[2] is not None else found[3]
        if isinstance(holder, str):
            raise TemplateError(f"{{{{ {expression} }}}}: .{found[1]} has no keys")
        return holder.get(key.replace('\\"', '"').replace("\\\\", "\\"), "")
    if found := _FIELD.fullmatch(expression):
        value = _lookup(found[1], data, expression)
        if found[2] is not None:
            if isinstance(value, str):
                raise TemplateError(f"{{{{ {expression} }}}}: .{found[1]} has no fields")
            return value.get(found[2], "")
        if isinstance(value, str):
            return value
        raise TemplateError(f"{{{{ {expression} }}}} is a map; name a key of it")
    raise TemplateError(
        f"{{{{ {expression} }}}} is not supported; use a field such as {{{{ .Name }}}} or "
        '{{ index .Labels "key" }}'
    )


def _lookup(name: str, data: Data, expression: str) -> str | Mapping[str, str]:
    if name not in data:
        known = ", ".join(f".{key}" for key in sorted(data))
        raise TemplateError(f"{{{{ {expression} }}}}: there is no .{name}; known are {known}")
    return data[name]


def metadata_data(meta: Mapping[str, Any]) -> dict[str, str | Mapping[str, str]]:
    """The data for templates inside containers: the service's own metadata."""
    return {
        "Name": meta.get("name") or "",
        "Namespace": meta.get("namespace") or "",
        "UID": meta.get("uid") or "",
        "Labels": meta.get("labels") or {},
        "Annotations": meta.get("annotations") or {},
    }


def render_tree(value: Any, data: Data) -> Any:
    """A copy of any JSON value with all its texts rendered (keys are left alone)."""
    if isinstance(value, str):
        return render(value, data)
    if isinstance(value, dict):
        return {key: render_tree(item, data) for key, item in value.items()}
    if isinstance(value, list):
        return [render_tree(item, data) for item in value]
    return value
