"""Waiting for a model, and saying all the while how far it is."""

from __future__ import annotations

import time

from ome.apimachinery.objects import Object, Resource
from ome.cli import views
from ome.cli.api import Api
from ome.cli.errors import CliError
from ome.cli.output import Output

POLL_SECONDS = 0.25


def until_on_a_node(
    api: Api, output: Output, resource: Resource, model: Object, timeout: float
) -> None:
    """Returns when a node has it. Raises CliError where every node failed, or after ``timeout``."""
    meta = model["metadata"]
    began = time.monotonic()
    while True:
        found = api.get(resource, meta["name"], meta.get("namespace") or "")
        status = found.get("status") or {}
        current = status.get("observedGeneration") == found["metadata"].get("generation")
        if current and status.get("state") == "Ready":
            output.say(f"{meta['name']} is {status.get('message') or 'ready'}")
            return
        text = views.why({**found, "kind": resource.kind})
        if current and status.get("state") == "Failed":
            raise CliError(f"no node could get {meta['name']}: {text}")
        waited = time.monotonic() - began
        if waited > timeout:
            raise CliError(
                f"{meta['name']} is on no node after {timeout:.0f} s: {text}",
                remedy=f"'ome model describe {meta['name']}' shows more",
            )
        progress = status.get("progress") or {}
        share = f"{(progress.get('percent') or 0) // 10}" if progress else text
        output.status(f"{meta['name']}: {text}", fact=f"{progress.get('phase')} {share}")
        time.sleep(POLL_SECONDS)
