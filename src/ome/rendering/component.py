"""One component on its way to children: what all modes of deployment need of it.

:class:`Part` holds the merged spec with labels and annotations; its methods make the pods (one kind
of pod, or leader and worker) and decide which template a workload gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.api import names
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.rendering import env, inject, inputs, rollout
from ome.rendering.facts import RenderInput
from ome.rendering.merge import merge_container, merge_pod, pod_spec_of
from ome.rendering.metadata import component_annotations, component_labels, queue_annotations
from ome.rendering.modelfiles import ModelFiles
from ome.rendering.pod import finish, place_runner
from ome.rendering.weights import Weights


class Part:
    """A merged component. ``merged`` is only read."""

    def __init__(
        self,
        given: RenderInput,
        name: str,
        merged: Object,
        mode: str,
        files: ModelFiles | None,
        weights: Weights | None,
    ) -> None:
        self.given = given
        self.service = given.service
        self.name = name
        self.merged = merged
        self.mode = mode
        self.own: Mapping[str, Any] = (given.service.get("spec") or {}).get(name) or {}
        self.serves = name != c.ROUTER
        self.weights = weights if self.serves else None
        self._files = files if self.serves else None
        self._accelerator = given.accelerators.get(name)
        service_name = metadata(self.service)["name"]
        self.base_name = names.component_name(service_name, name)
        self.app = names.app_label(service_name, name)
        self.labels = component_labels(
            self.service, name, merged, given.model, given.runtime, self.weights
        )
        self.annotations = component_annotations(
            self.service, merged, given.model, given.runtime, self.weights
        )

    # -- pods ---------------------------------------------------------------------------------

    def single_pod(self, *, probe_default: bool = True) -> tuple[Object, Object]:
        """(pod spec, its main container) of a component whose pods are all alike."""
        leader = self.merged.get("leader")
        if leader:
            return self._member("leader", leader, leader, 0, probe_default=probe_default)
        return self._pod(
            pod_spec_of(self.merged),
            self.merged.get("runner"),
            pods=1,
            where=f"spec.{self.name}",
            own=self.own,
            probe_default=probe_default,
        )

    @property
    def workers(self) -> int:
        """Worker pods beside each leader."""
        worker = self.merged.get("worker")
        if worker is None:
            return 0
        return int(worker["size"]) if worker.get("size") is not None else 1

    def group_pods(self) -> tuple[tuple[Object, Object], tuple[Object, Object] | None]:
        """Leader and worker (None without workers), each as pod spec and main container.

        Both take the component's own pod spec as their base. A worker that says nothing of what
        to run runs what the leader runs: engines tell their rank by the environment.
        """
        size = self.workers
        leader = self.merged.get("leader") or {}
        head = self._member("leader", leader, leader, size)
        if not size:
            return head, None
        worker = self.merged.get("worker") or {}
        silent = not worker.get("runner") and not worker.get("containers")
        return head, self._member("worker", worker, leader if silent else worker, size)

    def _member(
        self, role: str, part: Object, runs: Object, size: int, *, probe_default: bool = False
    ) -> tuple[Object, Object]:
        base = pod_spec_of(self.merged)
        if runs.get("runner") or runs.get("containers"):
            base.pop("containers", None)
        spec = merge_pod(base, pod_spec_of(part))
        if runs is not part and runs.get("containers"):
            spec["containers"] = pod_spec_of(runs)["containers"]
        runner = self.merged.get("runner") if role == "leader" or runs is not part else None
        if runs.get("runner"):
            runner = merge_container(runner or {}, runs["runner"])
        elif runs.get("containers"):
            runner = None
        own = {**self.own, **(self.own.get(role) or {})}
        selector = {
            **(self.own.get("nodeSelector") or {}),
            **((self.own.get(role) or {}).get("nodeSelector") or {}),
        }
        return self._pod(
            spec,
            runner,
            pods=1 + size,
            where=f"spec.{self.name}.{role}",
            own={**own, "nodeSelector": selector},
            probe_default=probe_default,
        )

    def _pod(
        self,
        pod: Object,
        runner: Object | None,
        *,
        pods: int,
        where: str,
        own: Mapping[str, Any],
        probe_default: bool,
    ) -> tuple[Object, Object]:
        runner = copy_json(runner) if runner is not None else None
        if self.serves:
            self._load_model(pod, runner, pods, dict(own))
        else:
            account = names.router_account_name(metadata(self.service)["name"])
            pod.setdefault("serviceAccountName", account)
            if runner is not None:
                for key, value in sorted((self.merged.get("config") or {}).items()):
                    env.set_env(runner, key, str(value))
        index = place_runner(pod, runner, where)
        finish(pod, self.service, where, probe_default=probe_default)
        return pod, pod["containers"][index]

    def _load_model(self, pod: Object, runner: Object | None, pods: int, own: Object) -> None:
        given = self.given
        if runner is not None:
            injection = inject.injection(
                self.annotations,
                self._files,
                given.runtime,
                own,
                self._accelerator,
                given.entry,
                self.weights,
            )
            inject.into_runner(runner, injection, pods=pods)
        inject.into_pod(pod, self.annotations, self._files, self.weights)
        inject.placement(
            pod,
            files=self._files,
            runtime=given.runtime,
            accelerator=self._accelerator,
            own=own,
            merged_weights=self.weights is not None and self.weights.merged,
        )

    # -- templates ----------------------------------------------------------------------------

    def template(self, pod: Object, labels: Mapping[str, str] | None = None) -> Object:
        """A pod template with the component's labels (or those given) and annotations."""
        meta: Object = {"labels": dict(self.labels if labels is None else labels)}
        annotations = {**queue_annotations(self.labels, self._accelerator), **self.annotations}
        if annotations:
            meta["annotations"] = annotations
        return {"metadata": meta, "spec": pod}

    def decide(
        self,
        rendered: Object,
        live: Object | None,
        path: tuple[str, ...] = ("spec", "template"),
        settings: Object | None = None,
    ) -> rollout.Decision:
        """Which template the workload gets: see :mod:`ome.rendering.rollout`. ``settings`` is what
        of the configuration goes into it."""
        return rollout.decide(
            rendered,
            live,
            self.inputs().and_shared(settings),
            may_roll=self.given.may_roll,
            held=annotations_of(self.service).get(c.A_HOLD_ROLLOUT) == "true",
            path=path,
        )

    def inputs(self) -> rollout.Inputs:
        return inputs.of(self.given, self.name, self.mode, self._accelerator)
