"""The objects of an installation, in the order in which they are applied.

Names are those that clusters have had before, so that an installation is taken over in place:
nothing is there twice, and the leader Lease is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ome import __version__
from ome.admission.registration import SERVICE_NAME, SERVICE_PORT, Address, configurations
from ome.api import constants as c
from ome.api.crds import all_crds
from ome.apimachinery.objects import Object
from ome.cli.install import rbac
from ome.cli.install.settings import Lookup

OPERATOR: Final = "ome-controller-manager"
AGENT: Final = "ome-model-agent"
AGENT_DAEMON_SET: Final = "ome-model-agent-daemonset"
METRICS_SERVICE: Final = "ome-controller-manager-service"
L_VERSION: Final = "app.kubernetes.io/version"
L_NAME: Final = "app.kubernetes.io/name"
HTTP_PORT: Final = 8080
SHARING_PORT: Final = 8081
WEBHOOK_PORT: Final = 9443
GRACE_SECONDS: Final = 30
_CONFIG_SECTIONS: Final = (
    "ingress",
    "deploy",
    "metricsAggregator",
    "multinodeProber",
    "kedaConfig",
    "modelInit",
    "fineTunedAdapter",
    "servingSidecar",
    "readiness",
    "rollout",
    "rdma",
)


@dataclass(frozen=True, slots=True)
class Part:
    """``when`` names the settings that have to be true for it to be there; ``file`` groups parts
    in the chart."""

    file: str
    object: Object
    when: tuple[str, ...] = ()


def crds() -> list[Object]:
    """The CRDs, with the version that they belong to."""
    # The generator gives enumeration members, which are more than YAML can say.
    found: list[Object] = msgspec.to_builtins(all_crds())
    for crd in found:
        crd["metadata"].setdefault("labels", {})[L_VERSION] = __version__
    return found


def namespace(name: str) -> Object:
    """The agent needs folders of the host, which stricter levels of pod security refuse."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                c.L_PART_OF: c.OPERATOR_NAME,
                c.L_CONTROL_PLANE: OPERATOR,
                "pod-security.kubernetes.io/enforce": "privileged",
            },
        },
    }


def parts(value: Lookup) -> list[Part]:
    """Everything but the namespace and the CRDs."""
    agent = ("agent.enabled",)
    return [
        *(Part("operator-rbac", obj) for obj in _operator_rights(value)),
        *(Part("operator-rbac", obj, ("catalog.enabled",)) for obj in _catalog_rights(value)),
        *(Part("agent-rbac", obj, agent) for obj in _agent_rights(value)),
        *_agent_secret_rights(value),
        *(Part("config", obj) for obj in _config(value)),
        *(Part("services", obj) for obj in _services(value)),
        Part("operator", _operator(value)),
        Part("operator", _disruption_budget(value)),
        Part("agent", _agent(value), agent),
        Part("networkpolicy", _operator_policy(value), ("networkPolicy.enabled",)),
        Part("networkpolicy", _agent_policy(value), ("networkPolicy.enabled", *agent)),
        Part("servicemonitor", _service_monitor(value), ("serviceMonitor.enabled",)),
        *(Part("webhooks", obj) for obj in configurations(Address(value.namespace))),
    ]


def _labels(name: str) -> Object:
    return {c.L_PART_OF: c.OPERATOR_NAME, L_NAME: name, L_VERSION: __version__}


def _selector(name: str) -> Object:
    return {c.L_CONTROL_PLANE: name}


def _meta(value: Lookup, name: str, owner: str) -> Object:
    return {"name": name, "namespace": value.namespace, "labels": _labels(owner)}


# -- rights ---------------------------------------------------------------------------------------


def _account(value: Lookup, name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(value, name, name)}


def _with_binding(role: Object, account: str, value: Lookup) -> Iterator[Object]:
    yield role
    yield rbac.binding(role, account, value.namespace)


def _operator_rights(value: Lookup) -> Iterator[Object]:
    labels = _labels(OPERATOR)
    yield _account(value, OPERATOR)
    role = rbac.role("ClusterRole", "ome-manager-role", labels, rbac.OPERATOR_CLUSTER)
    yield from _with_binding(role, OPERATOR, value)
    own = rbac.role("Role", "ome-leader-election-role", labels, rbac.OPERATOR_OWN, value.namespace)
    yield from _with_binding(own, OPERATOR, value)


def _catalog_rights(value: Lookup) -> Iterator[Object]:
    role = rbac.role("ClusterRole", "ome-catalog-role", _labels(OPERATOR), rbac.OPERATOR_CATALOG)
    yield from _with_binding(role, OPERATOR, value)


def _agent_rights(value: Lookup) -> Iterator[Object]:
    labels = _labels(AGENT)
    yield _account(value, AGENT)
    role = rbac.role("ClusterRole", AGENT, labels, rbac.AGENT_CLUSTER)
    yield from _with_binding(role, AGENT, value)
    own = rbac.role("Role", AGENT, labels, (*rbac.AGENT_OWN, *rbac.AGENT_SECRETS), value.namespace)
    yield from _with_binding(own, AGENT, value)


def _agent_secret_rights(value: Lookup) -> Iterator[Part]:
    name = f"{AGENT}-secrets"
    role = rbac.role("ClusterRole", name, _labels(AGENT), rbac.AGENT_SECRETS)
    for obj in _with_binding(role, AGENT, value):
        yield Part("agent-rbac", obj, ("agent.enabled", "agent.readSecretsEverywhere"))


# -- configuration --------------------------------------------------------------------------------


def _config(value: Lookup) -> Iterator[Object]:
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(value, c.INFERENCE_SERVICE_CONFIG, OPERATOR),
        "data": {name: value.json(f"config.{name}") for name in _CONFIG_SECTIONS},
    }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(value, c.BENCHMARK_JOB_CONFIG, OPERATOR),
        "data": {"benchmarkjob": value.json("config.benchmarkjob")},
    }


# -- the operator ---------------------------------------------------------------------------------


def _services(value: Lookup) -> Iterator[Object]:
    for name, port, target, title in (
        (SERVICE_NAME, SERVICE_PORT, "webhook-server", "https"),
        (METRICS_SERVICE, HTTP_PORT, "metrics", "metrics"),
    ):
        yield {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta(value, name, OPERATOR),
            "spec": {
                "selector": _selector(OPERATOR),
                "ports": [{"name": title, "port": port, "protocol": "TCP", "targetPort": target}],
            },
        }


def _operator(value: Lookup) -> Object:
    container: Object = {
        "name": "manager",
        "image": _image(value),
        "imagePullPolicy": value("image.pullPolicy"),
        "args": [
            "operator",
            f"--listen=:{HTTP_PORT}",
            f"--webhook-listen=:{WEBHOOK_PORT}",
            f"--catalog={_word(value('catalog.enabled'))}",
        ],
        "env": [
            {"name": "OME_IMAGE", "value": _image(value)},
            {"name": "OME_CATALOG_MODELS", "value": value.json("catalog.models")},
            *_environment(value("operator.logLevel")),
            *value.spread("operator.extraEnv"),
        ],
        "ports": [
            {"name": "webhook-server", "containerPort": WEBHOOK_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": HTTP_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/healthz", periodSeconds=2, failureThreshold=30),
        "livenessProbe": _probe("/healthz", periodSeconds=10, failureThreshold=3),
        "readinessProbe": _probe("/readyz", periodSeconds=5, failureThreshold=2),
        "resources": value("operator.resources"),
        "securityContext": _locked_down(),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod: Object = {
        "serviceAccountName": OPERATOR,
        "imagePullSecrets": value("imagePullSecrets"),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "priorityClassName": value("operator.priorityClassName"),
        "nodeSelector": value("operator.nodeSelector"),
        "tolerations": value("operator.tolerations"),
        "affinity": value("operator.affinity"),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _selector(OPERATOR)},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        # The webhooks' key passes through a file for a moment: never one on a disk.
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(value, OPERATOR, OPERATOR),
        "spec": {
            "replicas": value("operator.replicas"),
            "selector": {"matchLabels": _selector(OPERATOR)},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {"labels": {**_labels(OPERATOR), **_selector(OPERATOR)}},
                "spec": pod,
            },
        },
    }


def _disruption_budget(value: Lookup) -> Object:
    """With one replica this still lets nodes be drained."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _meta(value, OPERATOR, OPERATOR),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": _selector(OPERATOR)}},
    }


# -- the agent ------------------------------------------------------------------------------------


def _agent(value: Lookup) -> Object:
    root = value("agent.modelsRoot")
    container: Object = {
        "name": "model-agent",
        "image": _image(value),
        "imagePullPolicy": value("image.pullPolicy"),
        "args": [
            "agent",
            f"--listen=:{HTTP_PORT}",
            f"--models-root={root}",
            f"--slots={value('agent.slots')}",
            f"--share={_word(value('agent.sharing'))}",
            f"--share-listen=:{SHARING_PORT}",
            *value.spread("agent.extraArgs"),
        ],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *_environment(value("agent.logLevel")),
            *value.spread("agent.extraEnv"),
        ],
        "ports": [
            {"name": "metrics", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "sharing", "containerPort": SHARING_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/healthz", periodSeconds=2, failureThreshold=30),
        "livenessProbe": _probe("/healthz", periodSeconds=10, failureThreshold=3),
        "readinessProbe": _probe("/readyz", periodSeconds=5, failureThreshold=2),
        "resources": value("agent.resources"),
        # Folders of the host belong to root: root, but without any of its special rights.
        "securityContext": {**_locked_down(), "runAsUser": 0, "runAsGroup": 0},
        "volumeMounts": [
            {"name": "models", "mountPath": root},
            {"name": "tmp", "mountPath": "/tmp"},
            *value.spread("agent.extraVolumeMounts"),
        ],
    }
    pod: Object = {
        "serviceAccountName": AGENT,
        "imagePullSecrets": value("imagePullSecrets"),
        "priorityClassName": value("agent.priorityClassName"),
        "nodeSelector": value("agent.nodeSelector"),
        "tolerations": value("agent.tolerations"),
        "affinity": value("agent.affinity"),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "models", "hostPath": {"path": root, "type": "DirectoryOrCreate"}},
            {"name": "tmp", "emptyDir": {}},
            *value.spread("agent.extraVolumes"),
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": _meta(value, AGENT_DAEMON_SET, AGENT),
        "spec": {
            "selector": {"matchLabels": _selector(AGENT)},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "10%"}},
            "template": {
                "metadata": {"labels": {**_labels(AGENT), **_selector(AGENT)}},
                "spec": pod,
            },
        },
    }


def _word(given: Any) -> Any:
    """A boolean as the chart writes it into a line of text."""
    return {True: "true", False: "false"}.get(given, given)


# -- around them ----------------------------------------------------------------------------------


def _operator_policy(value: Lookup) -> Object:
    """The API server's address is nothing one can know, so webhooks are open to everybody."""
    return _policy(value, OPERATOR, ("webhook-server", "metrics"))


def _agent_policy(value: Lookup) -> Object:
    """Metrics for whoever scrapes; models for other agents only."""
    policy = _policy(value, AGENT, ("metrics",))
    policy["spec"]["ingress"].append(
        {
            "from": [{"podSelector": {"matchLabels": _selector(AGENT)}}],
            "ports": [{"port": "sharing", "protocol": "TCP"}],
        }
    )
    return policy


def _policy(value: Lookup, name: str, ports: tuple[str, ...]) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _meta(value, name, name),
        "spec": {
            "podSelector": {"matchLabels": _selector(name)},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"port": port, "protocol": "TCP"} for port in ports]}],
        },
    }


def _service_monitor(value: Lookup) -> Object:
    meta = {**_meta(value, OPERATOR, OPERATOR), "labels": value("serviceMonitor.labels")}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": meta,
        "spec": {
            "selector": {"matchLabels": {L_NAME: OPERATOR}},
            "namespaceSelector": {"matchNames": [value.namespace]},
            "endpoints": [{"port": "metrics", "interval": value("serviceMonitor.interval")}],
        },
    }


def _image(value: Lookup) -> str:
    return f"{value('image.repository')}:{value('image.tag')}"


def _environment(level: Any) -> list[Object]:
    return [
        {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "OME_LOG_LEVEL", "value": level},
    ]


def _probe(path: str, **timing: int) -> Object:
    return {"httpGet": {"path": path, "port": "metrics"}, "timeoutSeconds": 5, **timing}


def _locked_down() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
