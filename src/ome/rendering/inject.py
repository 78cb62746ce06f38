"""What the model, the runtime and the accelerator add to a runner container and its pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ome.api import constants as c
from ome.apimachinery import quantity
from ome.apimachinery.objects import Object, metadata
from ome.rendering import accelerate
from ome.rendering import weights as tuned
from ome.rendering.env import default_env, set_env
from ome.rendering.modelfiles import ModelFiles
from ome.rendering.weights import Weights


@dataclass(frozen=True)
class Injection:
    """The same for leader and workers of a component."""

    files: ModelFiles | None
    mount_model: bool
    """False where an init container unpacks the model instead."""
    legacy_containers: Mapping[str, Object]
    """The runtime's top-level containers by name: they may lend resources."""
    lend_resources: bool
    accelerator: Object | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What the matching format entry says about that accelerator class."""
    weights: Weights | None = None


def injection(
    annotations: Mapping[str, str],
    files: ModelFiles | None,
    runtime: Object | None,
    own: Object,
    accelerator: Object | None,
    entry: Mapping[str, Any] | None,
    weights: Weights | None = None,
) -> Injection:
    """``own`` is the service's part of the component before the merge."""
    unpacked = c.A_INJECT_MODEL_INIT, c.A_FT_MERGED_WEIGHTS
    own_runner = own.get("runner") or {}
    legacy = ((runtime or {}).get("spec") or {}).get("containers") or ()
    return Injection(
        files=files,
        mount_model=files is not None and all(annotations.get(key) != "true" for key in unpacked),
        legacy_containers={item["name"]: item for item in legacy if item.get("name")},
        lend_resources=not own_runner.get("resources"),
        accelerator=accelerator,
        overrides=_overrides(accelerator, entry),
        weights=weights,
    )


def _overrides(accelerator: Object | None, entry: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if accelerator is None:
        return {}
    configured: Mapping[str, Any] = (entry or {}).get("acceleratorConfig") or {}
    return configured.get(metadata(accelerator)["name"]) or {}


def into_runner(runner: Object, given: Injection, pods: int) -> None:
    """Adds environment, mounts and resources to a runner that is being built.

    ``pods`` is how many pods of this component work together; with the GPUs of one container it
    gives ``PARALLELISM_SIZE``.
    """
    files = given.files
    if given.weights is not None:
        _weights(runner, given.weights, files)
    if files is not None and given.mount_model:
        if given.weights is None:
            default_env(runner, c.E_MODEL_PATH, files.path)
        mounts = runner.get("volumeMounts") or []
        if all(item.get("mountPath") != files.mount["mountPath"] for item in mounts):
            runner["volumeMounts"] = [*mounts, dict(files.mount)]
    if given.lend_resources:
        _lend(runner, given.legacy_containers.get(runner.get("name") or ""))
    if given.accelerator is not None:
        accelerate.into_runner(
            runner, given.accelerator, given.overrides, resources=given.lend_resources
        )
        return
    gpus = gpu_count(runner)
    if gpus:
        set_env(runner, c.E_PARALLELISM_SIZE, str(gpus * pods))


def _weights(runner: Object, weights: Weights, files: ModelFiles | None) -> None:
    for name, value in tuned.environment(weights).items():
        set_env(runner, name, value)
    path = tuned.model_path(weights, files.path if files is not None else "")
    if path:
        default_env(runner, c.E_MODEL_PATH, path)
    if weights.tfew:
        default_env(runner, c.E_TFEW_PATH, c.TFEW_TRANSFORMER_PATH)
    tuned.into_mounts(runner, weights)


def _lend(runner: Object, lender: Object | None) -> None:
    lent = (lender or {}).get("resources") or {}
    for side in ("requests", "limits"):
        if lent.get(side):
            resources = runner.setdefault("resources", {})
            resources[side] = {**lent[side], **(resources.get(side) or {})}


def gpu_count(container: Mapping[str, Any]) -> int:
    """GPUs of one container: its limit, else its request, else 0."""
    resources = container.get("resources") or {}
    for side in ("limits", "requests"):
        amount = (resources.get(side) or {}).get(c.NVIDIA_GPU)
        if amount is not None:
            return quantity.to_int(amount)
    return 0


def add_volume(pod: Object, volume: Object) -> None:
    """Adds a volume unless the pod has one of that name."""
    volumes = pod.get("volumes") or []
    if all(item.get("name") != volume["name"] for item in volumes):
        pod["volumes"] = [*volumes, volume]


def into_pod(
    pod: Object,
    annotations: Mapping[str, str],
    files: ModelFiles | None,
    weights: Weights | None = None,
) -> None:
    """Adds the volumes that the containers mount."""
    for claim in weights.claims if weights is not None else ():
        add_volume(pod, dict(claim.volume))
    if files is not None and annotations.get(c.A_FT_MERGED_WEIGHTS) != "true":
        add_volume(pod, dict(files.volume))
    wants_empty_dir = annotations.get(c.A_INJECT_MODEL_INIT) == "true" or annotations.get(
        c.A_INJECT_FINE_TUNED_ADAPTER
    )
    if wants_empty_dir:
        add_volume(pod, {"name": c.MODEL_EMPTY_DIR_VOLUME, "emptyDir": {"medium": "Memory"}})


def placement(
    pod: Object,
    *,
    files: ModelFiles | None,
    runtime: Object | None,
    accelerator: Object | None,
    own: Object,
    merged_weights: bool = False,
) -> None:
    """Adds where the pod may run: nodes that have the model, and what runtime and service ask.

    In increasing priority: the merged pod spec, the runtime's top-level selector, that of the
    accelerator class, the service's.
    """
    selector = dict(pod.get("nodeSelector") or {})
    if files is not None and files.node_label and not merged_weights:
        selector.setdefault(files.node_label, c.NODE_MODEL_READY)
    selector.update(((runtime or {}).get("spec") or {}).get("nodeSelector") or {})
    if accelerator is not None:
        accelerate.node_selector(selector, accelerator)
        accelerate.affinity(pod, accelerator, own)
    selector.update(own.get("nodeSelector") or {})
    if selector:
        pod["nodeSelector"] = selector
