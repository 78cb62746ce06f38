"""``ome model add``: a model object, with everything that can be read at its storage URI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object, Resource
from ome.cli.api import Api
from ome.cli.errors import CliError, from_status, usage
from ome.cli.options import target
from ome.cli.target import Context

if TYPE_CHECKING:
    from ome.cli.models import Look


@click.command(
    epilog="For example: ome model add hf://Qwen/Qwen3-0.6B; "
    "ome model add hf://org/private --secret hub-token -n team --dry-run"
)
@click.argument("uri")
@click.option("--name", metavar="NAME", help="Of the object.  [from the URI]")
@click.option("--cluster", is_flag=True, help="For all namespaces.  [so where no -n is given]")
@click.option("--path", metavar="PATH", help="Folder on the nodes.  [chosen by OME]")
@click.option("--secret", metavar="NAME", help="Secret with the token or keys for the storage.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these files.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these files.")
@click.option("--node-selector", multiple=True, metavar="KEY=VALUE", help="Only on such nodes.")
@click.option("--dry-run", is_flag=True, help="Print the object, create nothing.")
@click.option("--no-inspect", is_flag=True, help="Don't look at the files now; the nodes will.")
@click.option("--wait", is_flag=True, help="Wait until a node has it, and show how far it is.")
@click.option("--timeout", type=float, default=3600.0, show_default=True, metavar="SECONDS")
@click.option("-o", "--output", "form", type=click.Choice(("yaml", "json")), help="Print it so.")
@target
def command(
    context: Context,
    uri: str,
    name: str | None,
    cluster: bool,
    path: str | None,
    secret: str | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    node_selector: tuple[str, ...],
    dry_run: bool,
    no_inspect: bool,
    wait: bool,
    timeout: float,
    form: str | None,
) -> None:
    """Make a ClusterBaseModel (with -n NAMESPACE a BaseModel) for the model at URI.

    What the files say goes into the object: architecture, parameters, context length, capabilities
    and more. The nodes then download it.
    """
    from ome.cli import models

    if cluster and context.namespace:
        raise usage("--cluster and -n don't go together")
    spec = models.spec_of(uri)
    seen = None
    if not no_inspect and spec.scheme != "pvc":
        seen = _look(context, uri, local=spec.scheme == "local")
    parameters = {
        **({"include": ",".join(include)} if include else {}),
        **({"exclude": ",".join(exclude)} if exclude else {}),
    }
    storage = {
        **({"path": path} if path else {}),
        **({"key": secret} if secret else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"nodeSelector": dict(map(_pair, node_selector))} if node_selector else {}),
    }
    made = models.model_object(
        uri, name or models.name_for(spec), context.namespace or "", seen, storage
    )
    if dry_run:
        context.output.object(made, form or "yaml")
        return
    api = context.api()
    resource = models.KINDS[0] if context.namespace else models.KINDS[1]
    applied = _apply(api, resource, made)
    for text in api.transport.warnings():
        context.output.warn(text)
    if form:
        context.output.object(applied, form)
    else:
        context.output.print(f"{resource.kind} {made['metadata']['name']} is there")
    if wait:
        from ome.cli.modelwait import until_on_a_node

        until_on_a_node(api, context.output, resource, applied, timeout)


def _look(context: Context, uri: str, *, local: bool) -> Look | None:
    from ome.cli import models

    try:
        return models.look(uri)
    except CliError as error:
        if not local:
            raise
        context.output.warn(f"{error}. The node that has the files will say what they are")
        return None


def _apply(api: Api, resource: Resource, made: Object) -> Object:
    meta = made["metadata"]
    before = api.find(resource, meta["name"], meta.get("namespace") or "")
    if before is not None:
        old = ((before.get("spec") or {}).get("storage") or {}).get("storageUri")
        new = made["spec"]["storage"]["storageUri"]
        if old != new:
            raise CliError(
                f"there is a {resource.kind} '{meta['name']}' already, from {old}",
                remedy="Choose another name with --name, or delete it first",
            )
    try:
        return api.apply(resource, made, force=True, dry_run=False)
    except StatusError as error:
        raise from_status(error, f"the server refused {resource.kind} {meta['name']}") from error


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise usage(f"--node-selector {text} is not understood", "Write KEY=VALUE")
    return key, value
