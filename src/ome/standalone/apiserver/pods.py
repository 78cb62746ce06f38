"""What only pods can do: be bound to a node, and be evicted."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ome.apimachinery.errors import BadRequest, TooManyRequests
from ome.apimachinery.objects import Object, labels_of
from ome.apimachinery.resources import POD_DISRUPTION_BUDGETS
from ome.apimachinery.selectors import label_selector
from ome.standalone.apiserver import failures, lifecycle, writing
from ome.standalone.apiserver.codec import decode_stored
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.http import respond_object

_CREATED: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


async def bind(context: Context) -> web.StreamResponse:
    """Give a pod its node."""
    body = await writing.read_object(context)
    target: Any = body.get("target")
    node = target.get("name") if isinstance(target, dict) else None
    if not node or not isinstance(node, str):
        raise BadRequest("target.name, the node, is required")
    name = context.target.name

    def assign(pod: Object) -> Object:
        taken = pod["spec"].get("nodeName")
        if taken:
            why = f'pod {name} is already assigned to node "{taken}"'
            raise failures.conflict(context.kind, name, why, "binding")
        if "deletionTimestamp" in pod["metadata"]:
            why = f"pod {name} is being deleted, cannot be assigned to a host"
            raise failures.conflict(context.kind, name, why, "binding")
        status = pod.get("status") or {}
        conditions = _scheduled(status.get("conditions") or [])
        return {
            **pod,
            "spec": {**pod["spec"], "nodeName": node},
            "status": {**status, "conditions": conditions},
        }

    await context.core.engine.change(
        context.kind, context.target.namespace, name, assign, context.call, "binding"
    )
    return respond_object({**_CREATED, "code": 201}, status=201, warnings=context.call.warnings)


def _scheduled(conditions: list[Object]) -> list[Object]:
    others = [c for c in conditions if c.get("type") != "PodScheduled"]
    return [
        *others,
        {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": lifecycle.now_text(),
        },
    ]


async def evict(context: Context) -> web.StreamResponse:
    """Delete a pod, unless a PodDisruptionBudget says that none may go now.

    A budget without a status does not refuse: nobody counts pods for it.
    """
    body = await writing.read_object(context)
    target, engine = context.target, context.core.engine
    pod = engine.live(context.kind, target.namespace, target.name)
    budget = _exhausted_budget(context, pod)
    if budget is not None:
        raise TooManyRequests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            details={
                "causes": [
                    {
                        "reason": "DisruptionBudget",
                        "message": f"The disruption budget {budget} allows no disruption now",
                    }
                ],
                "retryAfterSeconds": 10,
            },
        )
    given = body.get("deleteOptions") or {}
    if not isinstance(given, dict):
        raise BadRequest("deleteOptions must be an object")
    options = writing.delete_options(given, context.query, context.call)
    await engine.delete(context.kind, target.namespace, target.name, options, context.call)
    return respond_object({**_CREATED, "code": 201}, status=201, warnings=context.call.warnings)


def _exhausted_budget(context: Context, pod: Object) -> str | None:
    phase = (pod.get("status") or {}).get("phase")
    if phase in ("Pending", "Succeeded", "Failed") or "deletionTimestamp" in pod["metadata"]:
        return None
    bucket = f"{POD_DISRUPTION_BUDGETS.group}/{POD_DISRUPTION_BUDGETS.plural}"
    for entry in context.core.store.select(bucket, context.target.namespace):
        budget = decode_stored(entry.data)
        selector = (budget.get("spec") or {}).get("selector")
        if not label_selector(selector).matches(labels_of(pod)):
            continue
        if (budget.get("status") or {}).get("disruptionsAllowed", 1) <= 0:
            return entry.name
    return None
