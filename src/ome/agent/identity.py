"""Which model: a key for each, whatever its kind.

Three kinds have files on nodes. The agent names all of them with a ``Key``: a BaseModel by its
namespace, a ClusterBaseModel by the empty namespace, and a FineTunedWeight (which has no namespace
either) by :data:`WEIGHTS`, which is no name that a namespace can have. So two objects of one name
are never taken for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import names
from ome.apimachinery import objects
from ome.apimachinery.objects import Key

WEIGHTS = "(weights)"
WEIGHT_KIND = "FineTunedWeight"


def key_of(model: Mapping[str, Any]) -> Key:
    """The key of an object of one of the three kinds."""
    key = objects.key_of(model)
    return Key(WEIGHTS, key.name) if model.get("kind") == WEIGHT_KIND else key


def kind_of(key: Key) -> str:
    if key.namespace == WEIGHTS:
        return WEIGHT_KIND
    return "BaseModel" if key.namespace else "ClusterBaseModel"


def described(key: Key) -> str:
    """``ClusterBaseModel qwen3``, for people."""
    if key.namespace == WEIGHTS:
        return f"{WEIGHT_KIND} {key.name}"
    return f"{kind_of(key)} {key}"


def label_key(key: Key) -> str:
    """The node label that says whether this node has it."""
    if key.namespace == WEIGHTS:
        return names.weights_label(key.name)
    return names.model_label(key.namespace, key.name)


def data_key(key: Key) -> str:
    """Its key in the node's ConfigMap."""
    if key.namespace == WEIGHTS:
        return names.weights_config_map_key(key.name)
    return names.model_config_map_key(key.namespace, key.name)


def is_model_label(name: str) -> bool:
    """Whether a label of a node is one of these."""
    local = name.partition("/")[2]
    return local.startswith(("clusterbasemodel.", "finetunedweight.")) or ".basemodel." in local
