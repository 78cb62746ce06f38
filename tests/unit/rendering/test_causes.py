from __future__ import annotations

import pytest

from ome.api.reasons import REASONS
from ome.rendering.causes import CODES, recognise

SAID = {
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB.": "GpuOutOfMemory",
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 14067.33 MiB on device 0: cudaMalloc "
    "failed: out of memory": "GpuOutOfMemory",
    "ValueError: No available memory for the cache blocks. Try increasing "
    "`gpu_memory_utilization` when initializing the engine.": "GpuOutOfMemory",
    "ValueError: The model's max seq len (131072) is larger than the maximum number of tokens that "
    "can be stored in KV cache (9408).": "GpuOutOfMemory",
    "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.":
        "GpuOutOfMemory",
    "terminate called after throwing an instance of 'std::bad_alloc'": "OutOfMemory",
    "mmap failed: Cannot allocate memory": "OutOfMemory",
    "OSError: [Errno 98] Address already in use": "PortInUse",
    "couldn't bind HTTP server socket, hostname: 0.0.0.0, port: 8080": "PortInUse",
    "huggingface_hub.errors.GatedRepoError: 401 Client Error.": "NoAccess",
    "Access to model meta-llama/Llama-3.1-8B is restricted. You must have access to it": "NoAccess",
    "ValueError: Model architectures ['NovelForCausalLM'] are not supported for now.":
        "ArchitectureUnsupported",
    "error loading model architecture: unknown model architecture: 'novel'":
        "ArchitectureUnsupported",
    "but Transformers does not recognize this architecture.": "ArchitectureUnsupported",
    'pods is forbidden: User "system:serviceaccount:demo:chat-router" cannot list resource "pods" '
    'in API group "" in the namespace "demo"': "NoRights",
    "RuntimeError: No CUDA GPUs are available": "NoGpu",
    "RuntimeError: Failed to infer device type": "NoGpu",
    "OSError: /raid/models/x does not appear to have a file named config.json": "ModelFilesMissing",
    "gguf_init_from_file: failed to open GGUF file 'x.gguf'": "ModelFilesMissing",
    "api_server.py: error: unrecognized arguments: --modle x": "BadArguments",
    "exec /usr/bin/python3: exec format error": "WrongArchitecture",
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_an_engines_own_words_name_the_cause(said: str) -> None:
    found = recognise(f"INFO something before\n{said}\n")
    assert found is not None
    assert found.code == SAID[said]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "RuntimeError: the engine gave up on purpose",
        "Segmentation fault",
        "INFO: memory profiling took 3.1 s; model weights take 14.2 GiB",
        "INFO: loading model from /raid/models/x, listening on port 8080",
    ],
)
def test_other_words_are_only_words(said: str) -> None:
    assert recognise(said) is None


def test_every_cause_is_a_reason_of_the_list_and_has_its_proof() -> None:
    assert set(CODES) <= set(REASONS)
    assert set(CODES) == set(SAID.values())
