"""The page of one kind: every field, type by type."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.contract.ledger import Line, ledger
from tools.reference.intros import INTROS
from tools.reference.markdown import code, listed, page, table

from ome.api.crds import COLUMNS, KINDS, SHORT_NAMES, crd
from ome.api.fields import Field, Free, Kubernetes
from ome.api.lens import KubeObject, Lens, Member, members, strip
from ome.apimachinery.objects import Object, Resource

K8S = "https://kubernetes.io/docs/reference/kubernetes-api/"
_SCALARS = {str: "string", int: "integer", bool: "boolean", float: "number"}
_EPHEMERAL = "ephemeralContainers"
_NO_EPHEMERAL = (
    f" `{_EPHEMERAL}` is refused: Kubernetes takes them in no template, `kubectl debug` adds them "
    "to a running pod."
)
_LAST = "predictor"
"""Deprecated, so it is described after everything else of the spec."""


@dataclass
class Section:
    """One type as it appears in a kind; ``paths`` are the places where it does."""

    cls: type[Lens]
    schema: Object
    paths: list[str] = field(default_factory=list)


def kind_page(resource: Resource) -> str:
    intro = INTROS[resource.kind]
    sections = list(_sections(resource))
    listed_at: dict[str, str] = {}
    return page(
        resource.kind,
        intro.text,
        f"```yaml\n{intro.example}```",
        intro.after,
        _facts(resource),
        "## Fields",
        "A field in **bold** is required. What is said under *default* holds where the field is "
        "left out.",
        *(_section(resource, section, listed_at) for section in sections),
    )


def file_name(kind: str) -> str:
    return f"{kind.lower()}.md"


def _facts(resource: Resource) -> str:
    scope = "namespaced" if resource.namespaced else "cluster-scoped"
    short = SHORT_NAMES.get(resource)
    rows = [
        ("API", f"`{resource.api_version}`, {scope}"),
        ("plural", f"`{resource.plural}`" + (f", short `{short[0]}`" if short else "")),
        ("`kubectl get` shows", ", ".join(title for title, _, _ in COLUMNS[resource])),
    ]
    return table(("", ""), rows)


# --- types ----------------------------------------------------------------------------------------


def _sections(resource: Resource) -> Iterator[Section]:
    """All types of the kind, each once, in the order in which one meets them."""
    found: dict[type[Lens], Section] = {}
    schema = crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    def walk(cls: type[Lens], schema: Object, path: str) -> None:
        section = found.setdefault(cls, Section(cls, schema))
        section.paths.append(path)
        for member in sorted(members(cls), key=lambda member: member.name == _LAST):
            if member.name == "metadata" or member.shape == "leaf":
                continue
            below = schema["properties"][member.name]
            mark = {"list": "[]", "map": "{}"}.get(member.shape, "")
            if mark:
                below = below["items"] if mark == "[]" else below["additionalProperties"]
            walk(member.item, below, f"{path}{member.name}{mark}.")

    walk(KINDS[resource], schema, "")
    del found[KINDS[resource]]
    yield from found.values()


def _section(resource: Resource, section: Section, listed_at: dict[str, str]) -> str:
    """``listed_at``: where on the page the fields of Kubernetes' types are listed."""
    where = [f"`{path.rstrip('.')}`" for path in section.paths]
    said = ", ".join(where[:6]) + (f" and {len(where) - 6} more places" if len(where) > 6 else "")
    doc = " ".join((section.cls.__doc__ or "").split("\n\n")[0].split())
    rows = [_row(resource, section, member) for member in members(section.cls)]
    parts = [f"### {section.cls.__name__}", f"{doc}\n\nAt {said}."]
    if rows:
        parts.append(table(("field", "type", "default", "meaning"), rows))
    parts.append(_inlined(section, listed_at))
    return "\n\n".join(part for part in parts if part)


def _inlined(section: Section, listed_at: dict[str, str]) -> str:
    """The fields of a Kubernetes type that stand beside the own ones."""
    inline = section.cls.inline
    if inline is None or issubclass(section.cls, KubeObject):
        return ""
    own = {member.name for member in members(section.cls)}
    names = sorted(set(section.schema["properties"]) - own - {_EPHEMERAL})
    if not names:
        return ""
    kind = inline.definition.rpartition(".")[2]
    required = set(section.schema.get("required") or ())
    shown = ", ".join(f"**`{name}`**" if name in required else f"`{name}`" for name in names)
    before = "Beside these stand" if own else "It has"
    if listed_at.setdefault(shown, section.cls.__name__) != section.cls.__name__:
        where = listed_at[shown]
        return f"{before} the fields of Kubernetes' {kind}, as in [{where}](#{where.lower()})."
    theirs = f"the fields of Kubernetes' [{kind}]({K8S}), with Kubernetes' own meaning"
    text = f"{before} {theirs}: {shown}."
    return text + _NO_EPHEMERAL if _EPHEMERAL in section.schema["properties"] else text


def _row(resource: Resource, section: Section, member: Member) -> tuple[str, str, str, str]:
    facts = _facts_of(member)
    name = f"`{member.name}`"
    if member.name in (section.schema.get("required") or ()):
        name = f"**{name}**"
    return (
        name,
        _type(member),
        _default(section, member, facts),
        _meaning(resource, section, member),
    )


def _facts_of(member: Member) -> Field:
    return next((n for n in member.notes if isinstance(n, Field)), Field(""))


def _default(section: Section, member: Member, facts: Field) -> str:
    schema = section.schema["properties"][member.name]
    if facts.default:
        return facts.default
    if "default" in schema:
        return code(schema["default"])
    return ""


def _meaning(resource: Resource, section: Section, member: Member) -> str:
    facts = _facts_of(member)
    schema = section.schema["properties"][member.name]
    parts = [facts.doc]
    if facts.unit:
        parts.append(f"Unit: {facts.unit}.")
    if facts.enum:
        parts.append(f"One of {listed(facts.enum)}.")
    if facts.values:
        parts.append(f"Known values: {listed(facts.values)}.")
    if "pattern" in facts.schema:
        parts.append(f"Must match `{schema['pattern']}`.")
    parts += [f"{words} {schema[key]}." for key, words in _BOUNDS.items() if key in schema]
    if facts.example is not None and not facts.enum:
        parts.append(f"Example: {code(facts.example)}.")
    parts += _states(resource, [f"{path}{member.name}" for path in section.paths])
    return " ".join(parts)


_BOUNDS = {"minimum": "At least", "maximum": "At most", "minLength": "Length at least"}


def _type(member: Member) -> str:
    return _type_of(member.type, member.notes)


def _type_of(hint: Any, notes: tuple[Any, ...] = ()) -> str:
    bare, more = strip(hint)
    notes += more
    if any(isinstance(note, Free) for note in notes):
        return "any object"
    kubernetes = next((n.definition for n in notes if isinstance(n, Kubernetes)), None)
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if kubernetes is not None:
        short = kubernetes.rpartition(".")[2]
        known = {"Quantity": "quantity", "IntOrString": "integer or percentage"}
        return known.get(short) or f"[{short}]({K8S})"
    if isinstance(bare, type) and issubclass(bare, Lens):
        return f"[{bare.__name__}](#{bare.__name__.lower()})"
    if origin is tuple:
        return f"list of {_type_of(arguments[0])}"
    if origin is dict:
        return f"map of {_type_of(arguments[1])}"
    return _SCALARS.get(bare, "object")


# --- states ---------------------------------------------------------------------------------------


@cache
def _lines() -> dict[tuple[str, str], Line]:
    return {(line.place.kind, line.place.path): line for line in ledger()}


def _states(resource: Resource, paths: list[str]) -> Iterator[str]:
    """What the ledger says of the field, where it does not simply take effect."""
    lines = [line for path in paths if (line := _lines().get((resource.kind, path)))]
    odd = [line for line in lines if line.state != "proven" and not _is_known(line)]
    for said in dict.fromkeys((line.state, line.why or line.proof) for line in odd):
        mine = [line for line in odd if (line.state, line.why or line.proof) == said]
        place = "" if len(mine) == len(lines) else f" at `{mine[0].place.path}`"
        state, why = said
        if state == "open":
            yield f"**Not in effect yet{place}:** {why}."
        else:
            idle = "no effect" in why or "says so" in why
            yield f"**{'Without effect' if idle else state.capitalize()}{place}:** {why}."


def _is_known(line: Line) -> bool:
    """Whether what holds the field says the same already."""
    holder = line.place.path.rpartition(".")[0].removesuffix("[]").removesuffix("{}")
    above = _lines().get((line.place.kind, holder))
    if above is None or above.state != line.state:
        return False
    return above.why == line.why if line.why else above.proof == line.proof
