"""What a benchmark's pod has told so far: its log, or that of the container before it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object, key_of
from ome.benchmark import outcome, storage
from ome.benchmark.outcome import Told
from ome.kube import Client, KubeError

log = logging.getLogger("ome.controllers.benchmarks")

LOG_BYTES = 2 << 20
_ERROR = "error: "
_SECONDS = 30


async def told(client: Client, pod: Object) -> Told:
    """Nothing where the log can't be had (any more)."""
    status = pod.get("status") or {}
    failed = _failed_fetch(status)
    if failed is not None:
        text = await _log(client, pod, storage.FETCH) or str(failed.get("message") or "")
        return Told(outcome="Failed", reason="DatasetUnusable", message=_why(text, failed))
    if not status.get("containerStatuses"):
        return Told()
    container = pod["spec"]["containers"][0]["name"]
    return outcome.read(await _log(client, pod, container))


def _failed_fetch(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for entry in status.get("initContainerStatuses") or ():
        ended = (entry.get("state") or {}).get("terminated") or {}
        if entry.get("name") == storage.FETCH and ended.get("exitCode"):
            found: Mapping[str, Any] = ended
            return found
    return None


def _why(text: str, ended: Mapping[str, Any]) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    said = errors or lines[-1:]
    code = f"fetching it ended with {ended.get('exitCode')} ({ended.get('reason')})"
    return " ".join(said)[:1000] if said else code


async def _log(client: Client, pod: Object, container: str) -> str:
    key, text = key_of(pod), bytearray()
    try:
        async with asyncio.timeout(_SECONDS):
            chunks = client.logs(
                key.name, key.namespace, container=container, limit_bytes=LOG_BYTES
            )
            async for chunk in chunks:
                text += chunk
    except (StatusError, KubeError, TimeoutError) as error:
        log.debug("%s: no log: %s", key, error)
    return text.decode(errors="replace")
