"""From a kubeconfig, or nothing, to a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ome.kube.client import Client


async def connect(
    kubeconfig: Path | str | None = None, context: str | None = None, **options: Any
) -> Client:
    """A client for what :func:`ome.kube.config.find_endpoint` finds. Sends nothing yet.

    ``options`` are those of :class:`Client`. Raises ConfigError.
    """
    from ome.kube.config import find_endpoint

    path = None if kubeconfig is None else Path(kubeconfig)
    return Client(endpoint=find_endpoint(path, context or ""), **options)
