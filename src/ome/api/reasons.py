"""Why things are as they are: the closed list of reasons.

Every ``reason`` that OME writes into a condition, and every code by which selection and rendering
refuse something, is in :data:`REASONS`, with what it means, a template of its message and what a
person can do. Code that knows more than the template (the nearest runtime, the last line of a log)
writes the better sentence; the list is what documentation, ``ome explain`` and alerts rely on, and
a test holds the code to it.

Some reasons are Kubernetes' own and handed through as they come (:data:`KUBERNETES`).
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Outlook(StrEnum):
    """What becomes of it when nobody does anything."""

    FINE = "Fine"
    PASSES = "Passes"
    STUCK = "Stuck"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. ``template`` has named fields in braces; ``remedy`` is empty where nothing is to
    be done."""

    code: str
    outlook: Outlook
    meaning: str
    template: str
    remedy: str = ""

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of the facts that the template needs."""
        return tuple(name for _, name, _, _ in string.Formatter().parse(self.template) if name)

    def message(self, **facts: object) -> str:
        """The sentence, remedy included. Raises KeyError where a fact is missing."""
        text = self.template.format(**facts)
        return f"{text}. What to do: {self.remedy}" if self.remedy else text


_FINE, _PASSES, _STUCK = Outlook.FINE, Outlook.PASSES, Outlook.STUCK

_SERVICE: Final = (
    Reason("Serving", _FINE, "the service answers", "{available} of {wanted} replicas answer"),
    Reason("Selected", _FINE, "a runtime was found", "runtime {runtime} serves model {model}"),
    Reason("NotNeeded", _FINE, "no runtime is needed", "the service brings its own runner"),
    Reason("Rendered", _FINE, "all objects could be made", "all objects could be made"),
    Reason("NotReady", _PASSES, "something the service needs is not ready", "waiting for {what}"),
    Reason(
        "NotSupportedYet",
        _STUCK,
        "this version of OME can't do it",
        "{what} can't be done yet",
        "leave it out, or use a version that can",
    ),
    Reason(
        "InvalidSpec",
        _STUCK,
        "service, runtime and model don't go together",
        "{field}: {problem}",
        "correct the field",
    ),
    Reason(
        "InvalidTemplate",
        _STUCK,
        "a template can't be filled in",
        "{field}: {problem}",
        "correct the template",
    ),
    Reason(
        "NoEngine",
        _STUCK,
        "the service has no engine",
        "the service declares no engine",
        "add spec.engine; an empty object takes all from the runtime",
    ),
    Reason(
        "NoContainer",
        _STUCK,
        "there is nothing to run",
        "neither service nor runtime say what the {component} runs",
        "add a runner with an image to the service or the runtime",
    ),
    Reason(
        "NoImage",
        _STUCK,
        "a container has no image",
        "the {component}'s container has no image",
        "set runner.image in the service or the runtime",
    ),
    Reason(
        "BadMerge",
        _STUCK,
        "the service's part can't be laid over the runtime's",
        "service and runtime can't be merged: {problem}",
        "correct the field that the message names, in the service or the runtime",
    ),
    Reason(
        "InternalError",
        _PASSES,
        "OME stumbled over the service; what was applied before keeps running",
        "OME can't work on this service: {problem}",
        "look for what is unusual in the service, its runtime or its model, and report it",
    ),
    Reason(
        "NameTaken",
        _STUCK,
        "an object of somebody else has the name of a child",
        "{kind} {name} exists and belongs to {owner}",
        "rename the service, or remove that object",
    ),
    Reason(
        "Refused",
        _STUCK,
        "the API server refused an object",
        "{kind} {name} was refused: {problem}",
        "correct the service or the runtime",
    ),
)

_MODEL: Final = (
    Reason(
        "BaseModelNotFound",
        _STUCK,
        "there is no such model",
        "there is no model {model}",
        "create the model, or correct spec.model.name",
    ),
    Reason(
        "BaseModelDisabled",
        _STUCK,
        "the model is disabled",
        "{kind} {model} is disabled",
        "set spec.disabled: false in the model, or name another one",
    ),
    Reason(
        "ModelMissing",
        _STUCK,
        "the service names neither model nor runtime",
        "the service names no model, so no runtime can be selected for it",
        "set spec.model.name, or spec.runtime.name, or give a complete spec.engine.runner",
    ),
    Reason(
        "ModelNotReady",
        _PASSES,
        "no node has the model yet",
        "model {model} is on no node yet",
        "see the status of the model",
    ),
    Reason(
        "ModelDownloading",
        _PASSES,
        "the model is on its way",
        "model {model} is being fetched: {progress}",
    ),
    Reason(
        "ModelFailed",
        _STUCK,
        "the model could not be fetched",
        "model {model} could not be fetched on {node}: {problem}",
        "see the status of the model",
    ),
    Reason(
        "ModelFormatUnknown",
        _PASSES,
        "the model's format is not known yet",
        "the format of {model} is not known",
        "wait until a node has read its files, or set spec.modelFormat of the model",
    ),
    Reason(
        "ModelNotReachable",
        _STUCK,
        "the engine can't get at the model's files",
        "the files of {model} can't be mounted: {problem}",
        "correct spec.storage of the model",
    ),
    Reason("OnNode", _FINE, "a node has the model", "on {count} nodes"),
    Reason("InTransit", _PASSES, "files are being fetched", "{progress}"),
    Reason(
        "Failed",
        _STUCK,
        "every node that tried has failed",
        "{problem}",
        "correct the cause that the message names; nodes try again by themselves",
    ),
    Reason(
        "RemovingFiles",
        _PASSES,
        "the model is being deleted",
        "waiting for {nodes} to let go",
    ),
    Reason(
        "InUse",
        _PASSES,
        "services still use the model",
        "used by {services}",
        "delete these services, or give them another model",
    ),
)

_RUNTIME: Final = (
    Reason(
        "RuntimeNotFound",
        _STUCK,
        "there is no such runtime",
        "there is no runtime {runtime}",
        "create the runtime, or correct or leave out spec.runtime.name",
    ),
    Reason(
        "RuntimeDisabled",
        _STUCK,
        "the runtime is disabled",
        "{kind} {runtime} is disabled",
        "set spec.disabled: false in the runtime, or name another one",
    ),
    Reason(
        "RuntimeIncompatible",
        _STUCK,
        "the named runtime can't serve the model",
        "{runtime} does not support {model}: {problem}",
        "name another runtime, or leave spec.runtime out",
    ),
    Reason(
        "NoRuntimes",
        _STUCK,
        "no runtime is installed",
        "there are no runtimes",
        "install runtimes, or give a complete spec.engine.runner",
    ),
    Reason(
        "NoRuntimeFits",
        _STUCK,
        "no runtime can serve the model",
        "no runtime fits {model}; the nearest is {nearest}: {problem}",
        "change what the message names, or name a runtime in spec.runtime",
    ),
    Reason(
        "AcceleratorClassNotFound",
        _STUCK,
        "there is no such accelerator class",
        "there is no AcceleratorClass {accelerator}",
        "create it, or name another one",
    ),
    Reason(
        "NoAcceleratorFits",
        _STUCK,
        "no accelerator class satisfies the constraints and holds the model",
        "no accelerator class fits: {problem}",
        "do what the message says of the nearest class, or relax the constraints that it names",
    ),
    # What speaks against one runtime: parts of the sentence above.
    Reason("NoFormats", _STUCK, "the runtime lists no formats", "it lists no formats"),
    Reason("ModelFormat", _STUCK, "another file format", "the format is {model}, not {runtime}"),
    Reason(
        "FormatVersion",
        _STUCK,
        "another version of the format",
        "the format is {model}, not {runtime}",
    ),
    Reason(
        "ModelFramework", _STUCK, "another framework", "the framework is {model}, not {runtime}"
    ),
    Reason(
        "FrameworkVersion",
        _STUCK,
        "another version of the framework",
        "the framework is {model}, not {runtime}",
    ),
    Reason(
        "Architecture", _STUCK, "another architecture", "the architecture is {model}, not {runtime}"
    ),
    Reason(
        "Quantization", _STUCK, "another quantization", "the quantization is {model}, not {runtime}"
    ),
    Reason(
        "DiffusionPipeline", _STUCK, "another diffusion pipeline", "the pipeline differs: {problem}"
    ),
    Reason("ModelSize", _STUCK, "outside of the runtime's size range", "{model} is not in {range}"),
    Reason("Protocol", _STUCK, "the runtime doesn't speak the protocol", "it speaks {protocols}"),
    Reason(
        "AcceleratorClass",
        _STUCK,
        "not made for the accelerator that is asked for",
        "it lists {listed}, not {asked}",
    ),
    Reason(
        "AutoSelect",
        _STUCK,
        "the runtime doesn't offer itself",
        "it has no autoSelect: true",
        "name it in spec.runtime.name, or set autoSelect: true in the runtime",
    ),
)

_COMPONENT: Final = (
    Reason(
        "Available", _FINE, "enough replicas are ready", "{available} of {wanted} are available"
    ),
    Reason(
        "RollingUpdate",
        _FINE,
        "a new version replaces the old one, which serves on",
        "{updated} of {wanted} replicas have the new version",
    ),
    Reason(
        "UpdateFailing",
        _PASSES,
        "a new version does not come up; the old one serves on",
        "{updated} of {wanted} replicas have the new version: {problem}",
        "correct what the message names, or take the change back",
    ),
    Reason(
        "AutoscalerFailing",
        _STUCK,
        "what scales a component can't do it; replicas stay as they are",
        "{scaler} can't scale the {component}: {problem}",
        "correct what the message names, or name another autoscaler",
    ),
    Reason("ScaledToZero", _FINE, "nothing runs until somebody asks for it", "scaled to zero"),
    Reason(
        "SwitchedOff",
        _STUCK,
        "nothing runs, and nothing will start it",
        "the {component} is at zero replicas, and nothing starts one",
        "set minReplicas of the component to 1 or more",
    ),
    Reason("Creating", _PASSES, "objects are being made", "the {component} is being created"),
    Reason("Starting", _PASSES, "pods are being made", "the {component} starts"),
    Reason("Initializing", _PASSES, "an init container runs", "init container {container} runs"),
    Reason(
        "EngineStarting",
        _PASSES,
        "the engine loads the model",
        "container {container} of pod {pod} is not ready yet",
    ),
    Reason(
        "Unschedulable",
        _PASSES,
        "no node can take the pod",
        "pod {pod} can't be placed since {since}: {problem}",
        "free or add what the message names, or ask for less",
    ),
    Reason(
        "ContainerRuntimeMissing",
        _STUCK,
        "this machine can't run images",
        "container {container} can't start here: {problem}",
        "install podman or docker, or use a runtime made for the host",
    ),
    Reason(
        "ContainerFailed",
        _PASSES,
        "a container ended and starts again",
        "container {container} exited with code {code}",
        "see the log of the pod",
    ),
    Reason(
        "PodFailed",
        _STUCK,
        "a pod failed for good",
        "pod {pod} failed: {problem}",
        "see the message and the events of the pod",
    ),
    Reason(
        "ReplicaFailure",
        _STUCK,
        "pods are refused",
        "pods can't be created: {problem}",
        "correct what the message names, for example a quota",
    ),
)

_CRASHES: Final = (
    Reason("GroupNotReady", _PASSES, "a group of pods is not complete yet", "{problem}"),
    Reason(
        "RayClusterFailed",
        _STUCK,
        "the Ray operator gave a cluster up",
        "{problem}",
        "see the status of the RayCluster; OME makes it anew when its spec changes",
    ),
    Reason(
        "NotReadyInTime",
        _STUCK,
        "a pod runs, and its readiness probe has not said yes for longer than the update may take",
        "container {container} of pod {pod} runs since {since} and is not ready yet",
        "see its log and its readiness probe, which may ask the wrong port or path",
    ),
    Reason(
        "NodeLost",
        _PASSES,
        "the node under a pod does not answer",
        "pod {pod} is on node {node}, which does not answer since {since}",
        "bring the node back, or delete the pod",
    ),
    Reason(
        "GpuOutOfMemory",
        _STUCK,
        "the GPU's memory is too small for what the engine was asked to hold",
        "container {container} ran out of GPU memory: {said}",
        "give it more or larger GPUs, a shorter context or smaller batches, or a smaller model",
    ),
    Reason(
        "OutOfMemory",
        _STUCK,
        "the engine needs more memory than it may have",
        "container {container} ran out of memory: {said}",
        "raise the memory in resources of the runner, or serve a smaller model",
    ),
    Reason(
        "PortInUse",
        _STUCK,
        "the engine's port is taken by something else",
        "container {container} can't listen: {said}",
        "change the port in the runner's arguments and ports, or take hostNetwork away",
    ),
    Reason(
        "NoAccess",
        _STUCK,
        "the model's source does not let the engine in",
        "container {container} may not read the model: {said}",
        "give it credentials that may, and accept the licence where the owner asks for it",
    ),
    Reason(
        "ArchitectureUnsupported",
        _STUCK,
        "the engine does not know the model's architecture",
        "container {container} can't load the model: {said}",
        "use a runtime (or a newer image of it) that supports it, or another model",
    ),
    Reason(
        "NoRights",
        _STUCK,
        "the service account may not read what the container needs",
        "container {container} was refused: {said}",
        "let OME make the account, or bind a Role to it that allows what the message names",
    ),
    Reason(
        "NoGpu",
        _STUCK,
        "the engine finds no GPU that it can use",
        "container {container} finds no GPU: {said}",
        "ask for GPUs in resources of the runner; check driver and CUDA version of the node",
    ),
    Reason(
        "ModelFilesMissing",
        _STUCK,
        "the engine does not find the model's files",
        "container {container} finds no model: {said}",
        "check the path in the runner's arguments against spec.storage.path of the model",
    ),
    Reason(
        "BadArguments",
        _STUCK,
        "the engine was started with arguments that it does not know",
        "container {container} does not understand its arguments: {said}",
        "correct args of the runner in the service or the runtime",
    ),
    Reason(
        "WrongArchitecture",
        _STUCK,
        "the program was built for another kind of processor",
        "container {container} can't be executed: {said}",
        "use an image for the nodes' architecture, or nodes for the image's",
    ),
)
"""Recognised in an engine's last words (``rendering/causes.py``), or seen on its node."""

_ADDRESS: Final = (
    Reason(
        "IngressDisabled",
        _FINE,
        "no ingress is made; the address is that of a Service",
        "Ingress creation is disabled, using external service for access",
    ),
    Reason("Answered", _FINE, "a real request got a real answer", "answered in {seconds} s"),
    Reason("NotAskedYet", _PASSES, "the service was not asked yet", "{problem}"),
    Reason(
        "NoAnswer",
        _PASSES,
        "the service was asked and did not answer",
        "{url} gave no answer: {problem}",
        "see the logs of the engine",
    ),
    Reason(
        "Waiting",
        _PASSES,
        "an update of something shared waits for its turn",
        "update pending: {what}",
    ),
)

_WEIGHTS: Final = (
    Reason(
        "FineTunedWeightsNotFound",
        _STUCK,
        "the fine-tuned weights that the service names do not exist",
        "there is no FineTunedWeight {name}",
        "create it, or correct spec.model.fineTunedWeights",
    ),
    Reason(
        "FineTunedWeightsDisabled",
        _STUCK,
        "the fine-tuned weights are disabled",
        "FineTunedWeight {name} is disabled",
        "set its spec.disabled to false, or name others",
    ),
    Reason(
        "WeightsOfAnotherModel",
        _STUCK,
        "the weights were made for another model",
        "FineTunedWeight {name} belongs to {other}, and the service serves {model}",
        "name weights of this model",
    ),
    Reason(
        "WeightsNotCombinable",
        _STUCK,
        "several weights of one service can't be served together",
        "{problem}",
        "name weights of one strategy, or one merged weight alone",
    ),
)

_SHAPE: Final = (
    Reason(
        "MissingKind",
        _STUCK,
        "the service needs a kind that this cluster does not have",
        "{what} needs {kind}, which is not installed",
        "install it, or choose another deployment mode",
    ),
    Reason(
        "InvalidConfig",
        _STUCK,
        "the configuration of OME does not allow what the service needs",
        "{setting}: {problem}",
        "correct the ConfigMap inferenceservice-config",
    ),
    Reason(
        "ModeChange",
        _PASSES,
        "the service changes its deployment mode",
        "{what} goes when what replaces it serves",
    ),
)

_BENCHMARK: Final = (
    Reason(
        "ServiceNotFound",
        _PASSES,
        "the service that is to be measured does not exist",
        "waiting for InferenceService {service}, which does not exist",
        "create it, or correct spec.endpoint.inferenceService",
    ),
    Reason("Suspended", _PASSES, "the benchmark is held", "it is suspended"),
    Reason(
        "GenaiBenchMissing",
        _STUCK,
        "genai-bench is not installed where the benchmark runs",
        "{problem}",
        "on one machine: ome bench install, then create the benchmark again; on a cluster: name "
        "an image that has genai-bench",
    ),
    Reason(
        "GenaiBenchFailed",
        _STUCK,
        "genai-bench ended with an error of its own",
        "{problem}",
        "see the log of the pod",
    ),
    Reason(
        "OptionsRefused",
        _STUCK,
        "genai-bench refused an option",
        "genai-bench refuses its options: {problem}",
        "correct the field that the message speaks of, and create the benchmark again",
    ),
    Reason(
        "EndpointUnreachable",
        _STUCK,
        "nobody answers at the endpoint",
        "{problem}",
        "see that the server runs and that pods can reach it, and create the benchmark again",
    ),
    Reason(
        "EndpointLost",
        _STUCK,
        "the endpoint went away while it was measured",
        "{problem}",
        "see why the server ended, and create the benchmark again; what was measured is kept",
    ),
    Reason(
        "KeyRefused",
        _STUCK,
        "the endpoint refuses the key, or wants one",
        "{problem}",
        "give the key in podOverride.env as OPENAI_API_KEY with valueFrom.secretKeyRef, and "
        "create the benchmark again",
    ),
    Reason(
        "ModelUnknown",
        _STUCK,
        "the endpoint does not serve a model of that name",
        "{problem}",
        "correct spec.endpoint.endpoint.modelName, or leave it out, and create the benchmark again",
    ),
    Reason(
        "RequestRefused",
        _STUCK,
        "the endpoint refuses requests of this kind",
        "{problem}",
        "take another task, or other additionalRequestParams",
    ),
    Reason(
        "RequestsFailed",
        _STUCK,
        "most requests of the benchmark failed",
        "{problem}",
        "see the log of the server",
    ),
    Reason(
        "OutputUnwritable",
        _STUCK,
        "results can't be stored where they should go",
        "{problem}",
        "correct spec.outputLocation or the rights there, and create the benchmark again",
    ),
    Reason(
        "DatasetUnusable",
        _STUCK,
        "the dataset can't be read",
        "the dataset can't be used: {problem}",
        "correct spec.dataset or the file, and create the benchmark again",
    ),
    Reason(
        "TokenizerUnusable",
        _STUCK,
        "the tokenizer can't be loaded",
        "{problem}",
        "name another one in podOverride.env as MODEL_TOKENIZER",
    ),
    Reason(
        "Stopped",
        _STUCK,
        "the benchmark was stopped",
        "{problem}",
        "create the benchmark again",
    ),
    Reason(
        "JobFailed",
        _STUCK,
        "the Job of the benchmark failed",
        "{problem}",
        "see the events and the log of the pod, and create the benchmark again",
    ),
    Reason(
        "JobGone",
        _STUCK,
        "the Job of the benchmark was deleted while it ran",
        "Job {job} was deleted while it ran",
        "create the benchmark again",
    ),
)

_GROUPS: Final = (
    _SERVICE,
    _MODEL,
    _RUNTIME,
    _COMPONENT,
    _CRASHES,
    _ADDRESS,
    _WEIGHTS,
    _SHAPE,
    _BENCHMARK,
)

REASONS: Final[Mapping[str, Reason]] = MappingProxyType(
    {r.code: r for group in _GROUPS for r in group}
)

PROGRESS: Final = frozenset(
    {
        "Creating",
        "EngineStarting",
        "InTransit",
        "Initializing",
        "ModelDownloading",
        "ModelNotReady",
        "NotAskedYet",
        "NotReady",
        "Starting",
        "Waiting",
    }
)
"""Stages of a service that is on its way: nothing is wrong, so they are no warnings."""

KUBERNETES: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "Evicted",
        "FailedCreate",
        "ImagePullBackOff",
        "InvalidImageName",
        "OOMKilled",
        "RunContainerError",
        "SchedulingGated",
    }
)
"""Reasons of Kubernetes that are handed through as they come."""


def reason(code: str) -> Reason | None:
    """The reason of that code; None for one that is not OME's own."""
    return REASONS.get(code)


def remedy(code: str) -> str:
    """What a person can do about it; empty where nothing is to be done or nothing is known."""
    found = REASONS.get(code)
    return found.remedy if found else ""
