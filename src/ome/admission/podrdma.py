"""RDMA: what lets a container reach the InfiniBand or RoCE devices of its node.

A pod asks for it by annotation and names a *profile*. ``oci-roce`` is built in. Others come from
the section ``rdma`` of the configuration, which may also replace the built-in one.
What the pod's author wrote stays: environment variables, mounts, volumes, and ``privileged``.
"""

from __future__ import annotations

from typing import Final

from ome.admission import podconfig
from ome.admission.podedit import add_env, add_mount, add_volume, named
from ome.api import constants as c
from ome.api.config import RdmaProfile
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object, annotations_of

_ADAPTERS: Final = (0, 1, *range(3, 11), *range(12, 18))
_NEEDS_ESCALATION: Final = "CAP_SYS_ADMIN"


OCI_ROCE: Final = RdmaProfile(
    volumes=(
        {"name": "dshm", "emptyDir": {"medium": "Memory"}},
        {"name": "devinf", "hostPath": {"path": "/dev/infiniband"}},
    ),
    volume_mounts=(
        {"name": "dshm", "mountPath": "/dev/shm"},
        {"name": "devinf", "mountPath": "/dev/infiniband"},
    ),
    env={
        "GLOO_SOCKET_IFNAME": "eth0",
        "HCOLL_ENABLE_MCAST_ALL": "0",
        "IB_RX_QUEUE_LEN": "8192",
        "NCCL_CROSS_NIC": "2",
        "NCCL_CUMEM_ENABLE": "0",
        "NCCL_DEBUG": "INFO",
        "NCCL_IB_GID_INDEX": "3",
        "NCCL_IB_HCA": "=" + ",".join(f"mlx5_{index}" for index in _ADAPTERS),
        "NCCL_IB_QPS_PER_CONNECTION": "16",
        "NCCL_IB_SL": "0",
        "NCCL_IB_SPLIT_DATA_ON_QPS": "0",
        "NCCL_IB_TC": "41",
        "NCCL_IB_TIMEOUT": "22",
        "NCCL_IGNORE_CPU_AFFINITY": "1",
        "NCCL_NET_PLUGIN": "none",
        "NCCL_SOCKET_IFNAME": "eth0",
        "NCCL_SOCKET_NTHREADS": "16",
        "RX_QUEUE_LEN": "8192",
        "UCX_NET_DEVICES": "eth0",
        "UCX_TLS": "tcp",
        "coll_hcoll_enable": "0",
    },
    capabilities=("IPC_LOCK", _NEEDS_ESCALATION),
    privileged=True,
)
BUILT_IN: Final = {c.RDMA_PROFILE_OCI_ROCE: OCI_ROCE}


def inject_rdma(
    pod: Object, config: podconfig.Data, errors: list[FieldError], warnings: list[str]
) -> None:
    annotations = annotations_of(pod)
    if annotations.get(c.A_RDMA_AUTO_INJECT) != "true":
        return
    wanted = annotations.get(c.A_RDMA_CONTAINER) or c.MAIN_CONTAINER
    container = named(pod["spec"].get("containers"), wanted)
    if container is None:
        have = ", ".join(str(i.get("name")) for i in pod["spec"].get("containers") or ())
        warnings.append(
            f"RDMA is not set up: the pod has no container {wanted!r} (it has {have or 'none'}); "
            f"name the right one in the annotation {c.A_RDMA_CONTAINER}"
        )
        return
    name = annotations.get(c.A_RDMA_PROFILE) or c.RDMA_PROFILE_OCI_ROCE
    profile = _profile(name, config, errors, warnings)
    if profile is None or not _secure(container, profile, errors, warnings):
        return
    for mount in profile.volume_mounts:
        add_mount(container, dict(mount))
    # Where the author mounted something else in a place, the profile's volume has no use.
    unused = {item["name"] for item in profile.volume_mounts}
    unused -= {item.get("name") for item in container.get("volumeMounts") or ()}
    for volume in profile.volumes:
        if volume["name"] not in unused:
            add_volume(pod, dict(volume))
    add_env(container, [{"name": k, "value": profile.env[k]} for k in sorted(profile.env)])


def _profile(
    name: str, config: podconfig.Data, errors: list[FieldError], warnings: list[str]
) -> RdmaProfile | None:
    """A broken configuration stops only those who need what it should say."""
    settings, problems = podconfig.read_one(config, "rdma")
    configured = settings.rdma.profiles.get(name)
    if configured is not None:
        problems += _nameless(name, configured)
    if problems and name not in BUILT_IN:
        errors += problems
        return None
    warnings += [str(problem) for problem in problems]
    if configured is not None and not problems:
        return configured
    if name in BUILT_IN:
        return BUILT_IN[name]
    known = ", ".join(sorted({*BUILT_IN, *settings.rdma.profiles}))
    errors.append(
        FieldError(
            f"metadata.annotations[{c.A_RDMA_PROFILE}]",
            f"there is no RDMA profile {name!r}; known are {known}. More can be defined at "
            f"{podconfig.section_path('rdma', 'profiles')}",
            "FieldValueNotSupported",
        )
    )
    return None


def _nameless(name: str, profile: RdmaProfile) -> list[FieldError]:
    return [
        FieldError(
            podconfig.section_path("rdma", f"profiles[{name}].{key}"),
            "each needs a name",
            "FieldValueRequired",
        )
        for key, items in (("volumes", profile.volumes), ("volumeMounts", profile.volume_mounts))
        if not all(isinstance(item.get("name"), str) for item in items)
    ]


def _secure(
    container: Object, profile: RdmaProfile, errors: list[FieldError], warnings: list[str]
) -> bool:
    """Capabilities and ``privileged``. False, with an error, where the container forbids them."""
    context = dict(container.get("securityContext") or {})
    have = dict(context.get("capabilities") or {})
    missing = [item for item in profile.capabilities if item not in (have.get("add") or ())]
    if missing:
        context["capabilities"] = {**have, "add": [*(have.get("add") or ()), *missing]}
    if profile.privileged and context.get("privileged") is None:
        context["privileged"] = True
        warnings.append(
            f"the RDMA profile makes the container {container['name']} privileged; set "
            "securityContext.privileged to false to forbid that"
        )
    powerful = context.get("privileged") is True or _NEEDS_ESCALATION in missing
    if context.get("allowPrivilegeEscalation") is False and powerful:
        errors.append(
            FieldError(
                f"spec.containers[{container['name']}].securityContext.allowPrivilegeEscalation",
                "is false, but the RDMA profile needs a privileged container or "
                f"{_NEEDS_ESCALATION}; remove it, or choose a profile that needs neither",
            )
        )
        return False
    if context:
        container["securityContext"] = context
    return True
