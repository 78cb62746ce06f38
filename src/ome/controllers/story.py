"""What a change of readiness means, as the event that tells it: pure.

A service's story is told by few events: what was created, changed and deleted (the executor), when
it is ready and when no longer, each new problem once, and how an update ended. Stages on the way
are in the status alone. A reason that stays is no news, whatever its message says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ome.api import conditions as cond
from ome.api.reasons import PROGRESS, REASONS, Outlook

_ROLLING: Final = frozenset({"RollingUpdate", "UpdateFailing"})


@dataclass(frozen=True)
class Told:
    warning: bool
    reason: str
    message: str

    @property
    def may_pass(self) -> bool:
        """True for problems that often are over before anybody has read of them."""
        known = REASONS.get(self.reason)
        return self.warning and known is not None and known.outlook is Outlook.PASSES


def of(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Told | None:
    """From the condition Ready before and after; None where nothing begins or ends."""
    before, after = was.get("status"), now.get("status")
    reason, message = str(now.get("reason") or ""), str(now.get("message") or "")
    if after == "True" and before != "True":
        return Told(False, "InferenceServiceReady", f"InferenceService [{name}] is Ready")
    if was.get("reason") == "ScaledToZero" and reason in PROGRESS:
        return None  # it is being woken
    if after != "True" and before == "True":
        text = f"InferenceService [{name}] is no longer Ready: {message}"
        return Told(True, "InferenceServiceNotReady", text)
    if reason == was.get("reason"):
        return None
    if after == "True" and reason == "UpdateFailing":
        return Told(True, reason, message)
    if after == "True" and reason == "Serving" and was.get("reason") in _ROLLING:
        return Told(False, "UpdateFinished", f"the update is through: {message}")
    if after == "False" and reason not in PROGRESS:
        return Told(True, reason or "NotReady", message)
    return None


def is_progress(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two statuses of a service tell the same but for sentences and counts, or are two
    stages of its way to Ready."""
    if not old or old.get("observedGeneration") != new.get("observedGeneration"):
        return False
    return _gist(old) == _gist(new) or (_is_on_its_way(old) and _is_on_its_way(new))


def _is_on_its_way(status: Mapping[str, Any]) -> bool:
    ready = cond.get(status.get("conditions"), cond.READY) or {}
    return ready.get("status") != "True" and ready.get("reason") in PROGRESS


def _gist(status: Mapping[str, Any]) -> tuple[Any, ...]:
    conditions = sorted(
        (str(c.get("type")), str(c.get("status")), str(c.get("reason")))
        for c in status.get("conditions") or ()
    )
    return status.get("url"), conditions
