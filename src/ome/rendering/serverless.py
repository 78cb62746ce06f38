"""A component as a Knative Service: Knative scales it (to zero too) and keeps its revisions.

With ``canaryTrafficPercent`` the newest revision gets that share and the revision that had all
traffic last (``status...latestRolledoutRevision``) the rest. Knative makes the Kubernetes Service
of the component by itself.
"""

from __future__ import annotations

from typing import Any

from ome.api import constants as c
from ome.api import external as x
from ome.apimachinery.objects import Object, annotations_of, labels_of, metadata
from ome.rendering.component import Part
from ome.rendering.facts import Child
from ome.rendering.metadata import queue_labels
from ome.rendering.raw import child_metadata

_MANAGED = (c.A_KNATIVE_ROLLOUT_DURATION, c.A_OPENSHIFT_PASSTHROUGH)
"""Annotations of the Knative Service itself; Knative refuses them on revisions."""


class Built:
    """All children of one Serverless component: the Knative Service."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.name = part.base_name
        self.warnings: list[str] = []
        self.pending = ""
        pod, self.container = part.single_pod(probe_default=False)
        self._leave_to_knative(pod)
        self.children = [self._service(pod)]

    @property
    def selector(self) -> dict[str, str]:
        return {}

    def _leave_to_knative(self, pod: Object) -> None:
        for key in ("minAvailable", "maxUnavailable", "deploymentStrategy", "kedaConfig"):
            if self.part.merged.get(key) is not None:
                self.warnings.append(
                    f"spec.{self.part.name}.{key} has no effect in mode {c.MODE_SERVERLESS}: "
                    "Knative scales and replaces revisions by itself"
                )
        needed = _features(pod)
        if needed:
            self.warnings.append(
                f"the {self.part.name}'s pods use {', '.join(needed)}, which Knative takes only "
                "where its ConfigMap config-features enables them"
            )
        # Knative decides these, and its webhook refuses other values.
        pod.pop("restartPolicy", None)

    def _service(self, pod: Object) -> Child:
        part = self.part
        live = part.given.observed.get(x.KNATIVE_SERVICES, self.name)
        annotations = {k: v for k, v in part.annotations.items() if k not in _MANAGED}
        annotations.update(self._scaling())
        labels = {k: v for k, v in part.labels.items() if k != c.L_KNATIVE_VISIBILITY}
        template: Object = {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {**self._revision(), **pod},
        }
        decision = part.decide(template, live)
        self.pending = decision.pending
        managed = {k: v for k, v in part.annotations.items() if k in _MANAGED}
        obj = {
            "apiVersion": x.KNATIVE_SERVICES.api_version,
            "kind": x.KNATIVE_SERVICES.kind,
            "metadata": child_metadata(
                part.service,
                self.name,
                {**part.labels, **queue_labels(part.annotations)},
                {**managed, c.A_INPUT_HASH: decision.annotation},
            ),
            "spec": {"template": decision.template, "traffic": self._traffic()},
        }
        return Child(x.KNATIVE_SERVICES, obj)

    def _revision(self) -> Object:
        merged = self.part.merged
        spec: Object = {}
        if merged.get("timeoutSeconds") is not None:
            spec["timeoutSeconds"] = merged["timeoutSeconds"]
            spec["responseStartTimeoutSeconds"] = merged["timeoutSeconds"]
        if merged.get("containerConcurrency") is not None:
            spec["containerConcurrency"] = merged["containerConcurrency"]
        return spec

    def _scaling(self) -> dict[str, str]:
        merged, given = self.part.merged, self.part.annotations
        low = merged.get("minReplicas")
        low = c.DEFAULT_MIN_REPLICAS if low is None else int(low)
        high = int(merged.get("maxReplicas") or 0)
        found = {
            c.A_KNATIVE_MIN_SCALE: str(low),
            x.A_KNATIVE_CLASS: given.get(x.A_KNATIVE_CLASS) or x.KPA_CLASS,
        }
        if high:
            found[c.A_KNATIVE_MAX_SCALE] = str(max(low, high))
        if merged.get("scaleTarget") is not None:
            found[x.A_KNATIVE_TARGET] = str(merged["scaleTarget"])
        if merged.get("scaleMetric"):
            found[x.A_KNATIVE_METRIC] = str(merged["scaleMetric"])
        return found

    def _traffic(self) -> list[Object]:
        part = self.part
        percent = part.merged.get("canaryTrafficPercent")
        status = (part.service.get("status") or {}).get("components") or {}
        rolled_out = (status.get(part.name) or {}).get("latestRolledoutRevision")
        if percent is None or not rolled_out:
            return [{"latestRevision": True, "percent": 100}]
        share = int(percent)
        latest: Object = {"latestRevision": True, "percent": share}
        if annotations_of(part.service).get(c.A_ENABLE_TAG_ROUTING) == "true":
            latest["tag"] = "latest"
        if share >= 100:
            return [latest]
        previous = {
            "revisionName": rolled_out,
            "latestRevision": False,
            "percent": 100 - share,
            "tag": "prev",
        }
        return [latest, previous]


def _features(pod: Object) -> list[str]:
    """What of a pod spec Knative refuses unless it is switched on."""
    found = [
        f"kubernetes.podspec-{flag}"
        for key, flag in (
            ("affinity", "affinity"),
            ("nodeSelector", "nodeselector"),
            ("tolerations", "tolerations"),
            ("initContainers", "init-containers"),
            ("priorityClassName", "priorityclassname"),
        )
        if pod.get(key)
    ]
    volumes = pod.get("volumes") or ()
    for key, flag in (
        ("hostPath", "volumes-hostpath"),
        ("emptyDir", "volumes-emptydir"),
        ("persistentVolumeClaim", "persistent-volume-claim"),
    ):
        if any(key in volume for volume in volumes):
            found.append(f"kubernetes.podspec-{flag}")
    return found


def revisions(live: Object | None, old: dict[str, Any]) -> Object:
    """Revisions, traffic and url of a component's status. ``old`` is what the status said before.

    A revision is rolled out when the newest ready one has all traffic. Taking the share of a
    canary back to the previous revision rolls back what counts as rolled out.
    """
    keys = ("previousRolledoutRevision", "latestRolledoutRevision")
    entry: Object = {key: old[key] for key in keys if old.get(key)}
    status = (live or {}).get("status") or {}
    ready, created = status.get("latestReadyRevisionName"), status.get("latestCreatedRevisionName")
    if ready:
        entry["latestReadyRevision"] = ready
    if created:
        entry["latestCreatedRevision"] = created
    traffic = status.get("traffic") or []
    if traffic:
        entry["traffic"] = traffic
    if status.get("url"):
        entry["url"] = status["url"]
    if (status.get("address") or {}).get("url"):
        entry["address"] = {"url": status["address"]["url"]}
    _roll_out(entry, ready, created, traffic)
    return entry


def _roll_out(entry: Object, ready: str | None, created: str | None, traffic: list[Object]) -> None:
    latest = entry.get("latestRolledoutRevision")
    shares: dict[str, int] = {}
    for target in traffic:
        name = target.get("revisionName") or ""
        shares[name] = shares.get(name, 0) + int(target.get("percent") or 0)
    if not ready:
        return
    if shares.get(ready) == 100 and ready != latest:
        if latest:
            entry["previousRolledoutRevision"] = latest
        entry["latestRolledoutRevision"] = ready
    elif (
        ready == latest
        and ready == created
        and shares.get(ready, 0) < 100
        and shares.get(entry.get("previousRolledoutRevision") or "") == 100
    ):
        entry["latestRolledoutRevision"] = entry["previousRolledoutRevision"]


def is_local(service: Object) -> bool:
    """True where the service asks to be reached from inside the cluster only."""
    return labels_of(service).get(c.L_KNATIVE_VISIBILITY) == c.VISIBILITY_CLUSTER_LOCAL


def namespace_of(service: Object) -> str:
    return metadata(service).get("namespace") or "default"
