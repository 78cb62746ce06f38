"""How many replicas a component has, and who decides: HPA, KEDA, somebody else, or the spec alone.

========== ====================================================================================
hpa        a HorizontalPodAutoscaler on cpu or memory (the default of deployments)
keda       a ScaledObject on a Prometheus query, where KEDA is installed
external   OME makes none and never touches the count after the first one
none       groups of pods (MultiNode) of which nobody said that they should scale
========== ====================================================================================

``minReplicas: 0`` needs something that starts the first replica: Knative, KEDA, an external
autoscaler, or a gateway that does it (``scaling.fromZero`` in the configuration). An HPA never
does, so with an HPA alone one replica is kept, with a warning.

The class comes from the annotation ``ome.io/autoscalerClass``, else from ``kedaConfig.enableKeda``
of the component or the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object
from ome.rendering.component import Part
from ome.rendering.errors import RenderError
from ome.rendering.facts import Child
from ome.rendering.raw import child_metadata

NONE = "none"
_KEDA_METRIC = "tps"
_DEFAULT_QUERY = (
    "sum(avg_over_time(vllm:avg_generation_throughput_toks_per_s{{{selector}}}[5m]) < bool 10) "
    "* sum(rate(vllm:request_success_total{{{selector}}}[1m]) > bool 0.50)"
)


@dataclass(frozen=True)
class Scaling:
    """``low`` and ``high`` bound the replicas; ``scaler`` is one of the classes above."""

    low: int
    high: int
    scaler: str
    warnings: tuple[str, ...] = ()
    at_zero: str = ""
    """What starts a first replica; empty where nothing does."""

    @property
    def bounds(self) -> tuple[int, int] | None:
        """Into which a count is brought back; None where it is somebody else's alone."""
        return None if self.scaler == c.AUTOSCALER_EXTERNAL else (self.low, self.high)


def scaling(part: Part, *, default: str = c.AUTOSCALER_HPA) -> Scaling:
    """``default`` is the class where nobody names one."""
    low = part.merged.get("minReplicas")
    low = c.DEFAULT_MIN_REPLICAS if low is None else int(low)
    high = int(part.merged.get("maxReplicas") or 0) or c.DEFAULT_MAX_REPLICAS.get(part.name, 1)
    scaler, warnings = _class(part, default)
    starts = _STARTS.get(scaler, "")
    hpa = scaler == c.AUTOSCALER_HPA
    if hpa and part.mode == c.MODE_RAW and part.given.config.scales_from_zero:
        starts = "a request starts it"
    if low == 0 and hpa and not starts:
        low = 1
        warnings = [
            *warnings,
            f"spec.{part.name}.minReplicas is 0, and nothing here starts a first replica when it "
            "is needed: one is kept. Scaling from zero takes Knative, KEDA "
            "(kedaConfig.enableKeda) or the gateway of ome up",
        ]
    return Scaling(low, max(low, high), scaler, tuple(warnings), starts)


_STARTS = {
    c.AUTOSCALER_KEDA: "KEDA starts it when its query says so",
    c.AUTOSCALER_EXTERNAL: f"whoever scales it ({c.A_AUTOSCALER_CLASS}: external) starts it",
}


def _class(part: Part, default: str) -> tuple[str, list[str]]:
    named = part.annotations.get(c.A_AUTOSCALER_CLASS)
    if named is not None and named not in c.AUTOSCALER_CLASSES:
        raise RenderError(
            "InvalidSpec",
            f"there is no autoscaler class {named}",
            field=f"metadata.annotations[{c.A_AUTOSCALER_CLASS}]",
            fix=f"use one of {', '.join(c.AUTOSCALER_CLASSES)}",
        )
    scaler = named or (c.AUTOSCALER_KEDA if keda_config(part).get("enableKeda") else default)
    if scaler != c.AUTOSCALER_KEDA:
        return scaler, []
    if not part.given.config.keda.enabled:
        text = f"kedaConfig.enableKeda is false in {c.INFERENCE_SERVICE_CONFIG}"
    elif not part.given.capabilities.has(x.SCALED_OBJECTS):
        text = f"the cluster has no ScaledObjects; install {x.PROJECTS[x.SCALED_OBJECTS]}"
    else:
        return scaler, []
    instead = default if default != NONE else c.AUTOSCALER_EXTERNAL
    return instead, [f"the {part.name} asks for KEDA, but {text}. Until then: {instead}"]


def keda_config(part: Part) -> Mapping[str, Any]:
    """The component's ``kedaConfig`` laid over the service's, key by key."""
    general = (part.service.get("spec") or {}).get("kedaConfig") or {}
    return {**general, **(part.merged.get("kedaConfig") or {})}


def autoscaler(
    part: Part, given: Scaling, target: Mapping[str, str], labels: Mapping[str, str]
) -> tuple[list[Child], list[str]]:
    """The object that scales ``target`` (apiVersion, kind, name), and warnings."""
    if given.scaler == c.AUTOSCALER_HPA:
        return _hpa(part, given, target, labels)
    if given.scaler == c.AUTOSCALER_KEDA:
        return _scaled_object(part, given, target, labels)
    return [], []


# --- HorizontalPodAutoscaler ----------------------------------------------------------------------


_BEHAVIOR: Object = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}
"""What a server fills into an empty one, written out: applied as ``{}`` it would be filled at the
creation and emptied by the next change, so that two equal services had unequal autoscalers."""


def _hpa(
    part: Part, given: Scaling, target: Mapping[str, str], labels: Mapping[str, str]
) -> tuple[list[Child], list[str]]:
    metric, warnings = _metric(part)
    obj = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": child_metadata(part.service, part.base_name, labels, part.annotations),
        "spec": {
            "scaleTargetRef": dict(target),
            "minReplicas": max(1, given.low),
            "maxReplicas": max(1, given.high),
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": metric,
                        "target": {
                            "type": "Utilization",
                            "averageUtilization": _utilization(part),
                        },
                    },
                }
            ],
            "behavior": _BEHAVIOR,
        },
    }
    return [Child(r.HORIZONTAL_POD_AUTOSCALERS, obj)], warnings


def _metric(part: Part) -> tuple[str, list[str]]:
    asked = part.merged.get("scaleMetric") or part.annotations.get(c.A_AUTOSCALER_METRICS) or "cpu"
    if asked in ("cpu", "memory"):
        return asked, []
    return "cpu", [
        f"spec.{part.name}.scaleMetric {asked} is not something a HorizontalPodAutoscaler "
        "measures; cpu is used. For request metrics use the Serverless mode or KEDA"
    ]


def _utilization(part: Part) -> int:
    annotated: Any = part.annotations.get(c.A_TARGET_UTILIZATION)
    target = annotated or part.merged.get("scaleTarget") or c.DEFAULT_CPU_UTILIZATION
    try:
        return int(target)
    except ValueError as error:
        raise RenderError(
            "InvalidSpec",
            f"{c.A_TARGET_UTILIZATION} is {target!r}, not a number",
            field=f"metadata.annotations[{c.A_TARGET_UTILIZATION}]",
            fix="use a whole number from 1 to 100",
        ) from error


# --- ScaledObject ---------------------------------------------------------------------------------


def _scaled_object(
    part: Part, given: Scaling, target: Mapping[str, str], labels: Mapping[str, str]
) -> tuple[list[Child], list[str]]:
    name = names.keep_or_rename(
        names.scaled_object_name(part.base_name),
        names.legacy_scaled_object_name(part.base_name),
        part.given.observed.of(x.SCALED_OBJECTS),
    )
    trigger, warnings = _trigger(part)
    obj = {
        "apiVersion": x.SCALED_OBJECTS.api_version,
        "kind": x.SCALED_OBJECTS.kind,
        "metadata": child_metadata(
            part.service,
            name,
            {key: value for key, value in labels.items() if key != "k8slens-edit-resource-version"},
            part.annotations,
        ),
        "spec": {
            "scaleTargetRef": dict(target),
            "minReplicaCount": given.low,
            "maxReplicaCount": max(1, given.high),
            "triggers": [trigger],
        },
    }
    return [Child(x.SCALED_OBJECTS, obj)], warnings


def _trigger(part: Part) -> tuple[Object, list[str]]:
    """Annotations go before ``kedaConfig``, which goes before the operator's configuration."""
    config, defaults = keda_config(part), part.given.config.keda

    def value(annotation: str, key: str, default: str) -> str:
        return str(part.annotations.get(annotation) or config.get(key) or default)

    operator = value(c.A_KEDA_OPERATOR, "scalingOperator", defaults.operator)
    warnings = []
    if operator.startswith("Less"):
        warnings.append(
            f"scalingOperator {operator} of the {part.name} has no effect: KEDA asks for more "
            "replicas as the query's value grows. Write the query so that more means more"
        )
    trigger: Object = {
        "type": "prometheus",
        "metadata": {
            "serverAddress": value(
                c.A_KEDA_SERVER_ADDRESS, "promServerAddress", defaults.server_address
            ),
            "metricName": part.merged.get("scaleMetric") or _KEDA_METRIC,
            "query": _query(part, config, defaults.query),
            "threshold": value(c.A_KEDA_THRESHOLD, "scalingThreshold", defaults.threshold),
            "operator": operator,
        },
    }
    reference = config.get("authenticationRef") or {}
    if reference.get("name"):
        if config.get("authModes"):
            trigger["metadata"]["authModes"] = str(config["authModes"])
        trigger["authenticationRef"] = {
            "name": reference["name"],
            "kind": reference.get("kind") or "TriggerAuthentication",
        }
    return trigger, warnings


def _query(part: Part, config: Mapping[str, Any], default: str) -> str:
    """``%s`` in a custom query is the name of the service, which is what metrics carry."""
    annotated = part.annotations.get(c.A_KEDA_QUERY)
    if annotated:
        return annotated
    service = part.labels[c.L_INFERENCE_SERVICE]
    custom = config.get("customPromQuery") or default
    if custom:
        return str(custom).replace("%s", service)
    return _DEFAULT_QUERY.format(selector=f'ome_io_inferenceservice="{service}"')
