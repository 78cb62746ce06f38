"""Columns of the built-in kinds that are not workloads."""

from __future__ import annotations

from typing import Any

from ome.apimachinery.objects import Object, condition, labels_of
from ome.standalone.apiserver.durations import since
from ome.standalone.apiserver.printing import (
    NONE,
    UNKNOWN,
    Printer,
    columns,
    joined,
    labels_text,
    name_and_age,
    parts,
    selector_text,
)

_ROLE_LABEL = "node-role.kubernetes.io/"
_RBAC = "rbac.authorization.k8s.io"


def _namespace(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    return [name, (obj.get("status") or {}).get("phase", ""), age]


def _node(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    ready = (condition(obj, "Ready") or {}).get("status")
    word = {"True": "Ready", "False": "NotReady"}.get(
        ready or "", "NotReady" if ready else "Unknown"
    )
    if spec.get("unschedulable"):
        word += ",SchedulingDisabled"
    labels = labels_of(obj)
    roles = sorted(key.removeprefix(_ROLE_LABEL) for key in labels if key.startswith(_ROLE_LABEL))
    info = status.get("nodeInfo") or {}
    addresses = {a["type"]: a["address"] for a in reversed(status.get("addresses") or ())}
    return [
        name,
        word,
        joined(roles),
        age,
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _service(obj: Object) -> list[Any]:
    spec, _ = parts(obj)
    name, age = name_and_age(obj)
    ports = [
        f"{p.get('port')}:{p['nodePort']}/{p.get('protocol', 'TCP')}"
        if p.get("nodePort")
        else f"{p.get('port')}/{p.get('protocol', 'TCP')}"
        for p in spec.get("ports") or ()
    ]
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [
        name,
        spec.get("type", "ClusterIP"),
        addresses[0] or NONE,
        _external(obj),
        joined(ports),
        age,
        labels_text(spec.get("selector")),
    ]


def _external(obj: Object) -> str:
    spec, status = parts(obj)
    given = list(spec.get("externalIPs") or ())
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or NONE)
    if spec.get("type") == "LoadBalancer":
        ingress = (status.get("loadBalancer") or {}).get("ingress") or []
        given += [i.get("ip") or i.get("hostname") for i in ingress]
        return joined(given, "<pending>")
    return joined(given)


def _endpoints(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    found = [
        f"{address.get('ip')}:{port.get('port')}"
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or ({"port": ""},)
        for address in subset.get("addresses") or ()
    ]
    return [name, _shortened(found), age]


def _shortened(values: list[str], most: int = 3) -> str:
    if len(values) <= most:
        return joined(values)
    return f"{','.join(values[:most])} + {len(values) - most} more..."


def _endpoint_slice(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    ports = [str(p.get("port") or "*") for p in obj.get("ports") or ()]
    found = [a for e in obj.get("endpoints") or () for a in e.get("addresses") or ()]
    return [
        name,
        obj.get("addressType", ""),
        _shortened(ports) if ports else "<unset>",
        _shortened(found) if found else "<unset>",
        age,
    ]


def _event(obj: Object) -> list[Any]:
    series = obj.get("series") or {}
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or first
    subject = obj.get("involvedObject") or {}
    source = obj.get("source") or {}
    where = ", ".join(
        filter(None, (source.get("component") or obj.get("reportingComponent"), source.get("host")))
    )
    kind = str(subject.get("kind") or "").lower()
    return [
        since(last),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{kind}/{subject.get('name', '')}",
        subject.get("fieldPath", ""),
        where,
        str(obj.get("message") or "").strip(),
        since(first),
        obj.get("count") or series.get("count") or 1,
        obj["metadata"]["name"],
    ]


def _config_map(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    return [name, len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), age]


def _secret(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    return [name, obj.get("type", ""), len(obj.get("data") or {}), age]


def _service_account(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    return [name, len(obj.get("secrets") or ()), age]


def _lease(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    return [name, (obj.get("spec") or {}).get("holderIdentity") or "", age]


def _created(obj: Object) -> list[Any]:
    meta = obj["metadata"]
    return [meta["name"], meta.get("creationTimestamp") or UNKNOWN]


def _binding(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    role = obj.get("roleRef") or {}
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        text = subject.get("name", "")
        if subject.get("kind") == "ServiceAccount":
            text = f"{subject.get('namespace', '')}/{text}"
        by_kind.setdefault(subject.get("kind", ""), []).append(text)
    people = [", ".join(by_kind[k]) for k in ("User", "Group", "ServiceAccount")]
    return [name, f"{role.get('kind')}/{role.get('name')}", age, *people]


def _claim(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    bound = bool(spec.get("volumeName"))
    return [
        name,
        "Terminating" if "deletionTimestamp" in obj["metadata"] else status.get("phase", ""),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        spec.get("storageClassName", ""),
        "<unset>",
        age,
        spec.get("volumeMode", "<unset>"),
    ]


def _modes(modes: list[str] | None) -> str:
    short = {
        "ReadWriteOnce": "RWO",
        "ReadOnlyMany": "ROX",
        "ReadWriteMany": "RWX",
        "ReadWriteOncePod": "RWOP",
    }
    return ",".join(short.get(m, m) for m in modes or ())


def _volume(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    claim = spec.get("claimRef") or {}
    return [
        name,
        (spec.get("capacity") or {}).get("storage", ""),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if "deletionTimestamp" in obj["metadata"] else status.get("phase", ""),
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        spec.get("storageClassName", ""),
        "<unset>",
        status.get("reason", ""),
        age,
        spec.get("volumeMode", "<unset>"),
    ]


def _storage_class(obj: Object) -> list[Any]:
    meta = obj["metadata"]
    name, age = name_and_age(obj)
    default = (meta.get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class")
    return [
        f"{name} (default)" if default == "true" else name,
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy", "Delete"),
        obj.get("volumeBindingMode", "Immediate"),
        bool(obj.get("allowVolumeExpansion")),
        age,
    ]


def _priority_class(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    policy = obj.get("preemptionPolicy", "")
    return [name, obj.get("value", 0), bool(obj.get("globalDefault")), age, policy]


def _ingress(obj: Object) -> list[Any]:
    spec, status = parts(obj)
    name, age = name_and_age(obj)
    hosts = [r["host"] for r in spec.get("rules") or () if r.get("host")]
    ingress = (status.get("loadBalancer") or {}).get("ingress") or []
    return [
        name,
        spec.get("ingressClassName") or NONE,
        joined(hosts, "*"),
        joined((i.get("ip") or i.get("hostname") for i in ingress), ""),
        "80, 443" if spec.get("tls") else "80",
        age,
    ]


def _network_policy(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    return [name, selector_text((obj.get("spec") or {}).get("podSelector")), age]


def _webhooks(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    return [name, len(obj.get("webhooks") or ()), age]


def _revision(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    owner = next(
        (o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None
    )
    text = f"{str(owner['kind']).lower()}/{owner['name']}" if owner else NONE
    return [name, text, obj.get("revision", 0), age]


def _quota(obj: Object) -> list[Any]:
    name, age = name_and_age(obj)
    status = obj.get("status") or {}
    used, hard = status.get("used") or {}, status.get("hard") or {}
    pairs = {key: f"{key}: {used.get(key, 0)}/{hard[key]}" for key in sorted(hard)}
    limits = [text for key, text in pairs.items() if key.startswith("limits.")]
    requests = [text for key, text in pairs.items() if not key.startswith("limits.")]
    return [name, ", ".join(requests), ", ".join(limits), age]


PRINTERS: dict[tuple[str, str], Printer] = {
    ("", "Namespace"): Printer(columns("Name|Status|Age"), _namespace),
    ("", "Node"): Printer(
        columns(
            "Name|Status|Roles|Age|Version||Internal-IP|External-IP|OS-Image|Kernel-Version|"
            "Container-Runtime"
        ),
        _node,
    ),
    ("", "Service"): Printer(
        columns("Name|Type|Cluster-IP|External-IP|Port(s)|Age||Selector"), _service
    ),
    ("", "Endpoints"): Printer(columns("Name|Endpoints|Age"), _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Printer(
        columns("Name|AddressType|Ports|Endpoints|Age"), _endpoint_slice
    ),
    ("", "ConfigMap"): Printer(columns("Name|Data|Age"), _config_map),
    ("", "Secret"): Printer(columns("Name|Type|Data|Age"), _secret),
    ("", "ServiceAccount"): Printer(columns("Name|Secrets#|Age"), _service_account),
    ("", "PersistentVolumeClaim"): Printer(
        columns(
            "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age||"
            "VolumeMode"
        ),
        _claim,
    ),
    ("", "PersistentVolume"): Printer(
        columns(
            "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|"
            "VolumeAttributesClass|Reason|Age||VolumeMode"
        ),
        _volume,
    ),
    ("", "ResourceQuota"): Printer(columns("Name|Request|Limit|Age"), _quota),
    ("", "LimitRange"): Printer(columns("Name|Created At"), _created),
    ("apps", "ControllerRevision"): Printer(columns("Name|Controller|Revision#|Age"), _revision),
    ("coordination.k8s.io", "Lease"): Printer(columns("Name|Holder|Age"), _lease),
    ("networking.k8s.io", "Ingress"): Printer(
        columns("Name|Class|Hosts|Address|Ports|Age"), _ingress
    ),
    ("networking.k8s.io", "NetworkPolicy"): Printer(
        columns("Name|Pod-Selector|Age"), _network_policy
    ),
    (_RBAC, "Role"): Printer(columns("Name|Created At"), _created),
    (_RBAC, "ClusterRole"): Printer(columns("Name|Created At"), _created),
    (_RBAC, "RoleBinding"): Printer(
        columns("Name|Role|Age||Users|Groups|ServiceAccounts"), _binding
    ),
    (_RBAC, "ClusterRoleBinding"): Printer(
        columns("Name|Role|Age||Users|Groups|ServiceAccounts"), _binding
    ),
    ("scheduling.k8s.io", "PriorityClass"): Printer(
        columns("Name|Value#|Global-Default|Age|PreemptionPolicy"), _priority_class
    ),
    ("storage.k8s.io", "StorageClass"): Printer(
        columns("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age"),
        _storage_class,
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Printer(
        columns("Name|Created At"), _created
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): Printer(
        columns("Name|Webhooks#|Age"), _webhooks
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): Printer(
        columns("Name|Webhooks#|Age"), _webhooks
    ),
    ("", "Event"): Printer(
        # kubectl shows an event's own name last, and only with -o wide.
        columns("Last Seen|Type|Reason|Object||Subobject|Source")
        + columns("Message||First Seen|Count#|Name"),
        _event,
    ),
}
