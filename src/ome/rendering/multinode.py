"""A component whose replicas are groups of pods: LeaderWorkerSet, Service to the leaders.

A group is a leader and ``worker.size`` workers that load one model together. Only leaders take
requests, so the Service selects them: by service and component, never across services. A group that
loses a pod is made anew as a whole; a replica counts as ready only when all of its members are.
"""

from __future__ import annotations

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery.objects import Object, metadata
from ome.rendering import raw
from ome.rendering.component import Part
from ome.rendering.facts import Child
from ome.rendering.metadata import service_annotations
from ome.rendering.raw import child_metadata
from ome.rendering.scaling import NONE, autoscaler, scaling

_TEMPLATE = ("spec", "leaderWorkerTemplate")
_POD_DEFAULTS = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "terminationGracePeriodSeconds": 30,
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
"""Kubernetes fills them in on pods only; in the template they keep comparisons simple."""


class Built:
    """All children of one MultiNode component."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.warnings: list[str] = []
        self.pending = ""
        observed = part.given.observed
        self.name = names.keep_or_rename(
            names.lws_name(part.base_name),
            names.legacy_lws_name(part.base_name),
            observed.of(x.LEADER_WORKER_SETS),
        )
        self.leader_labels = {
            **part.labels,
            c.L_APP: part.app,
            c.L_RAY_NODE_TYPE: x.RAY_HEAD,
        }
        self.container: Object = {}
        self.scale = scaling(part, default=NONE)
        self.children = self._children()

    @property
    def selector(self) -> dict[str, str]:
        """The leaders of this component of this service, and of no other."""
        keys = (c.L_INFERENCE_SERVICE, c.L_COMPONENT, c.L_RAY_NODE_TYPE)
        return {key: self.leader_labels[key] for key in keys}

    def _children(self) -> list[Child]:
        part = self.part
        labels = part.labels
        scale = self.scale
        self.warnings += [*scale.warnings, *raw.without_effect(part)]
        workload = self._workload()
        if scale.scaler == NONE:
            workload["spec"]["replicas"] = scale.low
            found = [Child(x.LEADER_WORKER_SETS, workload)]
        else:
            found = [Child(x.LEADER_WORKER_SETS, workload, scale.low, scale.bounds)]
        target = {
            "apiVersion": x.LEADER_WORKER_SETS.api_version,
            "kind": x.LEADER_WORKER_SETS.kind,
            "name": self.name,
        }
        scalers, warnings = autoscaler(part, scale, target, labels)
        self.warnings += warnings
        found += scalers
        if part.merged.get("minAvailable") is not None or part.merged.get("maxUnavailable"):
            budget, warnings = raw.disruption_budget(part, self.leader_labels)
            self.warnings += warnings
            found.append(budget)
        found.append(
            raw.component_service(
                part, self.container, self.selector, labels, service_annotations(part.annotations)
            )
        )
        if labels.get(c.L_ISTIO_INJECT) == "true":
            found += self._sidecar()
        return found

    def _workload(self) -> Object:
        part = self.part
        (head, self.container), worker = part.group_pods()
        members = {"leaderTemplate": self._template(head, self.leader_labels)}
        if worker is not None:
            members["workerTemplate"] = self._template(worker[0], part.labels)
            self._without_scraping(members["workerTemplate"]["metadata"])
            self._of_workers(members["workerTemplate"]["metadata"])
        else:
            # A group of one: the CRD wants a worker template, of which no pod is made.
            members["workerTemplate"] = self._template(head, part.labels)
        template = {
            **members,
            "size": 1 + part.workers,
            "restartPolicy": "RecreateGroupOnPodRestart",
        }
        live = part.given.observed.get(x.LEADER_WORKER_SETS, self.name)
        decision = part.decide(template, live, _TEMPLATE)
        self.pending = decision.pending
        annotations = {**part.annotations, c.A_INPUT_HASH: decision.annotation}
        spec: Object = {
            "startupPolicy": "LeaderCreated",
            "networkConfig": {"subdomainPolicy": "Shared"},
            "rolloutStrategy": self._rollout(),
            "leaderWorkerTemplate": decision.template,
        }
        kept = (live or {}).get("spec") or {}
        if decision.template is kept.get("leaderWorkerTemplate"):
            # A change of the network replaces all groups, too.
            spec["networkConfig"] = kept.get("networkConfig")
        return {
            "apiVersion": x.LEADER_WORKER_SETS.api_version,
            "kind": x.LEADER_WORKER_SETS.kind,
            "metadata": child_metadata(part.service, self.name, part.labels, annotations),
            "spec": {key: value for key, value in spec.items() if value is not None},
        }

    def _template(self, pod: Object, labels: dict[str, str]) -> Object:
        return self.part.template({**_POD_DEFAULTS, **pod}, labels)

    def _without_scraping(self, meta: Object) -> None:
        """Workers answer no requests and have no metrics of their own."""
        gone = (c.A_PROMETHEUS_PORT, c.A_PROMETHEUS_PATH, c.A_PROMETHEUS_SCRAPE)
        kept = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in gone}
        meta.pop("annotations", None)
        if kept:
            meta["annotations"] = kept

    def _of_workers(self, meta: Object) -> None:
        """What a runtime in the older form puts on its workers alone."""
        worker = self.part.merged.get("worker") or {}
        for kind in ("labels", "annotations"):
            if worker.get(kind):
                meta[kind] = {**worker[kind], **(meta.get(kind) or {})}

    def _rollout(self) -> Object:
        strategy = self.part.merged.get("deploymentStrategy") or {}
        if strategy.get("type") == "Recreate":
            self.warnings.append(
                f"spec.{self.part.name}.deploymentStrategy Recreate is not something groups of "
                "pods can do; they are replaced group by group"
            )
        wanted = strategy.get("rollingUpdate") or {}
        return {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {
                "maxUnavailable": wanted.get("maxUnavailable", 1),
                "maxSurge": wanted.get("maxSurge", 1),
            },
        }

    def _sidecar(self) -> list[Child]:
        """Keeps Istio's hands off everything but the serving port, between the members."""
        if not self.part.given.capabilities.has(x.SIDECARS):
            return []
        return [sidecar(self.part)]


def sidecar(part: Part) -> Child:
    """Istio's Sidecar for pods that talk among themselves on ports of their own."""
    port = {"number": c.SERVICE_PORT, "name": "http", "protocol": "HTTP"}
    name = metadata(part.service)["name"]
    obj = {
        "apiVersion": x.SIDECARS.api_version,
        "kind": x.SIDECARS.kind,
        "metadata": child_metadata(part.service, part.base_name, part.labels, {}),
        "spec": {
            "workloadSelector": {
                "labels": {
                    c.L_INFERENCE_SERVICE: names.label_value(name),
                    c.L_COMPONENT: part.name,
                }
            },
            "egress": [{"hosts": ["./*"], "port": port}],
            "ingress": [{"port": port, "defaultEndpoint": f"127.0.0.1:{c.SERVICE_PORT}"}],
        },
    }
    return Child(x.SIDECARS, obj)
