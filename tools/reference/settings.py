"""The page on the operator's configuration."""

from __future__ import annotations

from typing import Any

from tools.reference.kinds import _facts_of as facts_of
from tools.reference.kinds import _type_of as type_of
from tools.reference.markdown import code, listed, page, table

from ome.api import constants as c
from ome.api.config import BenchmarkJobConfig, InferenceServiceConfig
from ome.api.lens import Lens, Member, members

MAPS = (
    (c.INFERENCE_SERVICE_CONFIG, InferenceServiceConfig),
    (c.BENCHMARK_JOB_CONFIG, BenchmarkJobConfig),
)


def configuration_page() -> str:
    parts = [
        f"The operator is configured by ConfigMaps in its own namespace (`{c.DEFAULT_NAMESPACE}`). "
        "Each data key is one section and holds a JSON object. Nothing is required. A value that "
        "can't be read keeps its last good one, and the problem is reported: a typo stops nothing.",
        f"""```yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: {c.INFERENCE_SERVICE_CONFIG}
  namespace: {c.DEFAULT_NAMESPACE}
data:
  deploy: |
    {{"defaultDeploymentMode": "{c.MODE_RAW}"}}
  readiness: |
    {{"probe": "completion"}}
```""",
    ]
    for name, cls in MAPS:
        parts += [f"## {name}", *_sections(cls)]
    return page("Configuration", *parts)


def _sections(cls: type[Lens]) -> list[str]:
    parts = []
    nested: dict[type[Lens], None] = {}
    for section in members(cls):
        doc = " ".join((section.item.__doc__ or "").split())
        parts += [f"### {section.name}", _without_name(doc), _table(section.item, nested)]
    for other in nested:
        parts += [
            f"### {other.__name__}",
            " ".join((other.__doc__ or "").split()),
            _table(other, {}),
        ]
    return parts


def _without_name(doc: str) -> str:
    """``Section `x`: how ...`` says the section's name once more than the heading."""
    text = doc.partition("``: ")[2] if doc.startswith("Section ``") and "``: " in doc else doc
    return text[:1].upper() + text[1:] if text else doc.replace("``", "`")


def _table(cls: type[Lens], nested: dict[type[Lens], None]) -> str:
    rows = []
    for member in members(cls):
        if member.shape != "leaf":
            nested.setdefault(member.item)
        rows.append((f"`{member.name}`", type_of(member.type, member.notes), *_said(member)))
    return table(("key", "type", "default", "meaning"), rows)


def _said(member: Member) -> tuple[str, str]:
    facts = facts_of(member)
    parts = [facts.doc]
    if facts.unit:
        parts.append(f"Unit: {facts.unit}.")
    if facts.enum:
        parts.append(f"One of {listed(facts.enum)}.")
    elif facts.example is not None:
        parts.append(f"Example: {code(facts.example)}.")
    return facts.default or _default(member.default), " ".join(parts)


def _default(value: Any) -> str:
    if value in (None, "", (), {}) or isinstance(value, Lens):
        return "none"
    return code(value)
