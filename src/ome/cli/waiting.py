"""Waiting for a service, and saying all the while what it waits for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from ome.api import reasons
from ome.api import resources as ours
from ome.apimachinery.objects import Object, condition
from ome.cli import views
from ome.cli.api import Api
from ome.cli.errors import CliError
from ome.cli.output import Output

POLL_SECONDS = 0.15
STUCK_SECONDS = 60.0
"""So long a reason that does not pass by itself may stand. Not zero: what is missing may be in the
next file, and what has failed may be tried again."""


def until_ready(
    api: Api,
    output: Output,
    namespace: str,
    name: str,
    timeout: float,
    *,
    tick: Callable[[Object], None] | None = None,
    announce: bool = True,
) -> Object:
    """Returns the service when it is ready for its current generation.

    Shows progress as it goes; ``tick`` sees every state. Raises CliError with the reason that
    stands then: after ``timeout`` seconds, or when for STUCK_SECONDS nothing stood in its way but
    what somebody has to change.
    """
    began = time.monotonic()
    hopeful = began
    while True:
        service = api.find(ours.INFERENCE_SERVICES, name, namespace)
        if service is None:
            raise CliError(f"InferenceService {name} is gone", remedy="It was deleted meanwhile")
        if tick is not None:
            tick(service)
        if is_ready(service):
            output.clear()
            if announce:
                output.say(f"{name} is ready ({time.monotonic() - began:.1f} s)")
            return service
        text = what_it_waits_for(api, service)
        now = time.monotonic()
        waited = now - began
        if not is_stuck(service):
            hopeful = now
        output.status(f"{name}: {text} [{waited:.0f} s]", fact=_fact(text))
        if waited > timeout:
            raise CliError(
                f"InferenceService {name} is not ready after {timeout:.0f} s: {text}",
                remedy=f"'ome describe isvc {name}' shows more",
            )
        if now - hopeful > STUCK_SECONDS:
            raise CliError(
                f"InferenceService {name} does not become ready by itself: {text}",
                remedy=f"'ome describe isvc {name}' shows more; 'ome wait {name}' waits again",
            )
        time.sleep(POLL_SECONDS)


def is_stuck(service: Object) -> bool:
    """Whether somebody has to change something before the service can become ready."""
    known = reasons.reason((condition(service, "Ready") or {}).get("reason") or "")
    return known is not None and known.outlook is reasons.Outlook.STUCK


def is_ready(service: Object) -> bool:
    status = service.get("status") or {}
    current = status.get("observedGeneration") == service["metadata"].get("generation")
    return current and (condition(service, "Ready") or {}).get("status") == "True"


def what_it_waits_for(api: Api, service: Object) -> str:
    """The service's WHY, or its model's progress while that is being fetched."""
    model = model_of(api, service)
    if model is not None:
        progress = (model.get("status") or {}).get("progress") or {}
        if progress.get("totalBytes") and (model.get("status") or {}).get("state") != "Ready":
            return f"model {model['metadata']['name']}: {views.progress_text(progress)}"
    return views.why(service) or "starting"


def model_of(api: Api, service: Object) -> Object | None:
    """The model that a service names, of either scope."""
    ref = (service.get("spec") or {}).get("model") or {}
    if not ref.get("name"):
        return None
    namespace = service["metadata"].get("namespace") or ""
    for resource in (ours.BASE_MODELS, ours.CLUSTER_BASE_MODELS):
        if ref.get("kind") in (None, "", resource.kind):
            found = api.find(resource, ref["name"], namespace if resource.namespaced else "")
            if found is not None:
                return found
    return None


def _fact(text: str) -> str:
    """What stays while figures change: the sentence without them, but for each tenth of a share."""
    share = re.search(r"(\d)\d %", text)
    plain = re.sub(r"[\d.]+ ?[kMGT]?B?", "", text)
    return f"{plain} {share[1] if share else ''}"
