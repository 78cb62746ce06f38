"""``status.modelStatus``: the older summary of the same facts, which existing tools read.

It speaks of the engine alone. Its reasons are an enumeration of the API, coarser than those of the
conditions; :data:`FAILURES` says which condition reason is which of them. A failure that is over is
not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ome.api import constants as c
from ome.api.inferenceservice import FailureReason as F
from ome.apimachinery.objects import Object
from ome.rendering.componentstatus import copies_of
from ome.rendering.failures import whereabouts
from ome.rendering.statusinput import Problem, StatusInput
from ome.rendering.workload import Verdict, broken_pods

FAILURES: Final[Mapping[str, F]] = {
    "BaseModelNotFound": F.BASE_MODEL_NOT_FOUND,
    "BaseModelDisabled": F.BASE_MODEL_DISABLED,
    "ModelNotReady": F.BASE_MODEL_NOT_READY,
    "ModelDownloading": F.BASE_MODEL_NOT_READY,
    "ModelFailed": F.BASE_MODEL_NOT_READY,
    "ModelFormatUnknown": F.BASE_MODEL_NOT_READY,
    "ModelNotReachable": F.BASE_MODEL_NOT_READY,
    "RuntimeNotFound": F.RUNTIME_NOT_RECOGNIZED,
    "RuntimeDisabled": F.RUNTIME_DISABLED,
    "RuntimeIncompatible": F.NO_SUPPORTING_RUNTIME,
    "NoRuntimes": F.NO_SUPPORTING_RUNTIME,
    "NoRuntimeFits": F.NO_SUPPORTING_RUNTIME,
    "FineTunedWeightsNotFound": F.FINE_TUNED_WEIGHTS_NOT_FOUND,
    "FineTunedWeightsDisabled": F.FINE_TUNED_WEIGHTS_DISABLED,
    "WeightsOfAnotherModel": F.FINE_TUNE_WEIGHT_LOAD_FAILED,
    "WeightsNotCombinable": F.FINE_TUNE_WEIGHT_LOAD_FAILED,
}
_PASSING: Final = frozenset({"ModelNotReady", "ModelDownloading", "ModelFormatUnknown"})
"""Problems that time solves: nothing has failed."""


def model_status(given: StatusInput, verdicts: Mapping[str, Verdict]) -> Object:
    verdict = verdicts.get(c.ENGINE)
    if given.problem is not None:
        return _stopped(given.problem, verdict)
    if verdict is None or verdict.status == "Unknown":
        return _states("InProgress", "Pending", "Pending")
    if verdict.failure is not None and verdict.status != "True":
        status = _states("BlockedByFailedLoad", "Pending", "FailedToLoad")
        failure = verdict.failure
        info: Object = {"reason": str(F.MODEL_LOAD_FAILED), "message": failure.message}
        if failure.exit_code is not None:
            info["exitCode"] = failure.exit_code
        if failure.time:
            info["time"] = failure.time
        pods = given.pods.get(c.ENGINE, ())
        status["lastFailureInfo"] = {**info, **whereabouts(failure, pods)}
        status["modelCopies"] = {
            "failedCopies": broken_pods(pods),
            "totalCopies": copies_of(given, len(pods)),
        }
        return status
    if given.model.reason == "ModelFailed" and verdict.status != "True":
        status = _states("BlockedByFailedLoad", "Pending", "FailedToLoad")
        status["lastFailureInfo"] = _info("ModelFailed", given.model.waiting)
        return status
    if verdict.status != "True":
        return _states("InProgress", "Pending", "Pending" if given.model.waiting else "Loading")
    status = _states(
        "InProgress" if verdict.rolling else "UpToDate",
        "Loaded",
        "Loading" if verdict.rolling else "Loaded",
    )
    copies = copies_of(given, len(given.pods.get(c.ENGINE, ())))
    status["modelCopies"] = {"failedCopies": 0, "totalCopies": copies}
    return status


def _stopped(problem: Problem, verdict: Verdict | None) -> Object:
    """Nothing could be applied. What was applied before may serve on."""
    active = "Loaded" if verdict is not None and verdict.status == "True" else "Pending"
    if problem.code in _PASSING:
        return _states("InProgress", active, "Pending")
    status = _states("InvalidSpec", active, "FailedToLoad")
    status["lastFailureInfo"] = _info(problem.code, problem.message)
    return status


def _info(code: str, message: str) -> Object:
    return {"reason": str(FAILURES.get(code, F.INVALID_PREDICTOR_SPEC)), "message": message}


def _states(transition: str, active: str, target: str) -> Object:
    return {
        "transitionStatus": transition,
        "modelRevisionStates": {"activeModelState": active, "targetModelState": target},
    }
