"""What it means that the API server does not take an object, and what can be done about it.

A refusal is an answer that repeating the request does not change: the object is invalid, a policy
or a webhook says no, a right or room in a quota is missing. It goes into the service's status in
the server's own words, with the remedy that fits; the service is looked at again after a pause
that grows, because what stands in the way may be taken away without any change that OME sees.
"""

from __future__ import annotations

from typing import Final

from ome.api import external as x
from ome.apimachinery.errors import BadRequest, Forbidden, Invalid, StatusError
from ome.controllers.executor import KindGone, NameTaken
from ome.rendering.status import RENDERED, Problem

_WORDS: Final = (
    ("exceeded quota", "raise the quota of the namespace, or ask for less"),
    ("failed calling webhook", "bring that webhook's server back, or remove its registration"),
    ("admission webhook", "change what its message names, or ask who runs that webhook"),
    ("validatingadmissionpolicy", "change what its message names, or ask who set up that policy"),
    ("field not declared in schema", "install a newer version of that kind's project"),
    ("is being terminated", "wait until the namespace is gone, and use another one"),
    ("cannot create resource", "give OME's service account that right (the chart's ClusterRole)"),
    ("cannot patch resource", "give OME's service account that right (the chart's ClusterRole)"),
    ("attempting to grant", "give OME's service account that right (the chart's ClusterRole)"),
)
"""What helps, by the server's words; the first that is in them counts."""
_OTHERWISE: Final = "correct what the message names, in the service or its runtime"

_PAUSES: Final = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0)


def is_refusal(error: StatusError) -> bool:
    """True where the server will not take the object however often it is asked."""
    if isinstance(error, Invalid | Forbidden | BadRequest):
        return True
    # What an older CRD does not know: server-side apply answers with an internal error.
    said = error.message
    return "field not declared in schema" in said or "failed calling webhook" in said


def problem_of(error: StatusError | NameTaken | KindGone) -> Problem:
    if isinstance(error, KindGone):
        project = x.PROJECTS.get(error.resource, error.resource.kind)
        fix = f"install {project}, or choose settings that need none"
        return Problem(RENDERED, "MissingKind", str(error), fix)
    if isinstance(error, NameTaken):
        fix = "" if error.passing else "rename the service, or remove that object"
        return Problem(RENDERED, "NameTaken", str(error), fix)
    said = error.message.lower()
    fix = next((what for words, what in _WORDS if words in said), _OTHERWISE)
    return Problem(RENDERED, "Refused", error.message, fix)


def pause(error: Exception, attempts: int) -> float:
    """Seconds until the next look, after so many refusals one after the other."""
    if isinstance(error, NameTaken) and error.passing:
        return _PAUSES[0]
    return _PAUSES[min(attempts, len(_PAUSES)) - 1]
