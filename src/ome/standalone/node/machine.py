"""What this machine is and has: the Node object. GPUs are counted through NVML, if there is one."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from ome._version import __version__
from ome.apimachinery.objects import Object

GPU = "nvidia.com/gpu"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "AMD64": "amd64"}


def gpu_count() -> int:
    """How many NVIDIA GPUs the driver shows; 0 without a driver. Loads no Python package."""
    for name in ("libnvidia-ml.so.1", "libnvidia-ml.so"):
        try:
            nvml = ctypes.CDLL(name)
        except OSError:
            continue
        if nvml.nvmlInit_v2() != 0:
            return 0
        count = ctypes.c_uint(0)
        result = nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        nvml.nvmlShutdown()
        return int(count.value) if result == 0 else 0
    return 0


def visible_gpus(count: int, allowed: str | None) -> list[str]:
    """The devices OME may hand out: those it may use itself (``CUDA_VISIBLE_DEVICES``)."""
    if allowed is None:
        return [str(n) for n in range(count)]
    return [d.strip() for d in allowed.split(",") if d.strip()][:count] if count else []


def detect_gpus() -> list[str]:
    return visible_gpus(gpu_count(), os.environ.get("CUDA_VISIBLE_DEVICES"))


def capacity(data_dir: Path, gpus: int) -> dict[str, str]:
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{psutil.virtual_memory().total // 1024}Ki",
        "ephemeral-storage": f"{shutil.disk_usage(data_dir).total // 1024}Ki",
        "pods": "110",
        GPU: str(gpus),
    }


def labels(name: str) -> dict[str, str]:
    system = "linux" if platform.system() == "Linux" else platform.system().lower()
    arch = _ARCHITECTURES.get(platform.machine(), platform.machine().lower())
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": system,
        "kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": system,
        "beta.kubernetes.io/arch": arch,
    }


def node_status(
    name: str, amounts: Mapping[str, str], runtime: str, now: str, ready_since: str
) -> Object:
    info = platform.uname()
    own = labels(name)
    conditions = [
        _condition("MemoryPressure", "False", "KubeletHasSufficientMemory", now, ready_since),
        _condition("DiskPressure", "False", "KubeletHasNoDiskPressure", now, ready_since),
        _condition("PIDPressure", "False", "KubeletHasSufficientPID", now, ready_since),
        _condition("Ready", "True", "KubeletReady", now, ready_since),
    ]
    return {
        "capacity": dict(amounts),
        "allocatable": dict(amounts),
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": name},
        ],
        "nodeInfo": {
            "architecture": own["kubernetes.io/arch"],
            "operatingSystem": own["kubernetes.io/os"],
            "kernelVersion": info.release,
            "osImage": f"{info.system} {info.release}",
            "machineID": "",
            "systemUUID": "",
            "bootID": _read("/proc/sys/kernel/random/boot_id"),
            "containerRuntimeVersion": runtime,
            "kubeletVersion": f"v{__version__}",
            "kubeProxyVersion": "",
        },
    }


def _condition(type_: str, status: str, reason: str, now: str, since: str) -> Object:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": "the node agent of this machine runs" if type_ == "Ready" else "",
        "lastHeartbeatTime": now,
        "lastTransitionTime": since,
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return ""


def default_name(data_dir: Path | None = None) -> str:
    """This machine's name as a node name: lower case, letters, digits, ``-`` and ``.``.

    With ``data_dir`` the first answer is kept there: a laptop that is called something else in the
    next network must still know its pods.
    """
    kept = data_dir / "node-name" if data_dir is not None else None
    if kept is not None and kept.is_file() and (known := kept.read_text("utf-8").strip()):
        return known
    name = _host_name()
    if kept is not None:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept.write_text(name + "\n", "utf-8")
    return name


def _host_name() -> str:
    name = "".join(c if c.isalnum() or c in "-." else "-" for c in socket.gethostname().lower())
    return name.strip("-.")[:63] or "local"
