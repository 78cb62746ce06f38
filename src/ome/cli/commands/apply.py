"""``ome apply``: server-side apply of files, with errors that name the line."""

from __future__ import annotations

import click

from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object, Resource
from ome.cli import checks, kinds, manifests, waiting
from ome.cli.api import Api
from ome.cli.errors import CliError, ManyCliError, from_status
from ome.cli.manifests import Manifest
from ome.cli.options import file_option, target
from ome.cli.target import Context


@click.command()
@file_option()
@click.option("--wait", is_flag=True, help="Wait until the services in it are ready.")
@click.option("--timeout", type=float, default=900.0, show_default=True, metavar="SECONDS")
@click.option("--dry-run", is_flag=True, help="Ask the server, change nothing.")
@click.option("--force-conflicts", "force", is_flag=True, help="Take over fields of others.")
@target
def command(
    context: Context,
    files: tuple[str, ...],
    wait: bool,
    timeout: float,
    dry_run: bool,
    force: bool,
) -> None:
    """Create or change the objects in FILEs (server-side apply)."""
    entries = manifests.read(files)
    api = context.api()
    resources = checks.check_all(entries, lambda m: _resource(m, api))
    for done, (entry, resource) in enumerate(zip(entries, resources, strict=True)):
        try:
            verb = apply_one(api, entry, resource, force=force, dry_run=dry_run)
        except CliError as error:
            if done and not dry_run:
                error.remedy = f"{error.remedy}. " if error.remedy else ""
                error.remedy += f"The {done} object(s) before it were applied"
            raise
        finally:
            for text in api.transport.warnings():
                context.output.warn(f"{entry.where}: {entry.title}: {text}")
        context.output.print(f"{entry.title} {verb}{' (dry run)' if dry_run else ''}")
    if wait and not dry_run:
        services = [e for e in entries if e.object["kind"] == "InferenceService"]
        for entry in services:
            meta = entry.object["metadata"]
            namespace = meta.get("namespace") or api.namespace
            waiting.until_ready(api, context.output, namespace, meta["name"], timeout)


def _resource(manifest: Manifest, api: Api) -> Resource:
    return kinds.resource_of(manifest.object["kind"], manifest.object["apiVersion"], api)


def apply_one(api: Api, entry: Manifest, resource: Resource, *, force: bool, dry_run: bool) -> str:
    """Applies one object; returns what it came to: created, configured or unchanged."""
    wanted: Object = entry.object
    if resource.namespaced and not wanted["metadata"].get("namespace"):
        wanted = {**wanted, "metadata": {**wanted["metadata"], "namespace": api.namespace}}
    meta = wanted["metadata"]
    try:
        before = api.find(resource, meta["name"], meta.get("namespace") or "")
        after = api.apply(resource, wanted, force=force, dry_run=dry_run)
    except StatusError as error:
        raise refused(entry, error) from error
    if before is None:
        return "created"
    old, new = before["metadata"], after["metadata"]
    same = old.get("resourceVersion") == new.get("resourceVersion")
    return "unchanged" if same else "configured"


def refused(entry: Manifest, error: StatusError) -> CliError:
    """The server's refusal, with the lines of the fields that it names."""
    causes = [c for c in error.causes if c.path]
    if error.reason in ("Invalid", "BadRequest") and causes:
        problems = [entry.problem(cause) for cause in causes]
        return problems[0] if len(problems) == 1 else ManyCliError(problems)
    return from_status(error, entry.title, entry.where)
