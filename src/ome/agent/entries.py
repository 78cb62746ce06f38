"""The JSON values of the node's ConfigMap: status, metadata, progress and errors of one model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ome.agent.failures import Failed
from ome.storage import Progress


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ready(
    config: dict[str, Any] | None,
    warnings: Sequence[str],
    verified: dict[str, Any] | None = None,
    verifying: Progress | None = None,
) -> dict[str, Any]:
    """``verified``: what reading all bytes again came to; ``verifying``: that it goes on now."""
    progress = progress_of(verifying) if verifying is not None and verifying.updated else None
    return {
        **({"config": config} if config else {}),
        **({"warnings": list(warnings)} if warnings else {}),
        **({"verified": verified} if verified else {}),
        **({"progress": progress} if progress else {}),
    }


def updating(
    config: dict[str, Any] | None,
    progress: Progress,
    ahead: int,
    before: Failed | None = None,
    damage: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """``ahead``: how many downloads go first, for one that has not started. ``before``: why the
    attempt before this one failed, which is likely to be what somebody wants to know. ``damage``:
    what reading all bytes again found, where that is why files are fetched again."""
    entry: dict[str, Any] = {"config": config} if config else {}
    if damage is not None:
        named = ", ".join(str(item["path"]) for item in damage["damaged"][:3])
        entry |= {"verified": damage, "message": f"damaged on this disk, fetched again: {named}"}
    if before is not None:
        entry |= failed(before)
    if progress.updated:
        entry["progress"] = progress_of(progress)
    elif ahead:
        entry["waitingFor"] = f"{ahead} other download{'s' if ahead > 1 else ''}"
    return entry


def progress_of(progress: Progress) -> dict[str, Any]:
    value: dict[str, Any] = {
        "phase": progress.phase,
        "totalBytes": progress.total_bytes,
        "completedBytes": progress.completed_bytes,
        "totalFiles": progress.total_files,
        "completedFiles": progress.completed_files,
        "speedBytesPerSec": round(progress.rate, 1),
        "lastUpdated": timestamp(progress.updated),
    }
    if progress.eta_seconds is not None:
        value["etaSeconds"] = round(progress.eta_seconds)
    if progress.current_file:
        value["currentFile"] = progress.current_file
    if progress.stalled_since is not None:
        value["stalledSince"] = timestamp(progress.stalled_since)
    return value


def failed(failure: Failed) -> dict[str, Any]:
    error: dict[str, Any] = {
        "reason": failure.failure.reason,
        "message": failure.failure.message,
        "remedy": failure.failure.remedy,
        "since": timestamp(failure.since),
        "retrying": failure.failure.retryable,
    }
    if failure.attempts > 1:
        error["attempts"] = failure.attempts
    told = {k: v for k, v in error.items() if v != ""}
    sentence = "; ".join(filter(None, (failure.failure.message, failure.failure.remedy)))
    return {"message": sentence, "error": told}


def waiting_for(what: str) -> dict[str, Any]:
    return {"waitingFor": what}


def leaving(pod: str) -> dict[str, Any]:
    """The model is gone from the cluster, its files still have a user."""
    return {"waitingFor": f"pod {pod} to end"}


def parse_timestamp(text: str) -> float:
    """Seconds since the epoch; 0 for something else than a time."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
