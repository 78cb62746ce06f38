"""What can be set of an installation: one table, for ``ome install --set`` and for values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ome import __version__
from ome.api import constants as c
from ome.apimachinery.jsonvalues import copy_json
from ome.cli.errors import CliError, usage


@dataclass(frozen=True, slots=True)
class Setting:
    """``path`` is dotted. The default's type is the type that is accepted."""

    path: str
    default: Any
    text: str


SETTINGS: Final = (
    Setting("image.repository", "ome", "Image of operator and agent (see the Containerfile)."),
    Setting("image.tag", __version__, "Its tag."),
    Setting("image.pullPolicy", "IfNotPresent", "When it is pulled."),
    Setting("imagePullSecrets", [], "Secrets to pull it with: [{name: ...}]."),
    Setting("operator.replicas", 2, "One acts, all answer webhooks."),
    Setting(
        "operator.resources",
        {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "What one replica gets.",
    ),
    Setting("operator.logLevel", "INFO", "DEBUG, INFO, WARNING or ERROR."),
    Setting("operator.extraEnv", [], "Further environment variables."),
    Setting("operator.nodeSelector", {}, "Nodes that replicas may run on."),
    Setting("operator.tolerations", [], "Taints that they tolerate."),
    Setting("operator.affinity", {}, "Affinity of the replicas."),
    Setting("operator.priorityClassName", "", "Priority of the replicas."),
    Setting(
        "catalog.enabled",
        False,
        "The operator keeps the runtimes and accelerator classes that ship with OME on the "
        "cluster. What people change stays; switching it off deletes nothing.",
    ),
    Setting(
        "catalog.models",
        [],
        "Names of models that ship with OME, to be there as well: agents fetch them to every node "
        "that fits.",
    ),
    Setting("agent.enabled", True, "Run the agent, which brings models to nodes."),
    Setting("agent.modelsRoot", c.DEFAULT_MODELS_ROOT, "Folder on nodes in which models lie."),
    Setting("agent.slots", 2, "Downloads at once on one node."),
    Setting(
        "agent.sharing",
        True,
        "Nodes give each other models, so that a fleet reads each one from its origin about once.",
    ),
    Setting(
        "agent.readSecretsEverywhere",
        True,
        "Let agents read Secrets in every namespace, for models in namespaces with credentials. "
        "Without, only Secrets in the operator's namespace.",
    ),
    Setting(
        "agent.resources",
        {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}},
        "What the agent of a node gets.",
    ),
    Setting("agent.logLevel", "INFO", "DEBUG, INFO, WARNING or ERROR."),
    Setting("agent.extraEnv", [], "Further environment variables, such as HF_ENDPOINT."),
    Setting("agent.extraArgs", [], "Further arguments, such as --host-path=/mnt/nvme=/mnt/nvme."),
    Setting("agent.extraVolumes", [], "Further volumes, for models outside of modelsRoot."),
    Setting("agent.extraVolumeMounts", [], "Their mounts."),
    Setting("agent.nodeSelector", {}, "Nodes that get an agent."),
    Setting(
        "agent.tolerations",
        [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "Taints that it tolerates.",
    ),
    Setting("agent.affinity", {}, "Affinity of the agent."),
    Setting("agent.priorityClassName", "", "Priority of the agent."),
    Setting("networkPolicy.enabled", True, "Let in nothing but webhooks, health and metrics."),
    Setting("serviceMonitor.enabled", False, "Tell the Prometheus operator where metrics are."),
    Setting("serviceMonitor.labels", {}, "Labels by which it finds that."),
    Setting("serviceMonitor.interval", "30s", "How often it asks."),
    Setting(
        "config.ingress",
        {
            "ingressGateway": "knative-serving/knative-ingress-gateway",
            "ingressService": "istio-ingressgateway.istio-system.svc.cluster.local",
            "localGateway": "knative-serving/knative-local-gateway",
            "localGatewayService": "knative-local-gateway.istio-system.svc.cluster.local",
            "knativeLocalGatewayService": "knative-local-gateway.istio-system.svc.cluster.local",
            "omeIngressGateway": "",
            "ingressDomain": "svc.cluster.local",
            "ingressClassName": "istio",
            "additionalIngressDomains": [],
            "domainTemplate": "{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}",
            "urlScheme": "http",
            "disableIstioVirtualHost": False,
            "pathTemplate": "",
            "disableIngressCreation": True,
            "enableGatewayAPI": False,
        },
        "How services get addresses (ConfigMap inferenceservice-config, like all of config).",
    ),
    Setting("config.deploy", {"defaultDeploymentMode": c.MODE_RAW}, "How components run."),
    Setting(
        "config.metricsAggregator",
        {"enableMetricAggregation": "false", "enablePrometheusScraping": "false"},
        "Prometheus defaults of pods.",
    ),
    Setting(
        "config.multinodeProber",
        {
            "image": "",
            "cpuRequest": "100m",
            "memoryRequest": "100Mi",
            "cpuLimit": "100m",
            "memoryLimit": "100Mi",
            "startupFailureThreshold": 150,
            "startupPeriodSeconds": 30,
            "startupTimeoutSeconds": 60,
            "startupInitialDelaySeconds": 120,
            "unavailableThresholdSeconds": 600,
        },
        "The pod that watches a Ray cluster.",
    ),
    Setting(
        "config.kedaConfig",
        {
            "enableKeda": True,
            "promServerAddress": "http://prometheus-operated.monitoring.svc.cluster.local:9090",
            "customPromQuery": "",
            "scalingThreshold": "10",
            "scalingOperator": "GreaterThanOrEqual",
        },
        "What services that scale with KEDA leave out.",
    ),
    Setting("config.modelInit", {}, "The container that decrypts models (Oracle Cloud)."),
    Setting("config.fineTunedAdapter", {}, "The container that fetches fine-tuned weights."),
    Setting("config.servingSidecar", {}, "The container that keeps such weights up to date."),
    Setting("config.readiness", {"probe": "none"}, "completion: Ready takes a real answer."),
    Setting("config.rollout", {"servicesAtOnce": 10}, "How shared changes reach services."),
    Setting("config.rdma", {"profiles": {}}, "Further RDMA profiles."),
    Setting(
        "config.benchmarkjob",
        {
            "podConfig": {
                "image": "genai-bench:0.1.113",
                "cpuRequest": "2",
                "cpuLimit": "2",
                "memoryRequest": "2Gi",
                "memoryLimit": "2Gi",
            }
        },
        "The pod of a benchmark (ConfigMap benchmarkjob-config).",
    ),
)
_BY_PATH: Final = {setting.path: setting for setting in SETTINGS}


class Lookup(Protocol):
    """Where builders get their values from. Whatever comes out is used as it is, never looked at:
    for the chart it is an expression."""

    @property
    def namespace(self) -> str: ...

    def __call__(self, path: str) -> Any:
        """The value, as a whole."""

    def spread(self, path: str) -> list[Any]:
        """The items of a list, to be put among others."""

    def json(self, path: str) -> str:
        """The value as JSON text."""


class Values:
    """The values of one installation."""

    def __init__(self, namespace: str, changes: Mapping[str, Any] | None = None) -> None:
        self.namespace = namespace
        self._changes = dict(changes or {})

    def __call__(self, path: str) -> Any:
        setting = _BY_PATH[path]
        return copy_json(self._changes.get(path, setting.default))

    def spread(self, path: str) -> list[Any]:
        return list(self(path))

    def json(self, path: str) -> str:
        return json.dumps(self(path), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def tree(values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings as nested mappings."""
    root: dict[str, Any] = {}
    for setting in SETTINGS:
        *folders, last = setting.path.split(".")
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = copy_json((values or {}).get(setting.path, setting.default))
    return root


def parse(assignments: Iterable[str]) -> dict[str, Any]:
    """``a.b=value`` as Helm's ``--set`` reads the simple ones, and JSON for the rest."""
    changes: dict[str, Any] = {}
    for text in assignments:
        path, equals, given = text.partition("=")
        if not equals:
            raise usage(f"--set {text}: there is no '=' in it", "Write --set path=value")
        _put(changes, path, given)
    return changes


def _put(changes: dict[str, Any], path: str, given: str) -> None:
    value = _read(given)
    if path in _BY_PATH:
        changes[path] = _fitting(_BY_PATH[path], value, given)
        return
    for setting in SETTINGS:
        if isinstance(setting.default, dict) and path.startswith(setting.path + "."):
            held = changes.setdefault(setting.path, copy_json(setting.default))
            *folders, last = path.removeprefix(setting.path + ".").split(".")
            for folder in folders:
                held = held.setdefault(folder, {})
                if not isinstance(held, dict):
                    raise usage(f"--set {path}: {folder} is a single value")
            held[last] = value if not isinstance(held.get(last), str) else given
            return
    import difflib

    close = difflib.get_close_matches(path, _BY_PATH, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(_top())}"
    raise usage(f"--set {path}: there is no such setting", hint)


def _top() -> Iterator[str]:
    return iter(dict.fromkeys(setting.path.partition(".")[0] for setting in SETTINGS))


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _fitting(setting: Setting, value: Any, given: str) -> Any:
    if isinstance(setting.default, str):
        return given
    if type(value) is type(setting.default):
        return value
    wanted = {bool: "true or false", int: "a whole number", list: "a JSON list"}
    raise CliError(
        f"--set {setting.path}: {given!r} is not {wanted.get(type(setting.default), 'a JSON map')}",
        code=2,
    )
