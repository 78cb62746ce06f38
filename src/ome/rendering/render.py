"""From a service and everything that it refers to, to the children that should exist.

Pure and deterministic. What is rendered: ``RawDeployment`` engines, decoders and routers, the
external Service and the model's ConfigMap. A mode that this version can't render is a
:class:`~ome.rendering.errors.RenderError` that says so, never a service that silently does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ome.api import constants as c
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.rendering import env, extras, ingress, inject, raw, rollout
from ome.rendering.errors import RenderError
from ome.rendering.facts import Child, Component, Rendered, RenderInput
from ome.rendering.merge import merged_components, pod_spec_of
from ome.rendering.metadata import component_annotations, component_labels
from ome.rendering.mode import component_modes
from ome.rendering.modelfiles import ModelFiles, model_files
from ome.rendering.pod import finish, first_port, place_runner
from ome.rendering.raw import RawComponent

_SCALING_FIELDS = frozenset(
    {
        "minReplicas",
        "maxReplicas",
        "scaleTarget",
        "scaleMetric",
        "minAvailable",
        "maxUnavailable",
        "deploymentStrategy",
        "kedaConfig",
        "timeoutSeconds",
        "containerConcurrency",
        "canaryTrafficPercent",
    }
)
"""Fields of a component that never reach its pod template."""


def render(given: RenderInput) -> Rendered:
    """All children of the service. Raises :class:`RenderError` with what to change."""
    _refuse_what_is_missing(given)
    merged = merged_components(given.service, given.runtime)
    modes = component_modes(given.service, merged, knative=given.capabilities.knative)
    resolved = ingress.resolve(given.config.ingress, given.service)
    files = _files(given)
    entry = c.ROUTER if c.ROUTER in merged else c.ENGINE
    children: list[Child] = []
    components: dict[str, Component] = {}
    pending: list[str] = []
    warnings: list[str] = []
    if given.model is not None:
        children.append(extras.model_config(given.service, given.model, given.observed))
    for name, part in merged.items():
        _refuse_mode(name, modes[name])
        built = _RawBuilder(given, name, part, files, resolved.disable_creation, entry)
        children += built.children()
        components[name] = built.component()
        pending += [built.pending] if built.pending else []
        warnings += built.warnings
    port = components[entry].port
    if resolved.disable_creation:
        external = extras.external_service(given.service, entry, port)
        children += [external] if external else []
    url, address = _addresses(given, resolved, components[entry], port)
    return Rendered(
        children=sorted(children, key=lambda child: (_order(child), child.key)),
        components=components,
        entry_component=entry,
        url=url,
        address=address,
        pending=tuple(dict.fromkeys(pending)),
        warnings=tuple(warnings),
    )


def _refuse_what_is_missing(given: RenderInput) -> None:
    spec = given.service.get("spec") or {}
    if spec.get("engine") is None:
        raise RenderError(
            "NoEngine",
            "the service defines no engine, so nothing would serve the model",
            field="spec.engine",
            fix="add spec.engine (engine: {} takes everything from the runtime)",
        )
    if (spec.get("model") or {}).get("fineTunedWeights"):
        raise RenderError(
            "NotSupportedYet",
            "fine-tuned weights are not rendered by this version",
            field="spec.model.fineTunedWeights",
            fix="leave fineTunedWeights out to serve the base model",
        )


def _refuse_mode(component: str, mode: str) -> None:
    if mode != c.MODE_RAW:
        raise RenderError(
            "NotSupportedYet",
            f"the {component} asks for deployment mode {mode}, which this version does not render",
            field=f"spec.{component}",
            fix=f"use {c.MODE_RAW}: no leader or worker, minReplicas of at least 1",
        )


def _files(given: RenderInput) -> ModelFiles | None:
    if given.model is None:
        return None
    return model_files(given.model, metadata(given.service).get("namespace") or "default")


_ORDER = (
    r.CONFIG_MAPS,
    r.SERVICE_ACCOUNTS,
    r.ROLES,
    r.ROLE_BINDINGS,
    r.SERVICES,
    r.DEPLOYMENTS,
    r.HORIZONTAL_POD_AUTOSCALERS,
    r.POD_DISRUPTION_BUDGETS,
)


def _order(child: Child) -> int:
    """What others need goes first."""
    return _ORDER.index(child.resource)


def _addresses(
    given: RenderInput, resolved: ingress.Ingress, entry: Component, port: int
) -> tuple[str, str]:
    """(url, address): from outside and from inside the cluster."""
    namespace = metadata(given.service).get("namespace") or "default"
    domain = given.capabilities.cluster_domain
    inside = f"http://{entry.service_name}.{namespace}.svc.{domain}:{port}"
    if resolved.disable_creation:
        inside = ingress.service_url(given.service, port, domain)
        if resolved.path_template:
            path = ingress.path(resolved, given.service)
            return f"{resolved.scheme}://{resolved.domain}{path}", inside
        return inside, inside
    name = metadata(given.service)["name"]
    return f"{resolved.scheme}://{ingress.host(resolved, given.service, name)}", inside


class _RawBuilder:
    """Builds one RawDeployment component; short-lived."""

    def __init__(
        self,
        given: RenderInput,
        name: str,
        part: Object,
        files: ModelFiles | None,
        external: bool,
        entry: str,
    ) -> None:
        self._given = given
        self._name = name
        self._part = part
        self._external = external
        self._is_entry = name == entry
        self._own: Mapping[str, Any] = (given.service.get("spec") or {}).get(name) or {}
        self._accelerator = given.accelerators.get(name)
        self.warnings: list[str] = []
        self.pending = ""
        service = given.service
        labels = component_labels(service, name, part, given.model, given.runtime)
        labels[c.L_APP] = names.app_label(metadata(service)["name"], name)
        self._labels = labels
        self._annotations = component_annotations(service, part, given.model, given.runtime)
        self._pod, container = self._pod_spec(files)
        self.raw = RawComponent(service, name, part, labels, self._annotations, container)

    def component(self) -> Component:
        return Component(
            name=self._name,
            mode=c.MODE_RAW,
            base_name=self.raw.base_name,
            service_name=names.truncate_dns(self.raw.base_name),
            port=first_port(self.raw.container),
            app=self.raw.app,
        )

    def _pod_spec(self, files: ModelFiles | None) -> tuple[Object, Object]:
        where = f"spec.{self._name}"
        pod = pod_spec_of(self._part)
        runner = self._part.get("runner")
        serves = self._name != c.ROUTER
        if serves:
            if runner is not None:
                injection = inject.injection(
                    self._annotations,
                    files,
                    self._given.runtime,
                    dict(self._own),
                    self._accelerator,
                    self._given.entry,
                )
                inject.into_runner(runner, injection, pods=1)
            inject.into_pod(pod, self._annotations, files)
            inject.placement(
                pod,
                files=files,
                runtime=self._given.runtime,
                accelerator=self._accelerator,
                own=dict(self._own),
            )
        else:
            account = names.router_account_name(metadata(self._given.service)["name"])
            pod["serviceAccountName"] = account
            if runner is not None:
                for key, value in sorted((self._part.get("config") or {}).items()):
                    env.set_env(runner, key, str(value))
        index = place_runner(pod, runner, where)
        finish(pod, self._given.service, where)
        return pod, pod["containers"][index]

    def children(self) -> list[Child]:
        given, built = self._given, self.raw
        template = {
            "metadata": {
                "labels": dict(self._labels),
                **({"annotations": dict(self._annotations)} if self._annotations else {}),
            },
            "spec": self._pod,
        }
        decision = rollout.decide(
            template,
            given.observed.get(r.DEPLOYMENTS, built.base_name),
            self._inputs(),
            may_roll=given.may_roll,
            held=annotations_of(given.service).get(c.A_HOLD_ROLLOUT) == "true",
        )
        self.pending = decision.pending
        found: list[Child] = []
        if self._name == c.ROUTER:
            labels = {key: value for key, value in self._labels.items() if key != c.L_APP}
            found += extras.router_identity(given.service, labels)
        type_ = "ClusterIP"
        if self._is_entry and not self._external:
            type_ = extras.service_type(given.service)
        found.append(raw.component_service(built, given.observed, type_=type_))
        found.append(raw.deployment(built, decision.template, decision.annotation, given.observed))
        scalers, scaler_warnings = raw.autoscaler(built)
        budget, budget_warnings = raw.disruption_budget(built)
        self.warnings += [*scaler_warnings, *budget_warnings]
        return [*found, *scalers, budget]

    def _inputs(self) -> rollout.Inputs:
        service = self._given.service
        spec = service.get("spec") or {}
        own = {
            "part": {k: v for k, v in self._own.items() if k not in _SCALING_FIELDS},
            "model": spec.get("model"),
            "runtime": spec.get("runtime"),
            "accelerator": spec.get("acceleratorSelector"),
            "labels": metadata(service).get("labels"),
            "annotations": {
                key: value
                for key, value in annotations_of(service).items()
                if key not in c.NOT_PROPAGATED_ANNOTATIONS and key != c.A_HOLD_ROLLOUT
            },
        }
        shared = {
            "model": _model_inputs(self._given.model),
            "runtime": _runtime_inputs(self._given.runtime, self._name),
            "accelerator": rollout.relevant_spec(self._accelerator),
            "overrides": (self._given.entry or {}).get("acceleratorConfig")
            if self._accelerator
            else None,
        }
        return rollout.Inputs.of(own, shared, self._shared_names())

    def _shared_names(self) -> str:
        parts = []
        for obj in (self._given.runtime, self._given.model):
            if obj is not None:
                parts.append(f"{obj.get('kind')} {metadata(obj)['name']}")
        return " or ".join(parts) + " changed"


def _model_inputs(model: Object | None) -> Any:
    """What of a model reaches a template. Nothing that a node fills in later may be here."""
    if model is None:
        return None
    spec = model.get("spec") or {}
    storage = spec.get("storage") or {}
    return {
        "name": metadata(model)["name"],
        "namespace": metadata(model).get("namespace"),
        "kind": model.get("kind"),
        "path": storage.get("path"),
        "claim": storage.get("storageUri")
        if str(storage.get("storageUri") or "").startswith("pvc://")
        else None,
        "vendor": spec.get("vendor"),
        "category": annotations_of(model).get(c.A_MODEL_CATEGORY),
        "keys": [
            annotations_of(model).get(c.A_DECRYPTION_KEY_NAME),
            annotations_of(model).get(c.A_DECRYPTION_SECRET_NAME),
        ],
    }


def _runtime_inputs(runtime: Object | None, component: str) -> Any:
    """The runtime's part of one component, so that a router's change rolls no engine."""
    if runtime is None:
        return None
    spec = runtime.get("spec") or {}
    return {
        "name": metadata(runtime)["name"],
        "kind": runtime.get("kind"),
        "part": spec.get(f"{component}Config"),
        "nodeSelector": spec.get("nodeSelector"),
        "containers": spec.get("containers"),
    }
