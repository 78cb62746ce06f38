"""The twenty failures, one by one: what is wrong, what OME has to say about it, and the cure.

Each :class:`Failure` is data over a namespace of its own. ``model`` and ``rt`` are a model on three
nodes and a runtime that serve well; a failure spoils one thing, and its cure repairs just that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.fakes import objects

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource


class Site(Protocol):
    """Where a failure is played: the steps that some of them need."""

    async def apply(self, *objects: Object) -> None: ...
    async def patch(self, resource: Resource, name: str, patch: Object) -> None: ...
    async def report(self, kind: str, name: str, state: str, message: str = "") -> None: ...
    async def remove_definition(self, name: str) -> None: ...
    async def restore_definition(self, name: str) -> None: ...
    async def deny_deployments(self, why: str) -> None: ...
    async def allow_deployments(self) -> None: ...
    async def pass_deadline(self, deployment: str) -> None: ...
    async def lose_node_of_pod(self) -> None: ...
    async def delete_pods(self) -> None: ...


BEHAVIOUR, LAST_WORDS = "bed.ome.io/behaviour", "bed.ome.io/last-words"
Patches = tuple[tuple[Resource, str, Object], ...]
Step = Callable[["Site"], Awaitable[None]]


@dataclass(frozen=True)
class Failure:
    """``words`` all stand in the sentence, the remedy among them. ``before`` and ``cure`` are steps
    that need more than applying or patching objects."""

    reason: str
    words: tuple[str, ...]
    engine: Object = field(default_factory=dict)
    spec: Object = field(default_factory=dict)
    objects: tuple[Object, ...] = ()
    patches: Patches = ()
    """What cures it: merge patches."""
    before: Step | None = None
    after: Step | None = None
    """Done once the service was applied."""
    cure: Step | None = None
    transition: str = "InvalidSpec"
    """``modelStatus.transitionStatus``."""
    failure: str = ""
    """``modelStatus.lastFailureInfo.reason``."""


def _of(resource: Resource, name: str, **spec: Any) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def runtime(name: str, **entry: Any) -> Object:
    """One of the namespace."""
    return {**objects.runtime(name, **entry), "kind": "ServingRuntime"}


def base_model(name: str, **spec: Any) -> Object:
    return {**objects.model(name, **spec), "kind": "BaseModel"}


def behaving(how: str, words: str = "") -> Object:
    annotations = {BEHAVIOUR: how, **({LAST_WORDS: words} if words else {})}
    return {"annotations": annotations}


_CURED: Object = {"annotations": None}


def _service(**spec: Any) -> Patches:
    return ((o.INFERENCE_SERVICES, "chat", {"spec": spec}),)


def _format(name: str) -> Object:
    return {"name": name, "version": "1.0.0"}


def _only(name: str, **spec: Any) -> Object:
    """A runtime for a format that nothing else in the cluster reads."""
    made = runtime(f"only-{name}", modelFormat=_format(name))
    made["spec"].update(spec)
    return made


_AUTO: Object = {"runtime": None}
"""The service names no runtime."""


async def _report_gated(site: Site) -> None:
    text = (
        "example/tiny is gated and no token was given, and it has not been granted access; "
        "accept the conditions at https://hub.example/example/tiny, then name a Secret with a "
        "token of that account in spec.storage.key (or set HF_TOKEN)"
    )
    await site.report("BaseModel", "gated", "Failed", text)


async def _report_fetched(site: Site) -> None:
    await site.report("BaseModel", "gated", "Ready")


async def _novel_is_there(site: Site) -> None:
    await site.report("BaseModel", "novel", "Ready")


async def _large_is_there(site: Site) -> None:
    await site.report("BaseModel", "large", "Ready")


async def _late_model(site: Site) -> None:
    await site.apply(base_model("late"))
    await site.report("BaseModel", "late", "Ready")


async def _ten_minutes_later(site: Site) -> None:
    await site.pass_deadline("chat-engine")


async def _take_ray_away(site: Site) -> None:
    await site.remove_definition("rayclusters.ray.io")


async def _deny(site: Site) -> None:
    await site.deny_deployments("engines need a cost centre")


async def _allow(site: Site) -> None:
    await site.allow_deployments()


async def _lose_node(site: Site) -> None:
    await site.lose_node_of_pod()


async def _delete_pod(site: Site) -> None:
    await site.delete_pods()


_ROUTER_WORDS = (
    'Error from server: pods is forbidden: User "system:serviceaccount:x:y" cannot list resource '
    '"pods" in API group "" in the namespace "x"'
)
_CLASSES = ("failing-small", "failing-large")


def _accelerator(name: str, memory: str) -> Object:
    return {
        "apiVersion": o.ACCELERATOR_CLASSES.api_version,
        "kind": "AcceleratorClass",
        "metadata": {"name": name},
        "spec": {
            "vendor": "nvidia",
            "family": "test",
            "discovery": {"nodeSelector": {"kubernetes.io/os": "linux"}},
            "capabilities": {"memoryGB": memory},
        },
    }


def _choosy_runtime() -> Object:
    made = runtime("choosy", autoSelect=False)
    made["spec"]["acceleratorRequirements"] = {"acceleratorClasses": list(_CLASSES)}
    return made


def _volume_runtime() -> Object:
    made = runtime("with-volume", autoSelect=False)
    made["spec"]["engineConfig"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    return made


def _disabled_runtime() -> Object:
    made = runtime("off")
    made["spec"]["disabled"] = True
    return made


def _router_runtime() -> Object:
    made = runtime("routed", autoSelect=False)
    made["spec"]["routerConfig"] = {
        "runner": {"name": "router", "image": "router:1", "ports": [{"containerPort": 8080}]}
    }
    return made


def _runner(**fields: Any) -> Object:
    return {"runner": {"name": "ome-container", **fields}}


_NINE = {"requests": {"nvidia.com/gpu": "9"}, "limits": {"nvidia.com/gpu": "9"}}
_TAKEN = [{"containerPort": 8080, "hostPort": 18080, "protocol": "TCP"}]
_ON_ONE = {"nodeSelector": {"kubernetes.io/hostname": "node-0"}, "minReplicas": 2}

FAILURES: dict[str, Failure] = {
    "no such model": Failure(
        "BaseModelNotFound",
        ("waits for model late", "What to do: create the model"),
        spec={"model": {"name": "late", "kind": "BaseModel"}},
        cure=_late_model,
        failure="BaseModelNotFound",
    ),
    "gated repository": Failure(
        "ModelFailed",
        ("model gated", "is gated", "accept the conditions at https://hub.example", "What to do: "),
        spec={"model": {"name": "gated", "kind": "BaseModel"}},
        objects=(base_model("gated"),),
        before=_report_gated,
        cure=_report_fetched,
        transition="BlockedByFailedLoad",
        failure="BaseModelNotReady",
    ),
    "unknown architecture": Failure(
        "NoRuntimeFits",
        ("NovelForCausalLM", "LlamaForCausalLM", "What to do: "),
        spec={"model": {"name": "novel", "kind": "BaseModel"}, **_AUTO},
        objects=(
            base_model("novel", modelFormat=_format("new"), modelArchitecture="NovelForCausalLM"),
            _only("new"),
        ),
        before=_novel_is_there,
        patches=((o.BASE_MODELS, "novel", {"spec": {"modelArchitecture": "LlamaForCausalLM"}}),),
        failure="NoSupportingRuntime",
    ),
    "no runtime fits": Failure(
        "NoRuntimeFits",
        ("405B", "only-big", "What to do: "),
        spec={"model": {"name": "large", "kind": "BaseModel"}, **_AUTO},
        objects=(
            base_model("large", modelFormat=_format("big"), modelParameterSize="405B"),
            _only("big", modelSizeRange={"min": "1B", "max": "70B"}),
        ),
        before=_large_is_there,
        patches=((o.SERVING_RUNTIMES, "only-big", {"spec": {"modelSizeRange": {"max": "500B"}}}),),
        failure="NoSupportingRuntime",
    ),
    "runtime disabled": Failure(
        "RuntimeDisabled",
        ("off", "disabled", "What to do: "),
        spec={"runtime": {"name": "off", "kind": "ServingRuntime"}},
        objects=(_disabled_runtime(),),
        patches=((o.SERVING_RUNTIMES, "off", {"spec": {"disabled": False}}),),
        failure="RuntimeDisabled",
    ),
    "no accelerator fits": Failure(
        "NoAcceleratorFits",
        ("failing-small", "40", "What to do: failing-small would fit with minMemory: 40"),
        spec={
            "runtime": {"name": "choosy", "kind": "ServingRuntime"},
            "acceleratorSelector": {"policy": "BestFit", "constraints": {"minMemory": 80}},
        },
        objects=(_choosy_runtime(), _accelerator("failing-small", "40")),
        patches=(
            (
                o.ACCELERATOR_CLASSES,
                "failing-small",
                {"spec": {"capabilities": {"memoryGB": "96"}}},
            ),
        ),
        failure="InvalidPredictorSpec",
    ),
    "GPU short": Failure(
        "Unschedulable",
        ("can't be placed", "Insufficient nvidia.com/gpu", "What to do: ask for fewer GPUs"),
        engine=_runner(resources=_NINE),
        patches=_service(engine={"runner": {"resources": None}}),
        transition="InProgress",
    ),
    "image missing": Failure(
        "ImagePullBackOff",
        ("can't be pulled", "engine:1: not found", "What to do: check runner.image"),
        engine=behaving("image-pull-failure"),
        patches=_service(engine=_CURED),
        transition="InProgress",
    ),
    "crash loop": Failure(
        "CrashLoopBackOff",
        ("exited with code 1", "gave up on purpose", "What to do: correct what its log says"),
        engine=behaving("crash-loop"),
        patches=_service(engine=_CURED),
        transition="BlockedByFailedLoad",
        failure="ModelLoadFailed",
    ),
    "out of memory": Failure(
        "OOMKilled",
        ("exited with code 137", "more memory than its limit", "What to do: raise the memory"),
        engine=behaving("out-of-memory"),
        patches=_service(engine=_CURED),
        transition="BlockedByFailedLoad",
        failure="ModelLoadFailed",
    ),
    "out of GPU memory": Failure(
        "GpuOutOfMemory",
        ("CUDA out of memory", "GPU's memory is too small", "What to do: give it more"),
        engine=behaving("crash-loop", "torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB"),
        patches=_service(engine=_CURED),
        transition="BlockedByFailedLoad",
        failure="ModelLoadFailed",
    ),
    "probe never ready": Failure(
        "NotReadyInTime",
        ("is not ready", "longer than", "What to do: see its log and its readiness probe"),
        engine=behaving("never-ready"),
        after=_ten_minutes_later,
        patches=_service(engine=_CURED),
        transition="InProgress",
    ),
    "bad merge": Failure(
        "Refused",
        ("may not specify more than 1 volume type", "What to do: correct what the message names"),
        engine={"volumes": [{"name": "data", "hostPath": {"path": "/data"}}]},
        spec={"runtime": {"name": "with-volume", "kind": "ServingRuntime"}},
        objects=(_volume_runtime(),),
        patches=_service(engine={"volumes": None}),
        failure="InvalidPredictorSpec",
    ),
    "bad template": Failure(
        "InvalidTemplate",
        ("there is no .Nope; known are", "What to do: correct the template"),
        engine=_runner(args=["--name={{ .Nope }}"]),
        patches=_service(engine={"runner": {"args": ["--name={{ .Name }}"]}}),
        failure="InvalidPredictorSpec",
    ),
    "missing CRD": Failure(
        "MissingKind",
        ("RayCluster", "KubeRay", "What to do: install"),
        engine={"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}},
        before=_take_ray_away,
        patches=_service(engine=_CURED),
        failure="InvalidPredictorSpec",
    ),
    "quota exceeded": Failure(
        "FailedCreate",
        ("exceeded quota: few", "What to do: raise the quota"),
        objects=(_of(r.RESOURCE_QUOTAS, "few", hard={"pods": "0"}),),
        patches=((r.RESOURCE_QUOTAS, "few", {"spec": {"hard": {"pods": "9"}}}),),
        transition="InProgress",
    ),
    "webhook denies a child": Failure(
        "Refused",
        ("engines need a cost centre", "What to do: change what its message names"),
        before=_deny,
        cure=_allow,
        failure="InvalidPredictorSpec",
    ),
    "node lost": Failure(
        "NodeLost",
        ("which does not answer since", "What to do: bring the node back, or delete the pod"),
        after=_lose_node,
        cure=_delete_pod,
        transition="InProgress",
    ),
    "weights of another base model": Failure(
        "WeightsOfAnotherModel",
        ("style", "it was made for model other", "What to do: name the model that it was made for"),
        spec={"model": {"name": "failing-tiny", "fineTunedWeights": ["style"]}},
        objects=(
            _of(
                o.FINE_TUNED_WEIGHTS,
                "style",
                baseModelRef={"name": "other"},
                modelType="LoRA",
                hyperParameters={"strategy": "lora"},
                storage={"storageUri": "pvc://styles/style", "path": "/mnt/style"},
            ),
        ),
        patches=_service(model={"fineTunedWeights": None}),
        failure="FineTuneWeightLoadFailed",
    ),
    "router without RBAC": Failure(
        "NoRights",
        ("cannot list resource", "What to do: let OME make the account"),
        spec={
            "runtime": {"name": "routed", "kind": "ServingRuntime"},
            "router": behaving("crash-loop", _ROUTER_WORDS),
        },
        objects=(_router_runtime(),),
        patches=_service(router=_CURED),
        transition="UpToDate",
    ),
    "port clash": Failure(
        "Unschedulable",
        ("didn't have free ports", "What to do: let the pods use other ports"),
        engine={**_ON_ONE, **_runner(ports=_TAKEN)},
        patches=_service(engine={"runner": {"ports": [{"containerPort": 8080}]}}),
        transition="InProgress",
    ),
    "port taken inside the pod": Failure(
        "PortInUse",
        ("Address already in use", "What to do: let only one process of the pod listen"),
        engine=behaving("crash-loop", "OSError: [Errno 98] Address already in use"),
        patches=_service(engine=_CURED),
        transition="BlockedByFailedLoad",
        failure="ModelLoadFailed",
    ),
}
"""The twenty of the issue, and two more causes that an engine tells."""


def service(case: Failure) -> Object:
    spec: Object = {"runtime": {"name": "rt", "kind": "ServingRuntime"}, **case.spec}
    if spec.get("runtime") is None:
        del spec["runtime"]
    made = objects.service()
    made["spec"] = {"model": {"name": "failing-tiny"}, "engine": case.engine, **spec}
    return made
