"""``ome operator``: OME's controllers and webhooks for a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import click

from ome.cli.errors import CliError, usage
from ome.cli.target import Context

_LOOPBACK = ("127.", "localhost", "[::1]")


@click.command()
@click.option("--kubeconfig", metavar="FILE", help="Run outside of the cluster, against this one.")
@click.option("--context", "name", metavar="NAME", help="A context of the kubeconfig.")
@click.option(
    "-n", "--namespace", metavar="NAME", help="Where the configuration is.  [$POD_NAMESPACE, ome]"
)
@click.option(
    "--webhook-url",
    metavar="URL",
    help="https://HOST:PORT under which the API server reaches us: registers the webhooks there. "
    "For operators outside of the cluster.",
)
@click.option(
    "--webhook-listen",
    metavar="HOST:PORT",
    help="Where webhooks are served.  [:9443, or the port of --webhook-url]",
)
@click.option("--no-webhooks", is_flag=True, help="Serve no webhooks.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=":8080",
    show_default=True,
    help="Where health and metrics are served.",
)
@click.option("--no-leader-election", is_flag=True, help="Act at once; for a single replica.")
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="How long webhooks are still answered after SIGTERM.",
)
@click.option(
    "--lease-seconds",
    type=click.FloatRange(min=1),
    default=15.0,
    show_default=True,
    help="After so long without a sign of the leader another replica takes over.",
)
@click.option(
    "--catalog",
    type=click.BOOL,
    default=False,
    metavar="true|false",
    help="Put the shipped runtimes and accelerator classes on the cluster.",
)
@click.option(
    "--catalog-models",
    envvar="OME_CATALOG_MODELS",
    default="[]",
    metavar="JSON",
    help="With --catalog: these shipped models too, as a list of names.  [$OME_CATALOG_MODELS]",
)
@click.pass_obj
def command(
    context: Context,
    kubeconfig: str | None,
    name: str | None,
    namespace: str | None,
    webhook_url: str | None,
    webhook_listen: str | None,
    no_webhooks: bool,
    listen: str,
    no_leader_election: bool,
    drain_seconds: float,
    lease_seconds: float,
    catalog: bool,
    catalog_models: str,
) -> None:
    """Run OME's controllers and webhooks against a Kubernetes cluster, until SIGTERM.

    In a pod it finds the cluster by itself; elsewhere give --kubeconfig or --context. Logs are JSON
    lines on standard error; health and metrics are at /healthz, /readyz and /metrics.
    """
    if webhook_url and no_webhooks:
        raise usage("--webhook-url and --no-webhooks contradict each other")
    kubeconfig, name = kubeconfig or context.kubeconfig, name or context.context
    where = "" if no_webhooks else webhook_listen or _listen(webhook_url or "")

    from ome.cli import jsonlogs, operator, shipped

    objects = shipped.chosen(shipped.names(catalog_models)) if catalog else []
    jsonlogs.log_json()

    async def work() -> None:
        from ome.kube import ConfigError, connect

        path = Path(kubeconfig) if kubeconfig else None
        try:
            client = await connect(kubeconfig=path, context=name)
        except ConfigError as error:
            raise CliError(str(error)) from error
        async with client:
            if not operator.in_cluster(client) and not webhook_url and not no_webhooks:
                raise usage(
                    "outside of a cluster the API server needs to know where the webhooks are",
                    "Give --webhook-url https://HOST:PORT, or --no-webhooks to do without",
                )
            options = operator.Options(
                namespace=operator.namespace_of(client, namespace or context.namespace),
                listen=listen,
                webhook_listen=where,
                webhook_url=webhook_url or "",
                elect=not no_leader_election,
                drain=drain_seconds,
                lease_duration=lease_seconds,
                catalog=tuple(objects),
            )
            await operator.run(client, options)

    asyncio.run(work())


def _listen(url: str) -> str:
    """Where to listen for a URL: on loopback if that is where it leads, else everywhere."""
    if not url:
        return ":9443"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError as error:
        raise usage(f"--webhook-url {url}: {error}", "Write https://HOST:PORT") from error
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if host.startswith(_LOOPBACK) else f":{port}"
