"""What the API server fills into objects of Kubernetes' own kinds.

:func:`apply` is called for every write and gives a new object. It is idempotent. It relies on right
types, so the order of a write is: ``Schema.prune``, ``Schema.default``, ``Schema.validate``,
``core_defaults.apply``, ``core_validation.validate``. :func:`prepare_create` adds what a new object
gets once: the parts of the status that exist from the start, a Job's own selector and labels.

Not here, because they need state: names, uids, cluster addresses, node ports, generations.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from ome.apimachinery import pod_defaults
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, Resource

_Defaulter = Callable[[Object], None]
_RBAC: Final = "rbac.authorization.k8s.io"


def apply(resource: Resource, obj: Object) -> Object:
    """The object with Kubernetes' defaults for its kind; unknown kinds come back as they are."""
    defaulter = _DEFAULTERS.get((resource.group, resource.kind))
    if defaulter is None:
        return obj
    result = copy_json(obj)
    defaulter(result)
    return result


def prepare_create(resource: Resource, obj: Object) -> Object:
    """What only a new object gets. Its uid must have been given."""
    prepare = _PREPARERS.get((resource.group, resource.kind))
    if prepare is None:
        return obj
    result = copy_json(obj)
    prepare(result)
    return result


def _default_all(obj: Object, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if obj.get(name) is None or obj[name] == "":
            obj[name] = copy_json(value)


def _deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = spec.setdefault("strategy", {})
    _default_all(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        _default_all(rolling, {"maxUnavailable": "25%", "maxSurge": "25%"})
    pod_defaults.pod_template(spec.get("template"))


def _replica_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"replicas": 1})
    pod_defaults.pod_template(spec.get("template"))


def _stateful_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(
        spec,
        {
            "replicas": 1,
            "podManagementPolicy": "OrderedReady",
            "revisionHistoryLimit": 10,
            "updateStrategy": {},
            "persistentVolumeClaimRetentionPolicy": {},
        },
    )
    _default_all(
        spec["persistentVolumeClaimRetentionPolicy"],
        {"whenDeleted": "Retain", "whenScaled": "Retain"},
    )
    strategy = spec["updateStrategy"]
    _default_all(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        _default_all(strategy.setdefault("rollingUpdate", {}), {"partition": 0})
    for claim in spec.get("volumeClaimTemplates") or ():
        _default_all(claim, {"apiVersion": "v1", "kind": "PersistentVolumeClaim"})
        _claim(claim)
    pod_defaults.pod_template(spec.get("template"))


def _daemon_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"revisionHistoryLimit": 10, "updateStrategy": {}})
    strategy = spec["updateStrategy"]
    _default_all(strategy, {"type": "RollingUpdate"})
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        _default_all(rolling, {"maxUnavailable": 1, "maxSurge": 0})
    pod_defaults.pod_template(spec.get("template"))


def _job(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
        spec.setdefault("completions", 1)
    policy = spec.get("podFailurePolicy")
    _default_all(
        spec,
        {
            "backoffLimit": 6 if spec.get("backoffLimitPerIndex") is None else 2**31 - 1,
            "completionMode": "NonIndexed",
            "manualSelector": False,
            "podReplacementPolicy": "TerminatingOrFailed" if policy is None else "Failed",
            "suspend": False,
        },
    )
    for rule in (policy or {}).get("rules") or ():
        for condition in rule.get("onPodConditions") or ():
            _default_all(condition, {"status": "True"})
    pod_defaults.pod_template(spec.setdefault("template", {}))


def _autoscaler(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"minReplicas": 1})
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is None:
        return
    percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    pods = {"type": "Pods", "value": 4, "periodSeconds": 15}
    up = {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [pods, percent]}
    down = {"selectPolicy": "Max", "policies": [percent]}
    _default_all(behavior.setdefault("scaleUp", {}), up)
    _default_all(behavior.setdefault("scaleDown", {}), down)


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    if spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        _default_all(client, {"timeoutSeconds": 10800})
    elif spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    for port in spec.get("ports") or ():
        _default_all(port, {"protocol": "TCP"})
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _default_all(spec, {"externalTrafficPolicy": "Cluster"})
    if spec["type"] != "ExternalName":
        _default_all(spec, {"internalTrafficPolicy": "Cluster"})
    if spec["type"] == "LoadBalancer":
        _default_all(spec, {"allocateLoadBalancerNodePorts": True})


def _endpoints(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            _default_all(port, {"protocol": "TCP"})


def _endpoint_slice(obj: Object) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        _default_all(port, {"protocol": "TCP"})


def _secret(obj: Object) -> None:
    _default_all(obj, {"type": "Opaque"})
    texts = obj.pop("stringData", None)
    if texts:
        encoded = {k: base64.b64encode(str(v).encode()).decode() for k, v in texts.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _namespace(obj: Object) -> None:
    meta = obj.setdefault("metadata", {})
    if meta.get("name"):
        meta["labels"] = {
            **(meta.get("labels") or {}),
            "kubernetes.io/metadata.name": meta["name"],
        }


def _node(obj: Object) -> None:
    status = obj.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = copy_json(status["capacity"])


def _volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _default_all(spec, {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
    if spec.get("hostPath") is not None:
        spec["hostPath"].setdefault("type", "")


def _claim(obj: Object) -> None:
    _default_all(obj.setdefault("spec", {}), {"volumeMode": "Filesystem"})
    _default_all(obj.setdefault("status", {}), {"phase": "Pending"})


def _limit_range(obj: Object) -> None:
    for item in (obj.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        defaults = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**defaults, **(item.get("min") or {}), **(item.get("defaultRequest") or {})}
        for name, values in (("default", defaults), ("defaultRequest", requests)):
            if values:
                item[name] = values


def _network_policy(obj: Object) -> None:
    spec = obj.get("spec")
    if spec is None:
        return
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(("Egress",) if spec.get("egress") else ())]
    for rule in [*(spec.get("ingress") or ()), *(spec.get("egress") or ())]:
        for port in rule.get("ports") or ():
            _default_all(port, {"protocol": "TCP"})


def _role_binding(obj: Object) -> None:
    if obj.get("roleRef") is not None:
        _default_all(obj["roleRef"], {"apiGroup": _RBAC})
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            _default_all(subject, {"apiGroup": _RBAC})


def _custom_resource_definition(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind") or ""
    if kind:
        _default_all(names, {"singular": kind.lower(), "listKind": f"{kind}List"})
    conversion = spec.setdefault("conversion", {})
    _default_all(conversion, {"strategy": "None"})
    _webhook_port((conversion.get("webhook") or {}).get("clientConfig"))


def _webhooks(obj: Object, *, mutating: bool) -> None:
    for hook in obj.get("webhooks") or ():
        _default_all(
            hook,
            {
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
                "timeoutSeconds": 10,
                **({"reinvocationPolicy": "Never"} if mutating else {}),
            },
        )
        for rule in hook.get("rules") or ():
            _default_all(rule, {"scope": "*"})
        _webhook_port(hook.get("clientConfig"))


def _webhook_port(client: Object | None) -> None:
    if client and client.get("service") is not None:
        _default_all(client["service"], {"port": 443})


def _new_job(obj: Object) -> None:
    """A Job selects its pods by its own uid, unless it says that it knows better."""
    spec = obj["spec"]
    if spec.get("manualSelector"):
        return
    uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
    template = spec.setdefault("template", {}).setdefault("metadata", {})
    template["labels"] = {
        **(template.get("labels") or {}),
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    if not spec.get("selector"):
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _new_pod(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": pod_defaults.qos_class(obj.get("spec") or {})}


def _new_namespace(obj: Object) -> None:
    finalizers = (obj.get("spec") or {}).get("finalizers") or []
    if "kubernetes" not in finalizers:
        obj["spec"] = {**(obj.get("spec") or {}), "finalizers": [*finalizers, "kubernetes"]}
    obj["status"] = {"phase": "Active"}


def _pending(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


_DEFAULTERS: Final[Mapping[tuple[str, str], _Defaulter]] = {
    ("", "Endpoints"): _endpoints,
    ("", "LimitRange"): _limit_range,
    ("", "Namespace"): _namespace,
    ("", "Node"): _node,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): pod_defaults.pod,
    ("", "PodTemplate"): lambda obj: pod_defaults.pod_template(obj.get("template")),
    ("", "Secret"): _secret,
    ("", "Service"): _service,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): lambda obj: _webhooks(
        obj, mutating=True
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): lambda obj: _webhooks(
        obj, mutating=False
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _custom_resource_definition,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("batch", "Job"): _job,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
    (_RBAC, "RoleBinding"): _role_binding,
    ("scheduling.k8s.io", "PriorityClass"): lambda obj: _default_all(
        obj, {"preemptionPolicy": "PreemptLowerPriority"}
    ),
    ("storage.k8s.io", "StorageClass"): lambda obj: _default_all(
        obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}
    ),
}
_PREPARERS: Final[Mapping[tuple[str, str], _Defaulter]] = {
    ("", "Namespace"): _new_namespace,
    ("", "PersistentVolume"): _pending,
    ("", "PersistentVolumeClaim"): _pending,
    ("", "Pod"): _new_pod,
    ("batch", "Job"): _new_job,
}
