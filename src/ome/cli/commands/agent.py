"""``ome agent``: the model agent of one node of a cluster."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from ome.cli.errors import CliError, usage
from ome.cli.target import Context


@click.command()
@click.option("--node-name", envvar="NODE_NAME", metavar="NAME", help="This node.  [$NODE_NAME]")
@click.option(
    "--models-root",
    default="/raid/models",
    show_default=True,
    metavar="DIR",
    help="Folder in which models are kept.",
)
@click.option(
    "--host-path",
    "host_paths",
    multiple=True,
    metavar="PATH=DIR",
    help="A path that models name, and where it is mounted here; may be repeated.",
)
@click.option(
    "--slots", type=click.IntRange(min=1), default=2, show_default=True, help="Downloads at once."
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=":8080",
    show_default=True,
    help="Where health, metrics and progress are served.",
)
@click.option(
    "--share",
    type=bool,
    default=False,
    show_default=True,
    metavar="true|false",
    help="Give models to other nodes, and take them from there.",
)
@click.option(
    "--share-listen",
    metavar="HOST:PORT",
    default=":8081",
    show_default=True,
    help="Where other agents get them.",
)
@click.option(
    "--advertise",
    envvar="POD_IP",
    metavar="HOST",
    help="The address of this node for other agents.  [$POD_IP]",
)
@click.option("--kubeconfig", metavar="FILE", help="Outside of a pod: the cluster.")
@click.option("--context", "name", metavar="NAME", help="A context of the kubeconfig.")
@click.option("-n", "--namespace", metavar="NAME", help="Where reports go.  [$POD_NAMESPACE, ome]")
@click.pass_obj
def command(
    context: Context,
    node_name: str | None,
    models_root: str,
    host_paths: tuple[str, ...],
    slots: int,
    listen: str,
    share: bool,
    share_listen: str,
    advertise: str | None,
    kubeconfig: str | None,
    name: str | None,
    namespace: str | None,
) -> None:
    """Bring this node's models to its disk, and report what is there, until SIGTERM.

    Logs are JSON lines on standard error; /healthz, /readyz, /metrics and /progress are served.

    With --share a fleet reads each model from its origin about once: one node does, the others wait
    for it and get it from there, verified by the hashes of the origin. Agents prove themselves with
    a key that they keep in the Secret ome-model-agent-peers; the bytes are not encrypted.
    """
    if not node_name:
        raise usage("which node is this?", "Give --node-name, or set NODE_NAME")
    folders = dict(_pair(text) for text in host_paths)
    kubeconfig, name = kubeconfig or context.kubeconfig, name or context.context

    from ome.cli import agent, jsonlogs

    jsonlogs.log_json()

    async def work() -> None:
        from ome.cli.operator import namespace_of
        from ome.kube import ConfigError, connect

        try:
            client = await connect(Path(kubeconfig) if kubeconfig else None, name)
        except ConfigError as error:
            raise CliError(str(error)) from error
        async with client:
            options = agent.Options(
                node_name=node_name,
                namespace=namespace_of(client, namespace or context.namespace),
                models_root=Path(models_root),
                host_paths=folders,
                slots=slots,
                listen=listen,
                share=share_listen if share else "",
                advertise=advertise or "",
            )
            await agent.run(client, options)

    os.umask(0o022)  # pods of any user read what the agent writes
    asyncio.run(work())


def _pair(text: str) -> tuple[str, Path]:
    path, equals, folder = text.partition("=")
    if not equals or not path.startswith("/") or not folder.startswith("/"):
        raise usage(f"--host-path {text} is not understood", "Write /path/of/models=/path/here")
    return path, Path(folder)
