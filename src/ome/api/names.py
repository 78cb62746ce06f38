"""Derived names: one place for every rule that shortens, joins or takes apart a name.

Two rules of truncation exist in the contract, both deterministic:

* **rule B** (:func:`truncate`): 8 hex digits of SHA-256, a dash, the end of the name;
* **rule A** (:func:`truncate_dns`): the same, with a leading digit of the hash replaced by ``a``
  so that the result may start a DNS label.

Lengths are in bytes. Some names were once only *cut* (the last N characters), which lets two
services collide. For those there are two functions: ``legacy_*`` gives the cut name, the other one
hashes where the old one would cut. A child that exists under its legacy name keeps it
(:func:`keep_or_rename`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container
from typing import Final, NamedTuple

from ome.api import constants as c

MAX_DNS_LABEL: Final = 63
MAX_LABEL_VALUE: Final = 63
MAX_SERVICE_NAME: Final = MAX_DNS_LABEL - len("-decoder")
"""Longest name of an InferenceService whose component names need no shortening: 55."""

SERVICE_NAME_PATTERN: Final = r"[a-z]([-a-z0-9]*[a-z0-9])?"

_LABEL_BUDGET = 49  # stricter than Kubernetes' 63, kept because agents and operators must agree
_CONFIG_MAP_BUDGET = 253
_HASH = 8
_CLUSTER = "clusterbasemodel"
_SPACED = "basemodel"
_WEIGHTS = "finetunedweight"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH]


def _tail(text: str, size: int) -> str:
    return text.encode()[-size:].decode(errors="ignore") if size > 0 else ""


def truncate(text: str, limit: int) -> str:
    """Rule B. Unchanged where it fits; the bare (cut) hash where not even a suffix fits."""
    return _shorten(text, limit, _hash(text))


def truncate_dns(text: str, limit: int = MAX_DNS_LABEL) -> str:
    """Rule A: like :func:`truncate`, never starting with a digit when shortened."""
    digest = _hash(text)
    return _shorten(text, limit, f"a{digest[1:]}" if digest[0].isdigit() else digest)


def _shorten(text: str, limit: int, digest: str) -> str:
    if len(text.encode()) <= limit:
        return text
    room = limit - _HASH - 1
    return f"{digest}-{_tail(text, room)}" if room > 0 else digest[:limit]


# --- a model on a node ------------------------------------------------------------------------


class ModelKey(NamedTuple):
    """Which model a label or a ConfigMap key speaks of. No namespace: a ClusterBaseModel."""

    namespace: str
    name: str

    @property
    def kind(self) -> str:
        return "BaseModel" if self.namespace else "ClusterBaseModel"


def _model_key(namespace: str, name: str, budget: int) -> str:
    if not namespace:
        return f"{_CLUSTER}.{truncate(name, budget - len(_CLUSTER) - 1)}"
    room = budget - len(_SPACED) - 2
    spaces, names = len(namespace.encode()), len(name.encode())
    if spaces + names > room:
        spaces = spaces if spaces <= _HASH else _HASH
        namespace, name = truncate(namespace, spaces), truncate(name, room - spaces)
    return f"{namespace}.{_SPACED}.{name}"


def model_label(namespace: str, name: str) -> str:
    """Key of the node label of a model; an empty namespace means ClusterBaseModel.

    >>> model_label("default", "llama-3-8b")
    'models.ome.io/default.basemodel.llama-3-8b'
    """
    return f"{c.MODEL_LABEL_DOMAIN}/{_model_key(namespace, name, _LABEL_BUDGET)}"


def model_config_map_key(namespace: str, name: str) -> str:
    """Data key of a model in a node's status ConfigMap; empty namespace: ClusterBaseModel."""
    return _model_key(namespace, name, _CONFIG_MAP_BUDGET)


def weights_label(name: str) -> str:
    """Key of the node label of a FineTunedWeight."""
    budget = _LABEL_BUDGET - len(_WEIGHTS) - 1
    return f"{c.MODEL_LABEL_DOMAIN}/{_WEIGHTS}.{truncate(name, budget)}"


def weights_config_map_key(name: str) -> str:
    """Data key of a FineTunedWeight in a node's status ConfigMap."""
    return f"{_WEIGHTS}.{truncate(name, _CONFIG_MAP_BUDGET - len(_WEIGHTS) - 1)}"


def parse_model_config_map_key(key: str) -> ModelKey | None:
    """The model that a ConfigMap key names, ``None`` if it names none.

    A shortened key can't be reversed (the result then names no object; compare
    :func:`model_config_map_key` of the models you know instead), and a namespace that is literally
    called ``clusterbasemodel`` reads as a ClusterBaseModel. Both are properties of the format.
    """
    if key.startswith(f"{_CLUSTER}."):
        name = key[len(_CLUSTER) + 1 :]
        return ModelKey("", name) if name else None
    namespace, separator, name = key.partition(f".{_SPACED}.")
    return ModelKey(namespace, name) if separator and namespace and name else None


def default_model_path(kind: str, namespace: str, name: str, root: str = "") -> str:
    """Where a model's files lie when ``storage.path`` is absent.

    Agent and operator must agree on it. Object names can't contain a slash or be ``..``, so the
    path can't leave the root.

    >>> default_model_path("ClusterBaseModel", "", "smollm2-135m-instruct")
    '/raid/models/clusterbasemodel/smollm2-135m-instruct'
    """
    parts = [kind.lower(), namespace, name]
    return "/".join([(root or c.DEFAULT_MODELS_ROOT).rstrip("/"), *filter(None, parts)])


# --- children of an InferenceService ----------------------------------------------------------


def component_name(service: str, component: str) -> str:
    """Base name of a component: Deployment, HPA, PodDisruptionBudget, Knative Service."""
    return service if component == c.PREDICTOR else f"{service}-{component}"


def component_service_name(service: str, component: str) -> str:
    """Name of the component's Service (a DNS label, shortened by rule A)."""
    return truncate_dns(component_name(service, component))


def app_label(service: str, component: str) -> str:
    """Value of the ``app`` label that selects a component's pods."""
    return truncate_dns(component_name(service, component))


def legacy_lws_name(base: str) -> str:
    return f"lws-{_tail(base, 50)}"


def lws_name(base: str) -> str:
    """LeaderWorkerSet of a component; ``base`` is :func:`component_name`."""
    return f"lws-{truncate_dns(base, 50)}"


def legacy_scaled_object_name(base: str) -> str:
    return f"scaledobject-{_tail(base, 50)}"


def scaled_object_name(base: str) -> str:
    """KEDA ScaledObject of a component; ``base`` is :func:`component_name`."""
    return f"scaledobject-{truncate_dns(base, 50)}"


def legacy_model_config_name(service: str) -> str:
    return f"modelconfig-{_tail(service, 20)}"


def model_config_name(service: str) -> str:
    """ConfigMap with the description of the model that a service serves."""
    return f"modelconfig-{truncate_dns(service, 20)}"


def ray_cluster_name(base: str, index: int) -> str:
    return f"{base}-{index}"


def router_account_name(service: str) -> str:
    """ServiceAccount, Role and RoleBinding of a router."""
    return f"{service}-{c.ROUTER}"


def keep_or_rename(name: str, legacy: str, owned: Container[str]) -> str:
    """``legacy`` where an owned child already bears it, ``name`` otherwise."""
    return legacy if legacy in owned else name


_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")


def volume_name(model: str) -> str:
    """Pod volume of a model: its name where that is a DNS label, else a hashed form of it."""
    if len(model) <= MAX_DNS_LABEL and _DNS_LABEL.fullmatch(model):
        return model
    clean = re.sub(r"[^a-z0-9-]", "-", model.lower())
    room = MAX_DNS_LABEL - _HASH - 1
    tail = _tail(clean, room).strip("-")
    digest = _hash(model)
    return f"{digest}-{tail}" if tail else digest


def label_value(text: str) -> str:
    """``text`` as a legal label value: unchanged if it is one, else cleaned and shortened."""
    if len(text.encode()) <= MAX_LABEL_VALUE and _LABEL_VALUE.fullmatch(text):
        return text
    clean = re.sub(r"[^A-Za-z0-9._-]", "-", text)
    shortened = truncate(clean, MAX_LABEL_VALUE)
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9]+$", "", shortened)
