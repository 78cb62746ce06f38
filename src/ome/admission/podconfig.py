"""Reads from the configuration what a pod needs, and no more.

A pod reads only the sections that its annotations ask for, so that a typo in one of them can't stop
the pods that never asked. What the sections hold is in :mod:`ome.api.config`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ome.api import constants as c
from ome.api.config import Agent, InferenceServiceConfig
from ome.api.lens import Lens, members
from ome.apimachinery.errors import FieldError

Data = Mapping[str, str]
"""``data`` of the ConfigMap ``inferenceservice-config``."""


def section_path(key: str, field: str = "") -> str:
    """How problems name a place in the configuration: ConfigMap, key and field."""
    path = f"{c.INFERENCE_SERVICE_CONFIG}.data[{key}]"
    return f"{path}.{field}" if field else path


def read_one(data: Data, key: str) -> tuple[InferenceServiceConfig, list[FieldError]]:
    """The configuration as if it had this section only, and what is wrong with the section.

    A setting that doesn't exist is no problem here: it has no effect, and the operator reports it.
    """
    only = {key: data[key]} if key in data else {}
    config, problems = InferenceServiceConfig.from_config_map(only)
    section = _section(config, key)
    names = {member.name for member in members(type(section))}
    unknown = {section_path(key, name) for name in section.raw.keys() - names}
    return config, [problem for problem in problems if problem.path not in unknown]


def check_agent(agent: Agent, key: str, problems: list[FieldError]) -> None:
    """Adds what a section for a helper container must say and doesn't."""
    reported = {problem.path for problem in problems}
    if section_path(key) in reported:
        return
    missing = [name for name in agent.missing() if section_path(key, name) not in reported]
    if missing:
        problems.append(
            FieldError(
                section_path(key),
                f"lacks {', '.join(missing)}, which the pod's annotations make necessary; add "
                f"{'it' if len(missing) == 1 else 'them'}",
                "FieldValueRequired",
            )
        )


def _section(config: InferenceServiceConfig, key: str) -> Lens:
    attribute = next(m.attribute for m in members(type(config)) if m.name == key)
    section: Lens = getattr(config, attribute)
    return section
