"""From a BenchmarkJob to its Job: a pure function.

One Job with one pod that is never started twice, with a deadline. The program of the pod lies in a
ConfigMap beside it, so that any image with genai-bench will do; under ``hostProcess`` (one machine)
it is a process of the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ome.api import constants as c
from ome.api import names
from ome.api.config import BenchmarkPod
from ome.apimachinery import quantity
from ome.apimachinery.objects import Object, annotations_of, metadata, owner_reference
from ome.benchmark import arguments, storage
from ome.benchmark.scenarios import FORMATS
from ome.rendering.errors import RenderError
from ome.rendering.modelfiles import ModelFiles, model_files

CONTAINER: Final = "genai-bench"
PROGRAM: Final = "/ome-benchmark/program"
PACKAGE: Final = "omebench"
PROGRAM_VOLUME: Final = "benchmark-program"
L_BENCHMARK: Final = "benchmark"
"""On the Job, its pod and its ConfigMaps: the name of the BenchmarkJob."""
A_SUSPEND: Final = "ome.io/suspend"
"""On a BenchmarkJob: ``"true"`` stops the run until it is taken away; then it begins anew."""
A_LOGGING: Final = "logging-forward"
HF_KEY: Final = "HUGGINGFACE_API_KEY"
"""Key of the Secret with the token for the Hugging Face hub."""
START_SECONDS: Final = 1800
"""For fetching an image, reading a model's tokenizer and everything else around the runs."""
RUN_SECONDS: Final = 60
"""What a run may take longer than its own limit."""
_SMALL_A100: Final = quantity.parse("60Gi")
_GPU_TOLERATION: Final = {"key": c.NVIDIA_GPU, "operator": "Exists", "effect": "NoSchedule"}


@dataclass(frozen=True)
class BenchmarkInput:
    """``service`` and its ``model`` where a service is measured; ``program`` is the pod's, by file
    name; ``fetcher`` is for datasets in buckets."""

    job: Object
    settings: BenchmarkPod
    program: Mapping[str, str]
    service: Object | None = None
    model: Object | None = None
    accelerator: Object | None = None
    fetcher: storage.Fetcher | None = None


@dataclass(frozen=True)
class BenchmarkChildren:
    job: Object
    program: Object
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Target:
    """What is measured."""

    backend: str
    base: str
    model: str
    tokenizer: str
    files: ModelFiles | None = None
    env: tuple[Object, ...] = ()


def job_name(name: str) -> str:
    """Of Job and pods; pods carry it as a label, which is shorter than a name may be."""
    return names.truncate_dns(name)


def program_name(name: str) -> str:
    return names.truncate_dns(f"{name}-program", 253)


def results_name(name: str) -> str:
    return names.truncate_dns(f"{name}-results", 253)


def is_suspended(job: Mapping[str, Any]) -> bool:
    return annotations_of(job).get(A_SUSPEND) == "true"


def render(given: BenchmarkInput) -> BenchmarkChildren:
    """Raises RenderError where no Job can be made of it."""
    meta = metadata(given.job)
    spec = given.job.get("spec") or {}
    on_host = given.settings.host_process
    if not _image(spec, given.settings):
        raise RenderError(
            "NoImage",
            "there is no image with genai-bench",
            field="spec.podOverride.image",
            fix=f"set it, or image in ConfigMap {c.BENCHMARK_JOB_CONFIG}",
        )
    target = _target(given, meta.get("namespace") or "")
    if problem := unsupported(spec, target.backend):
        raise RenderError("NotSupportedYet", problem[0], field=problem[1], fix=problem[2])
    results = storage.output(spec, meta.get("namespace") or "", on_host=on_host)
    data = storage.dataset(
        spec, meta.get("namespace") or "", on_host=on_host, fetcher=given.fetcher
    )
    words = arguments.command_line(
        spec,
        backend=target.backend,
        base=target.base,
        model=target.model,
        tokenizer=target.tokenizer,
        small_a100=_is_small(given.accelerator),
        storage=results.arguments,
        dataset=data.arguments,
    )
    pod = _pod(given, target, words, (results, data))
    labels = {L_BENCHMARK: names.label_value(meta["name"])}
    annotations = {A_LOGGING: "true"}
    pod_annotations = {**annotations, c.A_HOST_PROCESS: "true"} if on_host else annotations
    owner = [owner_reference(given.job)]
    job: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(meta["name"]),
            "namespace": meta.get("namespace"),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": owner,
        },
        "spec": {
            "activeDeadlineSeconds": deadline(spec),
            "backoffLimit": 0,
            "suspend": is_suspended(given.job),
            "template": {
                "metadata": {"labels": labels, "annotations": pod_annotations},
                "spec": pod,
            },
        },
    }
    program: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": program_name(meta["name"]),
            "namespace": meta.get("namespace"),
            "labels": labels,
            "ownerReferences": owner,
        },
        "data": dict(sorted(given.program.items())),
    }
    return BenchmarkChildren(job, program)


def deadline(spec: Mapping[str, Any]) -> int:
    """Seconds after which the Job is ended in any case."""
    each = 60 * int(spec.get("maxTimePerIteration") or 0) + RUN_SECONDS
    return START_SECONDS + arguments.runs(spec) * each


def unsupported(spec: Mapping[str, Any], backend: str = "") -> tuple[str, str, str] | None:
    """What genai-bench lacks: (what, field, remedy). Without ``backend`` as the spec says."""
    task = str(spec.get("task"))
    if task.startswith("image-") and not spec.get("dataset"):
        return (
            f"genai-bench makes up no images, and {task} needs some",
            "spec.dataset",
            "name a dataset, for example storageUri: hf://ORG/DATASET with parameters.image_column",
        )
    direct = (spec.get("endpoint") or {}).get("endpoint") or {}
    spoken = backend or direct.get("apiFormat") or "openai"
    known = FORMATS.get(task, (spoken,))
    if spoken not in known:
        formats = " or ".join(known)
        return (
            f"genai-bench measures {task} only of servers that speak {formats}",
            "spec.task",
            f"take another task, or an endpoint with apiFormat {formats}",
        )
    return None


def _target(given: BenchmarkInput, namespace: str) -> _Target:
    spec = given.job.get("spec") or {}
    direct = (spec.get("endpoint") or {}).get("endpoint")
    if direct:
        model = str(direct.get("modelName") or "")
        tokenizer = arguments.tokenizer_of_endpoint(spec, model)
        backend = str(direct.get("apiFormat") or "openai")
        return _Target(backend, str(direct.get("url")).rstrip("/"), model, tokenizer)
    service = given.service or {}
    base = service_url(service, on_host=given.settings.host_process)
    if not base:
        raise RenderError("NotReady", "the service has no address", field="spec.endpoint")
    return _with_tokenizer(_Target(_backend(service), base, "", arguments.WORDS), given, namespace)


def _with_tokenizer(target: _Target, given: BenchmarkInput, namespace: str) -> _Target:
    """The tokenizer lies with the model's files, which the pod gets to see."""
    own = arguments.tokenizer_of_endpoint(given.job.get("spec") or {}, "")
    if own != arguments.WORDS:
        return _Target(target.backend, target.base, target.model, own)
    if given.model is None:
        return target
    try:
        files = model_files(given.model, namespace)
    except RenderError:
        # A claim of another namespace: the hub may have the tokenizer, else words must do.
        return target
    env = ({"name": c.E_MODEL_PATH, "value": files.path},)
    return _Target(target.backend, target.base, target.model, files.path, files, env)


def service_url(service: Mapping[str, Any], *, on_host: bool) -> str:
    """Inside a cluster the inside address; on one machine the gateway's."""
    status = service.get("status") or {}
    inside = str((status.get("address") or {}).get("url") or "")
    outside = str(status.get("url") or "")
    return (outside or inside if on_host else inside or outside).rstrip("/")


_BACKENDS: Final = {"openai": "openai", "cohere": "cohere", "oci-cohere": "oci-cohere"}


def _backend(service: Mapping[str, Any]) -> str:
    """The protocol that the service says it speaks; OpenAI's where it says nothing known."""
    spec = service.get("spec") or {}
    legacy = ((spec.get("predictor") or {}).get("model") or {}).get("protocolVersion")
    runner = (spec.get("engine") or {}).get("runner") or {}
    env = {e.get("name"): e.get("value") for e in runner.get("env") or ()}
    said = str(legacy or env.get(c.E_PROTOCOL_VERSION) or "openai").lower()
    return _BACKENDS.get(said, "openai")


def _is_small(accelerator: Object | None) -> bool:
    memory = (((accelerator or {}).get("spec") or {}).get("capabilities") or {}).get("memoryGB")
    return memory is not None and 0 < quantity.parse(memory) < _SMALL_A100


def _image(spec: Mapping[str, Any], settings: BenchmarkPod) -> str:
    return str((spec.get("podOverride") or {}).get("image") or settings.image)


# -- the pod -------------------------------------------------------------------------------------


def _pod(
    given: BenchmarkInput, target: _Target, words: Sequence[str], places: Sequence[storage.Storage]
) -> Object:
    spec = given.job.get("spec") or {}
    override = spec.get("podOverride") or {}
    files = [{"key": name, "path": f"{PACKAGE}/{name}"} for name in sorted(given.program)]
    program = {"name": program_name(metadata(given.job)["name"]), "items": files}
    volumes: list[Object] = [{"name": PROGRAM_VOLUME, "configMap": program}]
    mounts: list[Object] = [{"name": PROGRAM_VOLUME, "mountPath": PROGRAM, "readOnly": True}]
    if target.files is not None:
        volumes.append(target.files.volume)
        mounts.append(target.files.mount)
    for place in places:
        volumes += place.volumes
        mounts += place.mounts
    container: Object = {
        "name": CONTAINER,
        "image": _image(spec, given.settings),
        "command": [*(given.settings.command or ("python3",)), "-m", PACKAGE],
        "args": list(words),
        "env": _env(given, target, places, override),
        "volumeMounts": _by("mountPath", mounts, override.get("volumeMounts")),
        "resources": _resources(given.settings.requirements(), override.get("resources")),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    sources = [s for place in places for s in place.env_from]
    sources += override.get("envFrom") or []
    if sources:
        container["envFrom"] = sources
    tolerations = [_GPU_TOLERATION, *(override.get("tolerations") or ())]
    pod: Object = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": _by("name", volumes, override.get("volumes")),
        "tolerations": [t for i, t in enumerate(tolerations) if t not in tolerations[:i]],
    }
    before = [container for place in places for container in place.before]
    if before:
        pod["initContainers"] = before
    selector = {**_where_files_are(target), **(override.get("nodeSelector") or {})}
    if selector:
        pod["nodeSelector"] = selector
    if override.get("affinity"):
        pod["affinity"] = override["affinity"]
    return pod


def _where_files_are(target: _Target) -> dict[str, str]:
    label = target.files.node_label if target.files is not None else ""
    return {label: c.NODE_MODEL_READY} if label else {}


def _env(
    given: BenchmarkInput,
    target: _Target,
    places: Sequence[storage.Storage],
    override: Mapping[str, Any],
) -> list[Object]:
    spec = given.job.get("spec") or {}
    env: list[Object] = [
        {"name": "ENABLE_UI", "value": "false"},
        {"name": "PYTHONPATH", "value": PROGRAM},
        {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
    ]
    if given.settings.python:
        env.append({"name": "OME_BENCHMARK_PYTHON", "value": given.settings.python})
    reference = spec.get("huggingFaceSecretReference") or {}
    if reference.get("name"):
        source = {"secretKeyRef": {"name": reference["name"], "key": HF_KEY}}
        env += [{"name": name, "valueFrom": source} for name in (HF_KEY, "HF_TOKEN")]
    env += target.env
    for place in places:
        env += place.env
    return _by("name", env, override.get("env"))


def _by(key: str, ours: Sequence[Object], theirs: Sequence[Object] | None) -> list[Object]:
    """Both lists; where they name the same thing, theirs."""
    merged = {entry[key]: entry for entry in ours}
    merged |= {entry[key]: entry for entry in theirs or ()}
    return list(merged.values())


def _resources(ours: Object, theirs: Mapping[str, Any] | None) -> Object:
    given = theirs or {}
    sides = ("requests", "limits")
    merged = {side: {**ours.get(side, {}), **(given.get(side) or {})} for side in sides}
    rest = {key: value for key, value in given.items() if key not in merged}
    return {**{side: value for side, value in merged.items() if value}, **rest}
