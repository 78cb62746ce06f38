"""``ome events``: what happened, oldest first."""

from __future__ import annotations

import time

import click

from ome.apimachinery.objects import Object
from ome.apimachinery.resources import EVENTS
from ome.cli import views
from ome.cli.options import target
from ome.cli.target import Context


@click.command()
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces.")
@target
def command(context: Context, name: str | None, everywhere: bool) -> None:
    """Show events, oldest first; with NAME those about objects whose name starts with it."""
    api = context.api()
    found = api.list(EVENTS, "" if everywhere else api.namespace)
    if name:
        wanted = name.rpartition("/")[2]
        found = [e for e in found if _about(e).get("name", "").startswith(wanted)]
    if not found:
        context.output.say("no events")
        return
    context.output.table(("AGE", "TYPE", "REASON", "OBJECT", "MESSAGE"), rows(found))


def rows(found: list[Object]) -> list[tuple[str, ...]]:
    """Sorted by time; repeated ones with their count."""
    now = time.time()
    return [
        (
            views.seconds_short(now - views.epoch(stamp_of(e))) if stamp_of(e) else "",
            e.get("type") or "",
            e.get("reason") or "",
            f"{_about(e).get('kind', '')}/{_about(e).get('name', '')}",
            _message(e),
        )
        for e in sorted(found, key=stamp_of)
    ]


def stamp_of(event: Object) -> str:
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def _about(event: Object) -> Object:
    return event.get("involvedObject") or event.get("regarding") or {}


def _message(event: Object) -> str:
    text = str(event.get("message") or event.get("note") or "").replace("\n", " ")
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    return f"{text} (x{count})" if count > 1 else text
