"""The API server's own rules for metadata and for Kubernetes' own kinds.

:func:`validate` is called for a whole object after ``Schema.validate`` found its types right and
``core_defaults.apply`` filled it in. For custom resources only the rules for metadata apply; their
schema has the rest. The rules that matter for what OME writes and for what people write by hand are
here, not all of Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ome.apimachinery import names, pod_validation, quantity, resources, workload_validation
from ome.apimachinery import problems as p
from ome.apimachinery.errors import FieldError
from ome.apimachinery.jsonvalues import json_equal
from ome.apimachinery.objects import Object, Resource, metadata

_Rules = Callable[[Object, "Object | None"], Iterator[FieldError]]
_RBAC: Final = "rbac.authorization.k8s.io"
_DATA_LIMIT: Final = 1024 * 1024
_SECRET_KEYS: Final = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}
_GENERIC: Final = ("admissionregistration.k8s.io", "apiextensions.k8s.io")
_FINALIZERS_CHECKED: Final = frozenset(
    v for v in vars(resources).values() if isinstance(v, Resource) and v.group not in _GENERIC
)
_STANDARD_FINALIZERS: Final = ("foregroundDeletion", "kubernetes", "orphan")
_SERVICE_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def validate(
    resource: Resource, obj: Object, old: Object | None = None, *, subresource: str = ""
) -> list[FieldError]:
    """Everything wrong with an object that is to be created, or to replace ``old``."""
    found = list(_metadata(resource, obj, old))
    rules = _RULES.get((resource.group, resource.kind))
    if rules is not None and not subresource:
        found += rules(obj, old)
    return found


def name_problems(resource: Resource, name: str) -> list[str]:
    """Why an object of this kind can't have this name."""
    if resource.group == _RBAC:
        return names.path_segment(name)
    if (resource.group, resource.kind) == ("", "Service"):
        return names.dns_label_1035(name)
    if (resource.group, resource.kind) == ("", "Namespace"):
        return names.dns_label(name)
    return names.dns_subdomain(name)


def _metadata(resource: Resource, obj: Object, old: Object | None) -> Iterator[FieldError]:
    meta = metadata(obj)
    name = meta.get("name") or ""
    if not name:
        yield p.required("metadata.name", "name or generateName is required")
    elif old is None:
        yield from p.all_invalid("metadata.name", name, name_problems(resource, name))
    namespace = meta.get("namespace") or ""
    if resource.namespaced and not namespace:
        yield p.required("metadata.namespace")
    elif not resource.namespaced and namespace:
        yield p.forbidden("metadata.namespace", "not allowed on this type")
    yield from names.check_labels(meta.get("labels") or {}, "metadata.labels")
    yield from names.check_annotations(meta.get("annotations") or {}, "metadata.annotations")
    yield from _owners(meta.get("ownerReferences") or [])
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        yield from p.all_invalid("metadata.finalizers", finalizer, names.label_key(finalizer))
        known = "/" in finalizer or finalizer in _STANDARD_FINALIZERS
        if resource in _FINALIZERS_CHECKED and not known:
            yield p.invalid(f"metadata.finalizers[{index}]", finalizer, "name is neither a"
                            " standard finalizer name nor is it fully qualified")  # fmt: skip
    if old is not None:
        yield from _metadata_update(meta, metadata(old))


def _owners(references: list[Object]) -> Iterator[FieldError]:
    for index, reference in enumerate(references):
        where = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(field):
                yield p.required(f"{where}.{field}", "must not be empty")
    controllers = [r.get("kind") for r in references if r.get("controller")]
    if len(controllers) > 1:
        detail = "Only one reference can have Controller set to true. Found several: "
        yield p.invalid("metadata.ownerReferences", controllers, detail + str(len(controllers)))


def _metadata_update(meta: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    for field in ("name", "namespace", "uid", "creationTimestamp"):
        before, after = old.get(field), meta.get(field)
        if before is not None and after is not None and before != after:
            yield p.immutable(f"metadata.{field}", after)
    if old.get("deletionTimestamp"):
        added = [f for f in meta.get("finalizers") or () if f not in (old.get("finalizers") or ())]
        if added:
            yield p.forbidden("metadata.finalizers", "no new finalizers can be added if the object"
                              f" is being deleted, found new finalizers {added}")  # fmt: skip


def _pod(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec")
    if spec is None:
        yield p.required("spec")
        return
    yield from pod_validation.pod_spec(spec, "spec")
    if old is not None:
        yield from pod_validation.pod_update(obj, old)


def _service(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    kind = spec.get("type")
    yield from p.one_of("spec.type", kind, _SERVICE_TYPES)
    yield from p.one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    yield from names.check_labels(spec.get("selector") or {}, "spec.selector")
    ports = spec.get("ports") or []
    headless = spec.get("clusterIP") == "None"
    if kind == "ExternalName":
        external = spec.get("externalName") or ""
        if not external:
            yield p.required("spec.externalName")
        else:
            host = external.rstrip(".").lower()
            yield from p.all_invalid("spec.externalName", external, names.dns_subdomain(host))
    elif not ports and not headless:
        yield p.required("spec.ports")
    if headless and kind in ("NodePort", "LoadBalancer"):
        yield p.invalid("spec.clusterIP", "None", f"may not be set to 'None' for {kind} services")
    yield from _service_ports(ports)
    if old is not None:
        before = old.get("spec") or {}
        was, now = before.get("clusterIP"), spec.get("clusterIP")
        if was and now != was and "ExternalName" not in (kind, before.get("type")):
            yield p.immutable("spec.clusterIP", now or "")


def _service_ports(ports: list[Object]) -> Iterator[FieldError]:
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        if port.get("name"):
            yield from p.all_invalid(f"{where}.name", port["name"], names.dns_label(port["name"]))
        elif len(ports) > 1:
            yield p.required(f"{where}.name")
        yield from pod_validation.port_number(port.get("port"), f"{where}.port")
        yield from p.one_of(f"{where}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
        yield from pod_validation.port_reference(port.get("targetPort"), f"{where}.targetPort")
    yield from p.repeated("spec.ports[{}].name", [port.get("name") or None for port in ports])
    yield from p.repeated(
        "spec.ports[{}]",
        [{"port": port.get("port"), "protocol": port.get("protocol")} for port in ports],
    )
    node_ports = [(q["nodePort"], q.get("protocol")) if q.get("nodePort") else None for q in ports]
    yield from p.repeated("spec.ports[{}].nodePort", node_ports)


def _data_keys(obj: Object, *fields: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    size = 0
    for field in fields:
        for key, value in (obj.get(field) or {}).items():
            yield from p.all_invalid(f"{field}[{key}]", key, names.config_key(key))
            if key in seen:
                yield p.invalid(f"{field}[{key}]", key, f"duplicate of key present in {fields[0]}")
            seen.add(key)
            size += len(value) if field == "data" and len(fields) > 1 else len(value) * 3 // 4
    if size > _DATA_LIMIT:
        message = f"Too long: may not be more than {_DATA_LIMIT} bytes"
        yield FieldError("", message, "FieldValueTooLong")


def _immutable_data(obj: Object, old: Object | None, *fields: str) -> Iterator[FieldError]:
    if old is None or not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield p.forbidden("immutable", "field is immutable when `immutable` is set")
    for field in fields:
        if not json_equal(obj.get(field) or {}, old.get(field) or {}):
            yield p.forbidden(field, "field is immutable when `immutable` is set")


def _config_map(obj: Object, old: Object | None) -> Iterator[FieldError]:
    yield from _data_keys(obj, "data", "binaryData")
    yield from _immutable_data(obj, old, "data", "binaryData")


def _secret(obj: Object, old: Object | None) -> Iterator[FieldError]:
    yield from _data_keys(obj, "data")
    for key in _SECRET_KEYS.get(obj.get("type") or "", ()):
        if key not in (obj.get("data") or {}):
            yield p.required(f"data[{key}]")
    if old is not None and old.get("type") != obj.get("type"):
        yield p.immutable("type", obj.get("type"))
    yield from _immutable_data(obj, old, "data")


def _claim(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    if not spec.get("accessModes"):
        yield p.required("spec.accessModes", "at least 1 access mode is required")
    modes = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
    for mode in spec.get("accessModes") or ():
        yield from p.one_of("spec.accessModes", mode, modes)
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        yield p.required("spec.resources[storage]")
    for name, amount in requests.items():
        if quantity.parse(amount) <= 0:
            yield p.invalid(f"spec.resources[{name}]", amount, "must be greater than zero")
    if old is not None:
        mutable = ("resources", "volumeAttributesClassName")
        was = {k: v for k, v in (old.get("spec") or {}).items() if k not in mutable}
        now = {k: v for k, v in spec.items() if k not in mutable}
        if "volumeName" not in was:
            now.pop("volumeName", None)
        if not json_equal(was, now):
            yield p.forbidden("spec", "spec is immutable after creation except resources.requests"
                              " and volumeAttributesClassName for bound claims")  # fmt: skip


def _volume(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    if not spec.get("accessModes"):
        yield p.required("spec.accessModes")
    if not spec.get("capacity"):
        yield p.required("spec.capacity")
    yield from p.one_of(
        "spec.persistentVolumeReclaimPolicy",
        spec.get("persistentVolumeReclaimPolicy"),
        ("Delete", "Recycle", "Retain"),
    )


def _role(obj: Object, old: Object | None) -> Iterator[FieldError]:
    for index, rule in enumerate(obj.get("rules") or ()):
        where = f"rules[{index}]"
        if not rule.get("verbs"):
            yield p.required(f"{where}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            continue
        if not rule.get("apiGroups"):
            yield p.required(f"{where}.apiGroups", "resource rules must supply at least one api"
                             " group")  # fmt: skip
        if not rule.get("resources"):
            yield p.required(f"{where}.resources", "resource rules must supply at least one"
                             " resource")  # fmt: skip


def _role_binding(obj: Object, old: Object | None) -> Iterator[FieldError]:
    reference = obj.get("roleRef") or {}
    yield from p.one_of("roleRef.kind", reference.get("kind"), ("Role", "ClusterRole"))
    if not reference.get("name"):
        yield p.required("roleRef.name")
    if old is not None and not json_equal(reference, old.get("roleRef")):
        yield p.invalid("roleRef", reference, "cannot change roleRef")


def _fixed(*fields: str) -> _Rules:
    """Rules for kinds of which some top-level fields never change."""

    def rules(obj: Object, old: Object | None) -> Iterator[FieldError]:
        for field in fields if old is not None else ():
            if old is not None and not json_equal(obj.get(field), old.get(field)):
                yield p.immutable(field, obj.get(field))

    return rules


def _network_policy(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    yield from pod_validation.label_selector(spec.get("podSelector") or {}, "spec.podSelector")


def _lease(obj: Object, old: Object | None) -> Iterator[FieldError]:
    seconds = (obj.get("spec") or {}).get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield p.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")


def _custom_resource_definition(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    named = spec.get("names") or {}
    group, plural = spec.get("group") or "", named.get("plural") or ""
    if metadata(obj).get("name") != f"{plural}.{group}":
        detail = 'must be spec.names.plural+"."+spec.group'
        yield p.invalid("metadata.name", metadata(obj).get("name"), detail)
    for field in ("plural", "singular"):
        value = named.get(field) or ""
        yield from p.all_invalid(f"spec.names.{field}", value, names.dns_label_1035(value))
    yield from p.one_of("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    versions = spec.get("versions") or []
    if sum(bool(v.get("storage")) for v in versions) != 1:
        yield p.invalid("spec.versions", [v.get("name") for v in versions],
                        "must have exactly one version marked as storage version")  # fmt: skip
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield p.required(f"spec.versions[{index}].schema.openAPIV3Schema",
                             "schemas are required")  # fmt: skip
    yield from p.repeated("spec.versions[{}].name", [v.get("name") for v in versions])
    if old is not None:
        before = old.get("spec") or {}
        for field in ("group", "scope"):
            if before.get(field) != spec.get(field):
                yield p.immutable(f"spec.{field}", spec.get(field))
        if (before.get("names") or {}).get("kind") != named.get("kind"):
            yield p.immutable("spec.names.kind", named.get("kind"))


def _disruption_budget(obj: Object, old: Object | None) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    given = [f for f in ("minAvailable", "maxUnavailable") if spec.get(f) is not None]
    if len(given) > 1:
        yield p.invalid("spec", given, "minAvailable and maxUnavailable cannot be both set")
    for field in given:
        yield from workload_validation.count_or_percent(spec[field], f"spec.{field}")
    yield from pod_validation.label_selector(spec.get("selector"), "spec.selector")


_RULES: Final[Mapping[tuple[str, str], _Rules]] = {
    ("", "ConfigMap"): _config_map,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _custom_resource_definition,
    ("apps", "DaemonSet"): workload_validation.daemon_set,
    ("apps", "Deployment"): workload_validation.deployment,
    ("apps", "ReplicaSet"): workload_validation.replica_set,
    ("apps", "StatefulSet"): workload_validation.stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): workload_validation.autoscaler,
    ("batch", "Job"): workload_validation.job,
    ("coordination.k8s.io", "Lease"): _lease,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("policy", "PodDisruptionBudget"): _disruption_budget,
    (_RBAC, "ClusterRole"): _role,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
    (_RBAC, "Role"): _role,
    (_RBAC, "RoleBinding"): _role_binding,
    ("scheduling.k8s.io", "PriorityClass"): _fixed("value", "preemptionPolicy"),
    ("storage.k8s.io", "StorageClass"): _fixed(
        "parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"
    ),
}
