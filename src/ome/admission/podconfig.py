"""What pod mutation is configured to do: sections of the ConfigMap ``inferenceservice-config``.

A pod reads only the sections that it needs, so that a typo in one of them can't stop the pods that
never asked for it. A problem names the ConfigMap, the key and the field, and what to write instead.

========================  =====================================================================
key                       read for
========================  =====================================================================
``metricsAggregator``     every pod
``modelInit``             pods that decrypt or unpack a model before the engine starts
``fineTunedAdapter``      pods that fetch fine-tuned weights before the engine starts
``servingSidecar``        pods that fetch fine-tuned weights while the engine runs
``rdmaProfiles``          pods with an RDMA profile other than the built-in one
========================  =====================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from ome.api import constants as c
from ome.apimachinery import quantity
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object

METRICS_AGGREGATOR: Final = "metricsAggregator"
MODEL_INIT: Final = "modelInit"
FINE_TUNED_ADAPTER: Final = "fineTunedAdapter"
SERVING_SIDECAR: Final = "servingSidecar"
RDMA_PROFILES: Final = "rdmaProfiles"


@dataclass(frozen=True, kw_only=True)
class MetricsAggregator:
    """Texts, not booleans; empty writes no annotation."""

    enable_metric_aggregation: str = ""
    enable_prometheus_scraping: str = ""


@dataclass(frozen=True, kw_only=True)
class AgentSection:
    """What the containers that run ``ome-agent`` share. Quantities are Kubernetes quantities."""

    image: str = ""
    auth_type: str = ""
    compartment_id: str = ""
    region: str = ""
    cpu_request: str = "15"
    cpu_limit: str = "15"
    memory_request: str = "150Gi"
    memory_limit: str = "180Gi"

    def resources(self) -> Object:
        return {
            "limits": {"cpu": self.cpu_limit, "memory": self.memory_limit},
            "requests": {"cpu": self.cpu_request, "memory": self.memory_request},
        }


@dataclass(frozen=True, kw_only=True)
class ModelInit(AgentSection):
    vault_id: str = ""
    extra_volume_mounts: tuple[Object, ...] = ()
    extra_env_vars: tuple[Object, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FineTunedAdapter(AgentSection):
    memory_request: str = "300Gi"
    memory_limit: str = "320Gi"


@dataclass(frozen=True, kw_only=True)
class ServingSidecar(AgentSection):
    cpu_request: str = "1"
    cpu_limit: str = "2"
    memory_request: str = "2Gi"
    memory_limit: str = "4Gi"
    realm_domain_component: str = ""
    fine_tuned_weight_info_file_path: str = f"{c.FINE_TUNED_DOWNLOAD_PATH}/fine-tuned-weights.json"
    """The list of wanted weights; by default on the volume that the sidecar shares."""


_REQUIRED: Final = {
    ModelInit: ("image", "compartmentId", "authType", "vaultId"),
    FineTunedAdapter: ("image", "compartmentId", "authType"),
    ServingSidecar: ("image", "compartmentId", "authType"),
}
_QUANTITIES: Final = frozenset({"cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"})
Section = TypeVar("Section", bound=MetricsAggregator | AgentSection)


def section_path(key: str, field: str = "") -> str:
    """How problems name a place in the configuration."""
    path = f"ConfigMap {c.INFERENCE_SERVICE_CONFIG}, data[{key}]"
    return f"{path}.{field}" if field else path


def read_section(
    kind: type[Section], key: str, data: Mapping[str, Any]
) -> tuple[Section, list[FieldError]]:
    """The section with its defaults, and everything that is wrong with it."""
    raw, problems = json_section(key, data)
    if problems:
        return kind(), problems
    values: dict[str, Any] = {}
    for item in fields(kind):
        name = _camel(item.name)
        given = raw.get(name)
        if given is None:
            continue
        value, problem = _value(name, given, wants_list=isinstance(item.default, tuple))
        if problem:
            problems.append(FieldError(section_path(key, name), problem))
        else:
            values[item.name] = value
    missing = [name for name in _REQUIRED.get(kind, ()) if raw.get(name) in (None, "")]
    if missing:
        where = section_path(key)
        text = f"lacks {', '.join(missing)}, which the pod's annotations make necessary; add them"
        problems.append(FieldError(where, text, "FieldValueRequired"))
    return kind(**values), problems


def json_section(key: str, data: Mapping[str, Any]) -> tuple[Object, list[FieldError]]:
    """The JSON object under ``key``; empty where there is none or it can't be read."""
    text = data.get(key)
    if not text:
        return {}, []
    try:
        raw = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        return {}, [FieldError(section_path(key), f"is not JSON ({error}); write a JSON object")]
    if not isinstance(raw, dict):
        return {}, [FieldError(section_path(key), "must be a JSON object, for example {}")]
    return raw, []


def _value(name: str, given: Any, *, wants_list: bool) -> tuple[Any, str]:
    if wants_list:
        if isinstance(given, list) and all(isinstance(item, dict) for item in given):
            return tuple(given), ""
        return None, "must be a list of objects, as in a container"
    if isinstance(given, bool):
        given = "true" if given else "false"
    if isinstance(given, int | float):
        given = str(given)
    if not isinstance(given, str):
        return None, "must be a text"
    if name in _QUANTITIES and not quantity.is_valid(given):
        return None, f"{given!r} is not a quantity; write for example 2 or 150Gi"
    return given, ""


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
