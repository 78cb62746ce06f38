"""What a component is: the runtime's part with the service's part laid over it.

The service's part is a strategic merge patch on the runtime's part: lists of things with a name
merge by that name, other lists replace, maps merge key by key, and what the service leaves out it
inherits. A component exists only if the service names it (``engine: {}`` is enough).

Values are normalised on the way so that equal meanings have equal bytes: nulls are dropped and
resource quantities are written canonically.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ome.api import constants as c
from ome.apimachinery import quantity
from ome.apimachinery.definitions import resolve
from ome.apimachinery.objects import Object
from ome.apimachinery.strategic import strategic_merge
from ome.rendering.errors import RenderError
from ome.rendering.olderform import engine_config

POD_SPEC: Final = "io.k8s.api.core.v1.PodSpec"
CONTAINER: Final = "io.k8s.api.core.v1.Container"

POD_SPEC_KEYS: Final = (
    "volumes",
    "initContainers",
    "containers",
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "dnsPolicy",
    "nodeSelector",
    "serviceAccountName",
    "serviceAccount",
    "automountServiceAccountToken",
    "nodeName",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "shareProcessNamespace",
    "securityContext",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "affinity",
    "schedulerName",
    "tolerations",
    "hostAliases",
    "priorityClassName",
    "priority",
    "dnsConfig",
    "readinessGates",
    "runtimeClassName",
    "enableServiceLinks",
    "preemptionPolicy",
    "overhead",
    "topologySpreadConstraints",
    "setHostnameAsFQDN",
    "os",
    "hostUsers",
    "schedulingGates",
    "resourceClaims",
    "resources",
    "hostnameOverride",
    "evictionResponders",
    "schedulingGroup",
)
"""Fields of a pod spec that a component may carry beside its own: all of Kubernetes', the newest
last. ``ephemeralContainers`` is refused: Kubernetes takes it in no template."""

_NESTED = ("runner", "leader", "worker")


def merged_components(service: Object, runtime: Object | None) -> dict[str, Object]:
    """The merged engine, decoder and router, those that the service names."""
    spec = service.get("spec") or {}
    runtime_spec = (runtime or {}).get("spec") or {}
    found: dict[str, Object] = {}
    for name in c.COMPONENTS:
        if spec.get(name) is not None:
            base = runtime_part(runtime_spec, name)
            base.pop("acceleratorOverride", None)
            found[name] = merge_part(base, spec[name], f"spec.{name}")
    return found


def runtime_part(runtime_spec: Mapping[str, Any], component: str) -> Object:
    """What a runtime says of one component: its config, or the older form of an engine's."""
    config = runtime_spec.get(f"{component}Config")
    if config is None and component == c.ENGINE:
        return engine_config(runtime_spec)
    return dict(config or {})


def merge_part(base: Object, patch: Object, path: str) -> Object:
    """One component (or leader, or worker) of the runtime with the service's laid over it."""
    base, patch = without_nulls(base), without_nulls(patch)
    for part in (base, patch):
        if part.get("ephemeralContainers"):
            raise RenderError(
                "InvalidSpec",
                f"{path}.ephemeralContainers can't be part of a template: Kubernetes refuses it",
                field=f"{path}.ephemeralContainers",
                fix="remove it; use kubectl debug on a running pod",
            )
    plain = strategic_merge(
        {key: value for key, value in base.items() if key not in _NESTED},
        {key: value for key, value in patch.items() if key not in _NESTED},
        resolve(POD_SPEC),
    )
    for key in _NESTED:
        ours, theirs = base.get(key), patch.get(key)
        if ours is None and theirs is None:
            continue
        if key == "runner":
            plain[key] = merge_container(ours or {}, theirs or {})
        else:
            plain[key] = merge_part(ours or {}, theirs or {}, f"{path}.{key}")
    return plain


def merge_pod(base: Object, patch: Object) -> Object:
    """A pod spec with another one laid over it; a fresh copy."""
    return strategic_merge(base, patch, resolve(POD_SPEC))


def merge_container(base: Object, patch: Object) -> Object:
    """A container with another one laid over it; an empty name doesn't blank a given one."""
    if not patch.get("name"):
        patch = {key: value for key, value in patch.items() if key != "name"}
    return strategic_merge(base, patch, resolve(CONTAINER))


def without_nulls(value: Mapping[str, Any]) -> Object:
    """A deep copy without null fields: in a manifest null says no more than leaving it out."""
    return {key: _without_nulls(item) for key, item in value.items() if item is not None}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return without_nulls(value)
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def pod_spec_of(part: Object) -> Object:
    """The pod-spec fields of a component, leader or worker; a fresh copy."""
    return {key: _without_nulls(part[key]) for key in POD_SPEC_KEYS if key in part}


def canonical_resources(container: Object, path: str) -> None:
    """Rewrites the quantities of a container that is being built in their canonical form."""
    resources = container.get("resources") or {}
    for side in ("requests", "limits"):
        for name, amount in (resources.get(side) or {}).items():
            try:
                resources[side][name] = quantity.canonical(amount)
            except ValueError as error:
                where = f"{path}.resources.{side}[{name}]"
                raise RenderError(
                    "InvalidSpec", f"{where}: {error}", field=where, fix="write a quantity, as 2Gi"
                ) from error
