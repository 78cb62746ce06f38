"""What a newcomer reads first about a kind: a few sentences and a small manifest."""

from __future__ import annotations

from typing import Final, NamedTuple


class Intro(NamedTuple):
    text: str
    example: str
    after: str = ""


INTROS: Final[dict[str, Intro]] = {
    "InferenceService": Intro(
        """An InferenceService is what you write to have a model served. It names a model and says
which components run; OME finds a runtime that fits, waits until the model's files are on a node,
starts the engine and gives the service an address. Most fields are there to deviate from what the
runtime says: whatever you leave out comes from the runtime.""",
        """apiVersion: ome.io/v1beta1
kind: InferenceService
metadata:
  name: chat
  namespace: default
spec:
  model:
    name: qwen3-0-6b
  engine: {}
""",
        """`engine: {}` is enough: image, arguments and resources come from the runtime. A *decoder*
beside the engine splits prefill from decode, a *router* spreads requests over both. The condition
`Ready` sums up what is going on; see [conditions and reasons](conditions.md).""",
    ),
    "ServingRuntime": Intro(
        """A ServingRuntime says how one sort of model is served: which formats and architectures it
takes, and which containers run. It serves services of its own namespace; a
[ClusterServingRuntime](clusterservingruntime.md) is the same for all namespaces. A service picks
the runtime that fits its model best, or names one.""",
        """apiVersion: ome.io/v1beta1
kind: ServingRuntime
metadata:
  name: llama-on-vllm
  namespace: default
spec:
  supportedModelFormats:
    - modelFormat:
        name: safetensors
        version: 1.0.0
      modelFramework:
        name: transformers
        version: 4.43.0
        operator: GreaterThanOrEqual
      modelArchitecture: LlamaForCausalLM
      autoSelect: true
  engineConfig:
    runner:
      name: ome-container
      image: docker.io/vllm/vllm-openai:v0.9.2
      args: ["--model=$(MODEL_PATH)", "--port=8080"]
      ports:
        - containerPort: 8080
""",
        """Without `autoSelect: true` the runtime serves only services that name it.
`ome explain` shows for a service how each runtime was judged.""",
    ),
    "ClusterServingRuntime": Intro(
        """A ClusterServingRuntime is a [ServingRuntime](servingruntime.md) for services of all
namespaces. Where both fit a model, the runtime of the service's own namespace goes first.""",
        """apiVersion: ome.io/v1beta1
kind: ClusterServingRuntime
metadata:
  name: gguf-on-llama-cpp
spec:
  supportedModelFormats:
    - modelFormat:
        name: gguf
      modelFramework:
        name: transformers
      autoSelect: true
  engineConfig:
    runner:
      name: ome-container
      image: ghcr.io/ggml-org/llama.cpp:server-b5800
      args: ["--model", "$(MODEL_PATH)", "--port", "8080"]
""",
    ),
    "BaseModel": Intro(
        """A BaseModel is a model: where its files come from, and what they are. Nodes fetch the
files, verify them and read what is in them; what you leave out of the spec is filled in from the
files. A BaseModel serves its own namespace; a [ClusterBaseModel](clusterbasemodel.md) all of
them.""",
        """apiVersion: ome.io/v1beta1
kind: BaseModel
metadata:
  name: qwen3-0-6b
  namespace: default
spec:
  storage:
    storageUri: hf://Qwen/Qwen3-0.6B
""",
        """A model is used by naming it in `spec.model` of an
[InferenceService](inferenceservice.md). While a service uses it, it can't be deleted.""",
    ),
    "ClusterBaseModel": Intro(
        """A ClusterBaseModel is a [BaseModel](basemodel.md) for services of all namespaces.""",
        """apiVersion: ome.io/v1beta1
kind: ClusterBaseModel
metadata:
  name: qwen3-0-6b
spec:
  storage:
    storageUri: hf://Qwen/Qwen3-0.6B
    path: /raid/models/qwen/qwen3-0-6b
""",
    ),
    "FineTunedWeight": Intro(
        """A FineTunedWeight is what training has added to a base model: an adapter beside it
(LoRA, T-Few), or merged weights that replace it. A service names it in
`spec.model.fineTunedWeights`. Unlike what its references suggest it is cluster-scoped.""",
        """apiVersion: ome.io/v1beta1
kind: FineTunedWeight
metadata:
  name: support-lora
spec:
  baseModelRef:
    name: llama-3-1-8b-instruct
  modelType: LoRA
  hyperParameters:
    strategy: lora
  storage:
    storageUri: pvc://weights/support-lora
""",
    ),
    "BenchmarkJob": Intro(
        """A BenchmarkJob measures a service, or any server that speaks a known API, with
genai-bench: every combination of traffic scenario and concurrency is one run, and the results go
to a storage of your choice.""",
        """apiVersion: ome.io/v1beta1
kind: BenchmarkJob
metadata:
  name: chat-at-four
  namespace: default
spec:
  endpoint:
    inferenceService:
      name: chat
      namespace: default
  task: text-to-text
  trafficScenarios: ["D(100,100)"]
  numConcurrency: [1, 4]
  maxTimePerIteration: 5
  maxRequestsPerIteration: 100
  outputLocation:
    storageUri: pvc://results/chat
""",
    ),
    "AcceleratorClass": Intro(
        """An AcceleratorClass describes one type of accelerator: how its nodes are recognised, what
it can do, what it costs and which resource pods request to get it. Runtimes list the classes that
they work on, and services choose among those by name or by policy.""",
        """apiVersion: ome.io/v1beta1
kind: AcceleratorClass
metadata:
  name: nvidia-h100-80gb
spec:
  vendor: nvidia
  family: hopper
  discovery:
    nodeSelector:
      nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3
  capabilities:
    memoryGB: 80Gi
    computeCapability: "9.0"
    features: [nvlink, fp8]
  resources:
    - name: nvidia.com/gpu
""",
    ),
}
