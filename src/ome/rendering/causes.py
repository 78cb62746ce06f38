"""What an engine's last words mean: the few causes behind most crashes, with what to do.

Engines say why they end in their own languages. :func:`recognise` knows the phrases of vLLM,
SGLang, llama.cpp, PyTorch, the hub's client and Kubernetes' client, and gives each cause one code
(of ``api/reasons.py``), one plain sentence and one remedy. The words themselves are always shown
beside it; a cause that nobody knows stays just these words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Cause:
    """``meaning`` continues "the engine ended: ..."."""

    code: str
    meaning: str
    remedy: str


def _cause(code: str, meaning: str, remedy: str, *phrases: str) -> tuple[Cause, re.Pattern[str]]:
    return Cause(code, meaning, remedy), re.compile("|".join(phrases), re.IGNORECASE)


MEMORY_REMEDY: Final = "raise the memory in resources of the runner, or serve a smaller model"

_KNOWN: Final = (
    _cause(
        "GpuOutOfMemory",
        "the GPU's memory is too small for what it was asked to hold",
        "give it more or larger GPUs, a shorter context or smaller batches (arguments of the "
        "runner), or a smaller or quantized model",
        r"cuda error:? ?.{0,40}out of memory",
        r"cuda out of memory",
        r"outofmemoryerror",
        r"hip(?: error:)? ?out of memory",
        r"cudamalloc failed: out of memory",
        r"no available memory for the cache blocks",
        r"larger than the maximum number of tokens that can be stored in kv cache",
        r"not enough memory\. please try (?:to increase|increasing) --mem-fraction-static",
    ),
    _cause(
        "OutOfMemory",
        "it needs more memory than it may have",
        MEMORY_REMEDY,
        r"cannot allocate memory",
        r"std::bad_alloc",
        r"unable to allocate .{0,60}(?:memory|buffer)",
        r"defaultcpuallocator: (?:can't|not enough)",
    ),
    _cause(
        "PortInUse",
        "its port is taken by something else",
        "let only one process of the pod listen there: change the port in the runner's arguments "
        "and ports, or take hostNetwork away",
        r"address already in use",
        r"\[errno 98\]",
        r"eaddrinuse",
        r"couldn't bind .{0,40}port",
    ),
    _cause(
        "NoAccess",
        "the model's source does not let it in",
        "give it credentials of an account that may read the model and, where its owner asks for "
        "it, accept the licence on its page",
        r"gatedrepoerror",
        r"cannot access gated repo",
        r"access to model .{0,120} is restricted",
        r"401 client error",
        r"403 client error",
    ),
    _cause(
        "ArchitectureUnsupported",
        "this engine does not know the model's architecture",
        "use a runtime (or a newer image of it) that supports the architecture, or another model",
        r"model architectures? .{0,120}(?:not supported|failed to be inspected)",
        r"unknown model architecture",
        r"unsupported architecture",
        r"does not recognize this architecture",
        r"keyerror: '\w+for(?:causallm|conditionalgeneration|sequenceclassification)'",
    ),
    _cause(
        "NoRights",
        "its service account may not read what it has to",
        "let OME make the account (leave serviceAccountName out), or bind a Role to it that may "
        "get, list and watch what the message names",
        r"is forbidden: user .{0,200}cannot (?:get|list|watch)",
        r"cannot (?:list|watch|get) resource",
    ),
    _cause(
        "NoGpu",
        "it finds no GPU that it can use",
        "ask for GPUs in resources of the runner, and check driver and CUDA version of the node",
        r"no cuda gpus are available",
        r"found no nvidia driver",
        r"cuda driver version is insufficient",
        r"no cuda-capable device",
        r"failed to infer device type",
    ),
    _cause(
        "ModelFilesMissing",
        "it does not find the model's files where it looks",
        "check the path in the runner's arguments against spec.storage.path of the model",
        r"does not appear to have a file named",
        r"no such file or directory.{0,200}(?:config\.json|\.gguf|\.safetensors|model)",
        r"(?:model|config\.json|\.gguf|\.safetensors).{0,200}no such file or directory",
        r"failed to open gguf file",
        r"repo id must be in the form",
    ),
    _cause(
        "BadArguments",
        "it was started with arguments that it does not know",
        "correct args of the runner in the service or the runtime",
        r"unrecognized arguments",
        r"error: (?:argument|the following arguments)",
        r"unknown argument",
        r"invalid argument:",
        r"no such option",
    ),
    _cause(
        "WrongArchitecture",
        "its program was built for another kind of processor",
        "use an image for the nodes' architecture, or nodes for the image's",
        r"exec format error",
        r"illegal instruction",
    ),
)


def recognise(said: str) -> Cause | None:
    """The cause that the text speaks of; None where it speaks of none that is known."""
    flat = " ".join(said.split())
    return next((cause for cause, pattern in _KNOWN if pattern.search(flat)), None)


CODES: Final = tuple(cause.code for cause, _ in _KNOWN)
