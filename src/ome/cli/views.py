"""What is shown of each kind: READY, WHY and a few facts. Pure, over raw objects.

WHY is one sentence: what a thing waits for, since when and how far it is, or what went wrong. It
is empty where nothing is to be said.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from typing import Any

from ome.apimachinery.objects import Object, condition, key_of, metadata
from ome.cli.output import seconds, size

SERVICE_COLUMNS = ("NAME", "MODEL", "RUNTIME", "READY", "AGE", "WHY")
MODEL_COLUMNS = ("NAME", "FORMAT", "SIZE", "READY", "AGE", "WHY")
RUNTIME_COLUMNS = ("NAME", "SERVES", "READY", "AGE", "WHY")


def service_row(obj: Object, now: float) -> tuple[str, ...]:
    spec = obj.get("spec") or {}
    return (
        name_of(obj),
        (spec.get("model") or {}).get("name") or "",
        runtime_of(obj),
        ready_of(obj),
        age(obj, now),
        why(obj),
    )


def model_row(obj: Object, now: float) -> tuple[str, ...]:
    spec = obj.get("spec") or {}
    return (
        name_of(obj),
        (spec.get("modelFormat") or {}).get("name") or "",
        spec.get("modelParameterSize") or "",
        ready_of(obj),
        age(obj, now),
        why(obj),
    )


def runtime_row(obj: Object, now: float) -> tuple[str, ...]:
    spec = obj.get("spec") or {}
    formats = []
    for entry in spec.get("supportedModelFormats") or ():
        name = (entry.get("modelFormat") or {}).get("name") or entry.get("name") or ""
        architecture = entry.get("modelArchitecture")
        formats.append(f"{name}/{architecture}" if architecture else name)
    shown = ", ".join(dict.fromkeys(f for f in formats if f))
    if len(shown) > 48:
        shown = f"{shown[:45].rstrip(', ')}…"
    return (name_of(obj), shown, ready_of(obj), age(obj, now), why(obj))


def runtime_of(obj: Object) -> str:
    """The runtime a service uses: the one it names, else the one that was selected for it."""
    named = ((obj.get("spec") or {}).get("runtime") or {}).get("name")
    if named:
        return str(named)
    for entry in (obj.get("status") or {}).get("conditions") or ():
        if entry.get("type") == "RuntimeSelected" and entry.get("status") == "True":
            words = (entry.get("message") or "").replace(",", " ").split()
            for kind in ("ClusterServingRuntime", "ServingRuntime"):
                if kind in words[:-1]:
                    return str(words[words.index(kind) + 1])
    return ""


def ready_of(obj: Object) -> str:
    """``True``, ``False`` or ``Unknown`` as the object's own status says."""
    if metadata(obj).get("deletionTimestamp"):
        return "False"
    kind = obj.get("kind") or ""
    status = obj.get("status") or {}
    if kind.endswith("ServingRuntime"):
        return "False" if (obj.get("spec") or {}).get("disabled") else "True"
    if kind.endswith("BaseModel"):
        state = status.get("state") or ""
        return "True" if state == "Ready" else "False" if state else "Unknown"
    return str((condition(obj, "Ready") or {}).get("status") or "Unknown")


def why(obj: Object) -> str:
    """Why it is not ready, or what else there is to say in one sentence."""
    if metadata(obj).get("deletionTimestamp"):
        waits = ", ".join(metadata(obj).get("finalizers") or ())
        return f"being deleted{f', waits for {waits}' if waits else ''}"
    kind = obj.get("kind") or ""
    status = obj.get("status") or {}
    if kind.endswith("ServingRuntime"):
        return "disabled" if (obj.get("spec") or {}).get("disabled") else ""
    if kind.endswith("BaseModel"):
        return _model_why(status)
    ready = condition(obj, "Ready")
    if ready is None:
        return "not looked at yet"
    pending = condition(obj, "UpdatePending") or {}
    if ready.get("reason") == "UpdateFailing":
        return str(ready.get("message"))
    if ready.get("status") == "True":
        return str(pending.get("message") or "") if pending.get("status") == "True" else ""
    return str(ready.get("message") or ready.get("reason") or "")


def _model_why(status: Mapping[str, Any]) -> str:
    if status.get("state") == "Ready":
        return ""
    progress = status.get("progress") or {}
    if progress.get("totalBytes"):
        return progress_text(progress)
    return str(status.get("message") or status.get("state") or "not looked at yet")


def progress_text(progress: Mapping[str, Any]) -> str:
    """``downloading 41.2 MB of 98.4 MB (42 %), 20.1 MB/s, 3 s left``."""
    done = progress.get("completedBytes") or 0
    total = progress.get("totalBytes") or 0
    share = f" ({done * 100 // total} %)" if total else ""
    text = f"{progress.get('phase') or 'downloading'} {size(done)} of {size(total)}{share}"
    if rate := progress.get("bytesPerSecond"):
        text += f", {size(rate)}/s"
    if (left := progress.get("remainingSeconds")) is not None:
        text += f", {seconds(left)} left"
    return text


def name_of(obj: Object) -> str:
    """The name; with its namespace where that isn't ``default``."""
    key = key_of(obj)
    return key.name if key.namespace in ("", "default") else str(key)


def age(obj: Object, now: float) -> str:
    stamp = metadata(obj).get("creationTimestamp")
    return seconds_short(now - epoch(stamp)) if stamp else ""


def epoch(stamp: str) -> float:
    """Seconds since 1970 of an RFC 3339 time in UTC (fractions are dropped)."""
    return float(calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")))


def seconds_short(count: float) -> str:
    """kubectl's way to write an age: ``5s``, ``3m``, ``2h``, ``4d``."""
    count = max(0, int(count))
    if count < 120:
        return f"{count}s"
    if count < 7200:
        return f"{count // 60}m"
    return f"{count // 3600}h" if count < 172800 else f"{count // 86400}d"


def age_text(stamp: str, now: float) -> str:
    """How long ago a moment was: ``3m``."""
    return seconds_short(now - epoch(stamp))
