"""Which download goes first when there are more than slots: the model that somebody waits for.

Asked only when there is a choice to make, with one list of the services. A model that a service
without a ready engine names comes first, the longest-waiting service first; then older models
before newer ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.agent.identity import WEIGHTS
from ome.api.resources import INFERENCE_SERVICES
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Key, Object, condition, metadata
from ome.kube import Client, KubeError

_NEVER = "9999"


async def rank_by_need(
    client: Client, models: Mapping[Key, Object | None]
) -> dict[Key, tuple[Any, ...]]:
    """A sort key for every model; lower goes first."""
    try:
        services = (await client.list(INFERENCE_SERVICES)).items
    except (StatusError, KubeError):
        services = []
    since: dict[Key, str] = {}
    for service in services:
        if (condition(service, "Ready") or {}).get("status") == "True":
            continue
        created = str(metadata(service).get("creationTimestamp") or _NEVER)
        for key in (model_of(service, models), *_weights_of(service)):
            if key is not None and key in models:
                since[key] = min(created, since.get(key, _NEVER))
    return {
        key: (since.get(key, _NEVER), _created(model), str(key)) for key, model in models.items()
    }


def model_of(service: Object, models: Mapping[Key, Any]) -> Key | None:
    """The model that a service names, if it is one of these."""
    reference = (service.get("spec") or {}).get("model") or {}
    name = reference.get("name")
    if not isinstance(name, str) or not name:
        return None
    namespace = str(metadata(service).get("namespace") or "")
    kind = reference.get("kind")
    candidates = [Key(namespace, name), Key("", name)]
    if kind == "ClusterBaseModel":
        candidates = [Key("", name)]
    elif kind == "BaseModel":
        candidates = [Key(namespace, name)]
    return next((key for key in candidates if key in models), None)


def _weights_of(service: Object) -> list[Key]:
    reference = (service.get("spec") or {}).get("model") or {}
    named = reference.get("fineTunedWeights") or ()
    return [Key(WEIGHTS, name) for name in named if isinstance(name, str)]


def _created(model: Object | None) -> str:
    return str(metadata(model or {}).get("creationTimestamp") or _NEVER)
