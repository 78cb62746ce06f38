"""The containers that fetch or unpack model files next to an engine; all run ``ome-agent``.

* ``model-init`` (init container) decrypts and unpacks a base model;
* ``fine-tuned-adapter`` (init container) fetches fine-tuned weights from Oracle's object storage;
* ``serving-sidecar`` (container) fetches such weights while the engine runs.

Each is added once: a container of that name that is there already stays as it is. They share the
volume ``model-empty-dir``, which is added where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ome.admission import podconfig
from ome.admission.podedit import add_volume, named
from ome.api import constants as c
from ome.api import names, storage_uri
from ome.api.config import Agent
from ome.apimachinery import quantity
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object, annotations_of, labels_of

Weights = Callable[[str], Object | None]
"""A FineTunedWeight by name."""

_CONFIG_FILE: Final = ("--config", "/ome-agent.yaml", "--debug")
_TENSORRT_LLM: Final = "tensorrtllm"
_MERGED_SUFFIX: Final = "-merged-weight"


def inject_model_init(pod: Object, config: podconfig.Data, errors: list[FieldError]) -> None:
    annotations = annotations_of(pod)
    if annotations.get(c.A_INJECT_MODEL_INIT) != "true":
        return
    spec = pod["spec"]
    if named(spec.get("initContainers"), c.MODEL_INIT_CONTAINER) is not None:
        return
    key = "modelInit"
    settings, found = podconfig.read_one(config, key)
    section = settings.model_init
    podconfig.check_agent(section, key, found)
    main = _main(pod, c.MODEL_INIT_CONTAINER, found, c.MAIN_CONTAINER, c.TRAINER_CONTAINER)
    _check_identity(pod, section, key, found)
    model = _annotation(annotations, c.A_BASE_MODEL_NAME, "the model's name", found)
    volume = names.volume_name(model) if model else ""
    if model and named(spec.get("volumes"), model, volume) is None:
        found.append(
            FieldError(
                "spec.volumes",
                f"there is no volume {volume!r} with the files of the model {model}, which "
                f"{c.MODEL_INIT_CONTAINER} reads; add it or remove {c.A_INJECT_MODEL_INIT}",
                "FieldValueRequired",
            )
        )
    framework = (annotations.get(c.A_BASE_MODEL_FORMAT) or "").lower()
    framework = framework.replace("_", "").replace("-", "")
    gpus = _gpus(main, found) if framework == _TENSORRT_LLM and main else ""
    if found:
        errors += found
        return
    _identify(pod, section)
    env = {
        c.E_AGENT_AUTH_TYPE: section.auth_type,
        c.E_AGENT_COMPARTMENT_ID: section.compartment_id,
        c.E_AGENT_VAULT_ID: section.vault_id,
        c.E_AGENT_MODEL_NAME: model,
        c.E_AGENT_KEY_NAME: annotations.get(c.A_DECRYPTION_KEY_NAME) or "",
        c.E_AGENT_SECRET_NAME: annotations.get(c.A_DECRYPTION_SECRET_NAME) or "",
        c.E_AGENT_DISABLE_MODEL_DECRYPTION: annotations.get(c.A_DISABLE_MODEL_DECRYPTION)
        or "false",
        c.E_AGENT_MODEL_TYPE: labels_of(pod).get(c.L_BASE_MODEL_TYPE) or c.BASE_MODEL_TYPE_SERVING,
        c.E_AGENT_LOCAL_PATH: c.MODEL_SOURCE_PATH,
        c.E_AGENT_MODEL_STORE_DIRECTORY: c.MODEL_STORE_PATH,
        c.E_AGENT_REGION: section.region,
        c.E_AGENT_MODEL_FRAMEWORK: framework,
    }
    if framework == _TENSORRT_LLM:
        env[c.E_AGENT_TENSORRTLLM_VERSION] = annotations.get(c.A_BASE_MODEL_FORMAT_VERSION) or ""
        env[c.E_AGENT_NUM_OF_GPU] = gpus
    store: Object = {"name": c.MODEL_EMPTY_DIR_VOLUME, "mountPath": c.MODEL_STORE_PATH}
    if _cohere_tfew(annotations):
        store["subPath"] = c.SUBPATH_BASE
    source = named(spec.get("volumes"), model, volume)["name"]
    container = _container(
        c.MODEL_INIT_CONTAINER,
        "enigma",
        section,
        main,
        env,
        [store, {"name": source, "mountPath": c.MODEL_SOURCE_PATH}, *section.extra_volume_mounts],
    )
    container["env"] += [dict(item) for item in section.extra_env_vars]
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    _append(pod, "initContainers", container)


def inject_fine_tuned_adapter(
    pod: Object, config: podconfig.Data, weights: Weights, errors: list[FieldError]
) -> None:
    """One init container for each weight that the annotation lists (with commas).

    A single weight is unpacked where the engine looks for its model; several get a folder each,
    named after the weight, below that place.
    """
    listed = (annotations_of(pod).get(c.A_INJECT_FINE_TUNED_ADAPTER) or "").split(",")
    wanted = [name.strip() for name in listed if name.strip()]
    for index, name in enumerate(wanted):
        container = c.FINE_TUNED_ADAPTER_CONTAINER + (f"-{index + 1}" if index else "")
        folder = f"/{name}" if len(wanted) > 1 else ""
        _inject_weight(pod, config, weights, errors, name, container, folder)


def _inject_weight(
    pod: Object,
    config: podconfig.Data,
    weights: Weights,
    errors: list[FieldError],
    name: str,
    container_name: str,
    folder: str,
) -> None:
    annotations = annotations_of(pod)
    if named(pod["spec"].get("initContainers"), container_name) is not None:
        return
    key = "fineTunedAdapter"
    settings, found = podconfig.read_one(config, key)
    section = settings.fine_tuned_adapter
    podconfig.check_agent(section, key, found)
    main = _main(pod, container_name, found, c.MAIN_CONTAINER)
    _check_identity(pod, section, key, found)
    where = _weight_location(name, weights, found)
    if found or where is None:
        errors += found
        return
    _identify(pod, section)
    unpacked = c.TFEW_PATH if _cohere_tfew(annotations) else c.MODEL_STORE_PATH
    target: Object = {"name": c.MODEL_EMPTY_DIR_VOLUME, "mountPath": unpacked}
    if annotations.get(c.A_BASE_MODEL_FORMAT) == _TENSORRT_LLM:
        target["subPath"] = c.SUBPATH_TENSORRT_LLM
    elif _cohere_tfew(annotations):
        target["subPath"] = c.SUBPATH_FINE_TUNED
    merged = annotations.get(c.A_FT_MERGED_WEIGHTS) == "true"
    env = {
        c.E_AGENT_AUTH_TYPE: section.auth_type,
        c.E_AGENT_COMPARTMENT_ID: section.compartment_id,
        c.E_AGENT_REGION: where.region or section.region,
        c.E_AGENT_FT_UNZIPPED_DIRECTORY: f"{unpacked}{folder}",
        c.E_AGENT_FT_ZIPPED_DIRECTORY: f"{c.FINE_TUNED_DOWNLOAD_PATH}{folder}",
        c.E_AGENT_MODEL_BUCKET_NAME: where.container,
        c.E_AGENT_MODEL_NAMESPACE: where.namespace,
        c.E_AGENT_MODEL_OBJECT_NAME: where.path + (_MERGED_SUFFIX if merged else ""),
    }
    download = {"name": c.MODEL_EMPTY_DIR_VOLUME, "mountPath": c.FINE_TUNED_DOWNLOAD_PATH}
    command = c.FINE_TUNED_ADAPTER_CONTAINER
    container = _container(container_name, command, section, main, env, [download, target])
    _append(pod, "initContainers", container)


def inject_serving_sidecar(pod: Object, config: podconfig.Data, errors: list[FieldError]) -> None:
    annotations = annotations_of(pod)
    if annotations.get(c.A_INJECT_SERVING_SIDECAR) != "true":
        return
    if named(pod["spec"].get("containers"), c.SERVING_SIDECAR_CONTAINER) is not None:
        return
    key = "servingSidecar"
    settings, found = podconfig.read_one(config, key)
    section = settings.serving_sidecar
    podconfig.check_agent(section, key, found)
    main = _main(pod, c.SERVING_SIDECAR_CONTAINER, found, c.MAIN_CONTAINER)
    _check_identity(pod, section, key, found)
    strategy = _annotation(annotations, c.A_FT_STRATEGY, "how the weights were tuned", found)
    if found:
        errors += found
        return
    _identify(pod, section)
    unpacked = f"{c.MODEL_STORE_PREFIX}/{strategy}"
    env = {
        c.E_AGENT_AUTH_TYPE: section.auth_type,
        c.E_AGENT_COMPARTMENT_ID: section.compartment_id,
        c.E_AGENT_REGION: section.region,
        c.E_AGENT_FT_INFO_FILE_PATH: section.fine_tuned_weight_info_file_path,
        c.E_AGENT_FT_UNZIPPED_DIRECTORY: unpacked,
        c.E_AGENT_FT_ZIPPED_DIRECTORY: c.FINE_TUNED_DOWNLOAD_PATH,
    }
    mounts = [
        _shared(c.FINE_TUNED_DOWNLOAD_PATH, c.SUBPATH_DOWNLOAD),
        _shared(unpacked, c.SUBPATH_FINE_TUNED),
    ]
    container = _container(c.SERVING_SIDECAR_CONTAINER, "serving-agent", section, main, env, mounts)
    _append(pod, "containers", container)


def order_init_containers(pod: Object) -> None:
    """The model has to be unpacked before weights are put on top of it."""
    items = list(pod["spec"].get("initContainers") or ())
    for index in range(len(items) - 1):
        pair = (items[index].get("name"), items[index + 1].get("name"))
        if pair == (c.FINE_TUNED_ADAPTER_CONTAINER, c.MODEL_INIT_CONTAINER):
            items[index], items[index + 1] = items[index + 1], items[index]
            pod["spec"]["initContainers"] = items
            return


# --- pieces --------------------------------------------------------------------------------


def _container(
    name: str,
    command: str,
    section: Agent,
    main: Object,
    env: Mapping[str, str],
    mounts: list[Object],
) -> Object:
    container: Object = {
        "name": name,
        "image": section.image,
        "args": [command, *_CONFIG_FILE],
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "resources": section.requirements(),
        "volumeMounts": [dict(mount) for mount in mounts],
    }
    if main.get("securityContext") is not None:
        container["securityContext"] = main["securityContext"]
    return container


def _append(pod: Object, where: str, container: Object) -> None:
    spec = pod["spec"]
    spec[where] = [*(spec.get(where) or ()), container]
    add_volume(pod, {"name": c.MODEL_EMPTY_DIR_VOLUME, "emptyDir": {"medium": "Memory"}})


def _shared(path: str, sub_path: str) -> Object:
    return {"name": c.MODEL_EMPTY_DIR_VOLUME, "mountPath": path, "subPath": sub_path}


def _main(pod: Object, added: str, errors: list[FieldError], *wanted: str) -> Object:
    """The container that the added one works for: it takes over its security context."""
    found: Object | None = named(pod["spec"].get("containers"), *wanted)
    if found is None:
        errors.append(
            FieldError(
                "spec.containers",
                f"{added} needs a container called {' or '.join(wanted)}; rename the engine's",
                "FieldValueRequired",
            )
        )
    return found or {}


def _check_identity(pod: Object, section: Agent, key: str, errors: list[FieldError]) -> None:
    if section.auth_type != c.AUTH_OKE_WORKLOAD_IDENTITY or pod["spec"].get("serviceAccountName"):
        return
    errors.append(
        FieldError(
            "spec.serviceAccountName",
            f"is needed, because {podconfig.section_path(key, 'authType')} is {section.auth_type}; "
            "name a ServiceAccount that may read the files",
            "FieldValueRequired",
        )
    )


def _identify(pod: Object, section: Agent) -> None:
    if section.auth_type == c.AUTH_OKE_WORKLOAD_IDENTITY:
        pod["spec"]["automountServiceAccountToken"] = True


def _annotation(
    annotations: Mapping[str, str], key: str, what: str, errors: list[FieldError]
) -> str:
    value = annotations.get(key) or ""
    if not value:
        errors.append(
            FieldError(f"metadata.annotations[{key}]", f"must say {what}", "FieldValueRequired")
        )
    return value


def _gpus(main: Mapping[str, Any], errors: list[FieldError]) -> str:
    limits = (main.get("resources") or {}).get("limits") or {}
    amount = limits.get(c.NVIDIA_GPU)
    if amount is not None and quantity.is_valid(amount) and quantity.to_int(amount) > 0:
        return str(quantity.to_int(amount))
    errors.append(
        FieldError(
            f"spec.containers[{main.get('name')}].resources.limits[{c.NVIDIA_GPU}]",
            "a TensorRT-LLM model is unpacked for a number of GPUs; say how many",
            "FieldValueRequired",
        )
    )
    return ""


def _weight_location(
    name: str, weights: Weights, errors: list[FieldError]
) -> storage_uri.StorageURI | None:
    path = f"metadata.annotations[{c.A_INJECT_FINE_TUNED_ADAPTER}]"
    weight = weights(name)
    if weight is None:
        errors.append(FieldError(path, f"there is no FineTunedWeight {name}; apply it first"))
        return None
    uri = ((weight.get("spec") or {}).get("storage") or {}).get("storageUri") or ""
    problem = ""
    try:
        parsed = storage_uri.parse(str(uri))
    except storage_uri.StorageURIError as error:
        problem = str(error)
    else:
        if parsed.scheme == "oci" and parsed.namespace:
            return parsed
        problem = f"{uri!r} is not in Oracle's object storage, or names no namespace"
    text = (
        f"the files of FineTunedWeight {name} can't be fetched: spec.storage.storageUri: {problem}"
        f"; write {storage_uri.FORMS['oci']}"
    )
    errors.append(FieldError(path, text))
    return None


def _cohere_tfew(annotations: Mapping[str, str]) -> bool:
    return (
        annotations.get(c.A_BASE_MODEL_VENDOR) == c.VENDOR_COHERE
        and annotations.get(c.A_FT_STRATEGY) == c.STRATEGY_TFEW
        and annotations.get(c.A_FT_MERGED_WEIGHTS) != "true"
    )
