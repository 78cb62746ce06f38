"""What admission adds to the pods of services and training jobs.

``mutate_pod`` is a pure function of the pod, the data of the ConfigMap ``inferenceservice-config``
and a look-up of fine-tuned weights. It guarantees:

* A pod without one of the two labels comes back as it is; so does one that asks for nothing.
* It may run any number of times on its own result (webhooks are called again when others change
  the pod): the second run changes nothing.
* What the pod's author wrote wins: variables, mounts, volumes, annotations.
* With errors the pod comes back unchanged, and *all* errors are told. Nothing raises.

The order is fixed: metrics, model-init, fine-tuned-adapter, serving-sidecar, RDMA, then the order
of init containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ome.admission import podconfig
from ome.admission.podagents import (
    Weights,
    inject_fine_tuned_adapter,
    inject_model_init,
    inject_serving_sidecar,
    order_init_containers,
)
from ome.admission.podedit import add_env, named
from ome.admission.podrdma import inject_rdma
from ome.api import constants as c
from ome.apimachinery.errors import FieldError
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, annotations_of, labels_of

DEFAULT_METRICS_PORT = "8080"


class PodReview(NamedTuple):
    pod: Object
    errors: list[FieldError]
    warnings: list[str]


def concerns(pod: Mapping[str, Any]) -> bool:
    """Whether the pod belongs to a service or a training job."""
    labels = labels_of(pod)
    return c.L_INFERENCE_SERVICE in labels or c.L_TRAINING_JOB in labels


def mutate_pod(pod: Object, config: podconfig.Data | None, weights: Weights) -> PodReview:
    """``config`` is ``data`` of the ConfigMap; None where there is none."""
    if not concerns(pod):
        return PodReview(pod, [], [])
    data = config or {}
    patched: Object = copy_json(pod)
    patched.setdefault("spec", {})
    errors: list[FieldError] = []
    warnings: list[str] = []
    add_metrics(patched, data, warnings)
    inject_model_init(patched, data, errors)
    inject_fine_tuned_adapter(patched, data, weights, errors)
    inject_serving_sidecar(patched, data, errors)
    inject_rdma(patched, data, errors, warnings)
    order_init_containers(patched)
    if errors:
        return PodReview(pod, list(dict.fromkeys(errors)), warnings)
    return PodReview(patched, [], warnings)


def add_metrics(pod: Object, config: podconfig.Data, warnings: list[str]) -> None:
    """Where Prometheus finds the pod's metrics, and whether Knative's proxy gathers them.

    A broken section stops no pod: it is a warning, and the pod's own annotations count.
    """
    settings, problems = podconfig.read_one(config, "metricsAggregator")
    warnings += [str(problem) for problem in problems]
    section = settings.metrics_aggregator
    given = section.raw
    aggregate = _switch(
        pod,
        c.A_ENABLE_METRIC_AGGREGATION,
        section.enable_metric_aggregation if given.get("enableMetricAggregation") else "",
    )
    scrape = _switch(
        pod,
        c.A_ENABLE_PROMETHEUS_SCRAPING,
        section.enable_prometheus_scraping if given.get("enablePrometheusScraping") else "",
    )
    proxy = named(pod["spec"].get("containers"), c.QUEUE_PROXY_CONTAINER)
    if aggregate and proxy is not None:
        _aggregate(proxy, annotations_of(pod))
    if scrape:
        port = c.AGGREGATE_METRICS_PORT if aggregate else c.QUEUE_PROXY_METRICS_PORT
        if proxy is None and c.A_PROMETHEUS_PORT not in annotations_of(pod):
            warnings.append(
                f"Prometheus will look at port {port}, where only Knative's proxy answers, and the "
                f"pod has none; set the annotation {c.A_PROMETHEUS_PORT}"
            )
        for key, value in (
            (c.A_PROMETHEUS_PATH, c.DEFAULT_METRICS_PATH),
            (c.A_PROMETHEUS_PORT, str(port)),
            (c.A_PROMETHEUS_SCRAPE, "true"),
        ):
            pod["metadata"]["annotations"].setdefault(key, value)


def _switch(pod: Object, key: str, configured: str) -> bool:
    """The annotation, filled in from the configuration where that says something."""
    present = annotations_of(pod).get(key)
    if present is None and configured:
        pod["metadata"]["annotations"] = {**annotations_of(pod), key: configured}
        present = configured
    return present == "true"


def _aggregate(proxy: Object, annotations: Mapping[str, str]) -> None:
    port = annotations.get(c.A_APP_METRICS_PORT) or DEFAULT_METRICS_PORT
    path = annotations.get(c.A_APP_METRICS_PATH) or c.DEFAULT_METRICS_PATH
    aggregated = c.AGGREGATE_METRICS_PORT
    add_env(
        proxy,
        [
            {"name": c.E_CONTAINER_METRICS_PORT, "value": port},
            {"name": c.E_CONTAINER_METRICS_PATH, "value": path},
            {"name": c.E_AGGREGATE_METRICS_PORT, "value": str(aggregated)},
        ],
    )
    ports = proxy.get("ports") or []
    if named(ports, c.AGGREGATE_METRICS_PORT_NAME) is None:
        new = {"name": c.AGGREGATE_METRICS_PORT_NAME, "containerPort": aggregated}
        proxy["ports"] = [*ports, {**new, "protocol": "TCP"}]
