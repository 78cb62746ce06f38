"""A client for commands that change a cluster."""

from __future__ import annotations

from pathlib import Path

from ome.cli.errors import CliError
from ome.cli.target import Context
from ome.kube import Client, KubeError, connect


async def connected(context: Context) -> Client:
    """Of the kubeconfig and context that were given, else those of kubectl. Raises CliError."""
    path = Path(context.kubeconfig) if context.kubeconfig else None
    try:
        client = await connect(kubeconfig=path, context=context.context, timeout=60.0)
        await client.request("GET", "/version")
    except KubeError as error:
        raise CliError(str(error)) from error
    return client
