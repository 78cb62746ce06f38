"""Fine-tuned weights of a service: what they are together, and whether they can be served.

*Adapters* (LoRA, T-Few) lie beside the base model: the pod mounts both. *Merged* weights are a
whole model of their own: nothing of the base model is mounted, and no node has to have it.

The files come in through an init container that admission adds to pods that carry
``ome.io/inject-fine-tuned-adapter``; with several adapters the annotation lists them with commas.
Weights on a volume claim (``pvc://``) are mounted instead. One weight lies where engines look for
their model, several in folders of their names below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ome.api import constants as c
from ome.api.names import volume_name
from ome.apimachinery.objects import Object, metadata
from ome.rendering.errors import RenderError
from ome.rendering.modelfiles import ModelFiles, claim_files

_FIELD = "spec.model.fineTunedWeights"


@dataclass(frozen=True)
class Weights:
    """All weights of one service, as its pods see them."""

    names: tuple[str, ...]
    strategy: str
    """As written in ``hyperParameters.strategy``; empty where it is not given."""
    merged: bool
    format: str = ""
    """That of the base model; T-Few mounts are named after it."""
    vendor: str = ""
    claims: tuple[ModelFiles, ...] = ()
    """Of the weights that are mounted."""
    fetched: tuple[str, ...] = ()
    """Names of the weights that an init container fetches."""

    @property
    def tfew(self) -> bool:
        return (
            self.vendor.lower() == c.VENDOR_COHERE
            and self.strategy.lower() == c.STRATEGY_TFEW
            and not self.merged
        )


def describe(weights: Sequence[Object], model: Object | None, namespace: str) -> Weights | None:
    """What the weights are together; None where there are none. Raises what speaks against it."""
    if not weights:
        return None
    names = tuple(metadata(item)["name"] for item in weights)
    if model is None:
        raise RenderError(
            "BaseModelNotFound",
            f"fine-tuned weights {_listed(names)} need the base model that they were made of",
            field="spec.model.name",
            fix="name the base model in spec.model.name",
        )
    merged = [_merged(item) for item in weights]
    strategies = {_strategy(item).lower() for item in weights}
    if any(merged) and len(weights) > 1:
        raise RenderError(
            "WeightsNotCombinable",
            f"of {_listed(names)} at least one is merged with its base model; merged weights are a "
            "model of their own and can't be combined with others",
            field=_FIELD,
            fix="name one of them, and make another service for the other",
        )
    if len(strategies) > 1 or (len(weights) > 1 and c.STRATEGY_TFEW in strategies):
        raise RenderError(
            "WeightsNotCombinable",
            f"weights {_listed(names)} were made with {_listed(tuple(sorted(strategies)))}; "
            "several weights of one service have to be adapters of one kind",
            field=_FIELD,
            fix="name weights of one strategy, such as lora",
        )
    spec = model.get("spec") or {}
    mounted = [item for item in weights if _uri(item).startswith("pvc://")]
    paths = [
        f"{c.MODEL_STORE_PATH}/{metadata(item)['name']}" if len(weights) > 1 else c.MODEL_STORE_PATH
        for item in mounted
    ]
    return Weights(
        names=names,
        strategy=_strategy(weights[0]),
        merged=merged[0],
        format=(spec.get("modelFormat") or {}).get("name") or "",
        vendor=spec.get("vendor") or "",
        claims=tuple(
            claim_files(
                _uri(item),
                path,
                volume_name(f"weight-{metadata(item)['name']}"),
                namespace,
                field=_FIELD,
            )
            for item, path in zip(mounted, paths, strict=True)
        ),
        fetched=tuple(metadata(item)["name"] for item in weights if item not in mounted),
    )


def mismatch(weight: Object, model: Object) -> str:
    """Why the weight can't be served on this model; empty if it can."""
    reference = (weight.get("spec") or {}).get("baseModelRef") or {}
    base, namespace = reference.get("name") or "", reference.get("namespace") or ""
    name, where = metadata(model)["name"], metadata(model).get("namespace") or ""
    if base and base != name:
        return f"it was made for model {base}, not for {name}"
    if base and namespace and namespace != where:
        found = f"namespace {where}" if where else "the cluster"
        return f"it was made for model {base} of namespace {namespace}, not for the one of {found}"
    return ""


def weight_annotations(given: Weights) -> dict[str, str]:
    """For the pods and other children of components that load the model."""
    found = {}
    if given.fetched:
        found[c.A_INJECT_FINE_TUNED_ADAPTER] = ",".join(given.fetched)
    if given.strategy:
        found[c.A_FT_STRATEGY] = given.strategy
    if given.merged:
        found[c.A_FT_MERGED_WEIGHTS] = "true"
        found[c.A_INJECT_MODEL_INIT] = "false"
    return found


def weight_labels(given: Weights | None) -> dict[str, str]:
    if given is None:
        return {c.L_FINE_TUNED_SERVING: "false"}
    return {
        c.L_FINE_TUNED_SERVING: "true",
        c.L_FT_STRATEGY: given.strategy,
        c.L_FT_MERGED_WEIGHTS: "true" if given.merged else "false",
    }


def environment(given: Weights) -> dict[str, str]:
    """Variables that are overwritten; MODEL_PATH is not among them, see :func:`model_path`."""
    if given.vendor.lower() == c.VENDOR_META:
        return {c.E_SERVED_MODEL_NAME: f"{c.SERVED_FINE_TUNED_PREFIX}/{given.names[0]}"}
    return {}


def model_path(given: Weights, base: str) -> str:
    """Where the engine finds what it serves, unless it is told otherwise."""
    if given.merged or given.vendor.lower() == c.VENDOR_META:
        return c.MODEL_STORE_PATH
    return base


def into_mounts(runner: Object, given: Weights) -> None:
    """Adds the volumes with the weights; for T-Few the one has two parts."""
    mounts: list[Object] = list(runner.get("volumeMounts") or ())
    for files in given.claims:
        if all(item.get("mountPath") != files.mount["mountPath"] for item in mounts):
            mounts.append(dict(files.mount))
    runner["volumeMounts"] = mounts
    if not given.fetched:
        return
    ours = next((item for item in mounts if item.get("name") == c.MODEL_EMPTY_DIR_VOLUME), None)
    if ours is None:
        ours = {"name": c.MODEL_EMPTY_DIR_VOLUME, "mountPath": c.MODEL_STORE_PATH}
        mounts.append(ours)
    if given.tfew:
        base = {
            **ours,
            "mountPath": f"{c.MODEL_STORE_PATH}/{given.format}",
            "subPath": c.SUBPATH_BASE,
        }
        tuned: dict[str, Any] = {
            "name": c.MODEL_EMPTY_DIR_VOLUME,
            "mountPath": f"{c.TFEW_PATH}/{given.format}",
            "readOnly": True,
            "subPath": c.SUBPATH_FINE_TUNED,
        }
        mounts[mounts.index(ours)] = base
        mounts.append(tuned)
    runner["volumeMounts"] = mounts


def inputs(weights: Sequence[Object]) -> Any:
    """What of the weights reaches a pod template, for its hash; None without any."""
    if not weights:
        return None
    return [
        {
            "name": metadata(item)["name"],
            "strategy": _strategy(item),
            "merged": _merged(item),
            **({"claim": _uri(item)} if _uri(item).startswith("pvc://") else {}),
        }
        for item in weights
    ]


def _uri(weight: Object) -> str:
    return str(((weight.get("spec") or {}).get("storage") or {}).get("storageUri") or "")


def _strategy(weight: Object) -> str:
    value = _free(weight, "hyperParameters").get("strategy")
    return value if isinstance(value, str) else ""


def _merged(weight: Object) -> bool:
    value = _free(weight, "configuration").get("merged_weights")
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _free(weight: Object, key: str) -> Mapping[str, Any]:
    value = (weight.get("spec") or {}).get(key)
    return value if isinstance(value, Mapping) else {}


def _listed(names: Sequence[str]) -> str:
    named = [name or "an unnamed strategy" for name in names]
    return " and ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else named[0]
