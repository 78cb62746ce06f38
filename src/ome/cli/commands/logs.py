"""``ome logs``: what the pods of a service write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from ome.api import resources as ours
from ome.api.constants import L_INFERENCE_SERVICE
from ome.apimachinery.errors import BadRequest, NotFound, StatusError
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import PODS
from ome.cli import views
from ome.cli.api import Api
from ome.cli.commands.get import not_found
from ome.cli.errors import CliError, from_status
from ome.cli.options import target
from ome.cli.target import Context


@click.command()
@click.argument("name", metavar="SERVICE|pod/NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on as more is written.")
@click.option("-c", "--container", default="", metavar="NAME", help="Which container of the pod.")
@click.option("--component", metavar="NAME", help="engine, decoder or router.")
@click.option("--tail", type=int, metavar="N", help="Only the last N lines.")
@click.option("-p", "--previous", is_flag=True, help="Of the run before the last restart.")
@target
def command(
    context: Context,
    name: str,
    follow: bool,
    container: str,
    component: str | None,
    tail: int | None,
    previous: bool,
) -> None:
    """Print what a service's engine writes (or any pod: pod/NAME)."""
    api = context.api()
    pods = _pods(api, name, component)
    params = {"follow": "true" if follow else "", "previous": "true" if previous else ""}
    params |= {"container": container, "tailLines": "" if tail is None else str(tail)}
    shown = {k: v for k, v in params.items() if v}
    if follow and len(pods) > 1:
        context.output.say(f"following the newest of {len(pods)} pods: {_name(pods[-1])}")
        pods = pods[-1:]
    for pod in pods:
        prefix = f"[{_name(pod)}] ".encode() if len(pods) > 1 else b""
        _copy(context, api, pod, shown, prefix)


def _pods(api: Api, name: str, component: str | None) -> list[Object]:
    """The pods that are meant, oldest first."""
    kind, slash, rest = name.partition("/")
    if slash and kind in ("pod", "pods", "po"):
        pod = api.find(PODS, rest, api.namespace)
        if pod is None:
            there = [_name(p) for p in api.list(PODS, api.namespace)]
            raise not_found(PODS, rest, api.namespace, there)
        return [pod]
    wanted = rest if slash else name
    service = api.find(ours.INFERENCE_SERVICES, wanted, api.namespace)
    if service is None:
        there = [_name(s) for s in api.list(ours.INFERENCE_SERVICES, api.namespace)]
        raise not_found(ours.INFERENCE_SERVICES, wanted, api.namespace, there)
    labels = f"{L_INFERENCE_SERVICE}={wanted}"
    labels += f",component={component}" if component else ""
    pods = api.list(PODS, api.namespace, labels=labels)
    if not pods:
        raise CliError(
            f"InferenceService {wanted} has no pod yet: {views.why(service) or 'starting'}",
            remedy=f"'ome describe isvc {wanted}' shows more",
        )
    return sorted(pods, key=lambda p: str(p["metadata"].get("creationTimestamp")))


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _copy(context: Context, api: Api, pod: Object, params: dict[str, str], prefix: bytes) -> None:
    path = PODS.path(pod["metadata"]["namespace"], _name(pod), "log")
    try:
        with api.transport.stream("GET", path, params=params) as chunks:
            for piece in _prefixed(chunks, prefix) if prefix else chunks:
                context.output.raw(piece)
    except (BadRequest, NotFound) as error:
        raise CliError(error.message, where=f"pod {_name(pod)}") from error
    except StatusError as error:
        raise from_status(error, "logs", f"pod {_name(pod)}") from error


def _prefixed(chunks: Iterable[bytes], prefix: bytes) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield prefix + line + b"\n"
    if rest:
        yield prefix + rest + b"\n"
