"""``ome describe``: everything about one object, and why it is as it is."""

from __future__ import annotations

import time

import click

from ome.api import resources as ours
from ome.api.constants import L_INFERENCE_SERVICE
from ome.apimachinery.objects import Object, Resource, uid_of
from ome.apimachinery.resources import EVENTS, PODS
from ome.cli import cards, kinds, views, waiting
from ome.cli.api import Api
from ome.cli.commands.events import rows as event_rows
from ome.cli.commands.get import not_found
from ome.cli.errors import usage
from ome.cli.options import target
from ome.cli.output import Output, to_yaml
from ome.cli.target import Context


@click.command()
@click.argument("kind")
@click.argument("name", required=False)
@target
def command(context: Context, kind: str, name: str | None) -> None:
    """Show KIND NAME with its state, its parts and its events."""
    if name is None:
        kind, slash, name = kind.partition("/")
        if not slash:
            raise usage("the name is missing", "Say KIND NAME, for example: ome describe isvc x")
    api = context.api()
    candidates = kinds.resources_for(kind, api)
    for resource in candidates:
        obj = api.find(resource, name, api.namespace)
        if obj is not None:
            _describe(api, context.output, resource, {**_typed(resource), **obj})
            return
    there = [o["metadata"]["name"] for r in candidates for o in api.list(r, api.namespace)]
    raise not_found(candidates[0], name, api.namespace, there)


def _typed(resource: Resource) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind}


def _describe(api: Api, output: Output, resource: Resource, obj: Object) -> None:
    meta = obj["metadata"]
    where = f" in namespace {meta['namespace']}" if meta.get("namespace") else ""
    output.print(output.paint(f"{resource.kind} {meta['name']}{where}", "bold"))
    facts = [*cards.card(resource, obj), ("Age", views.age(obj, time.time()))]
    if resource in ours.ALL:
        facts.append(("Ready", views.ready_of(obj)))
        facts.append(("Why", views.why(obj)))
    if resource == ours.INFERENCE_SERVICES:
        facts += _service_facts(api, obj)
    for label in ("labels", "annotations"):
        pairs = meta.get(label) or {}
        shown = [f"{k}={v}" for k, v in sorted(pairs.items()) if len(str(v)) < 200]
        facts.append((label.capitalize(), "\n".join(shown)))
    print_facts(output, facts)
    print_conditions(output, obj)
    if resource == ours.INFERENCE_SERVICES:
        _pods(api, output, obj)
    _section(output, "Spec", obj.get("spec"))
    if resource not in ours.ALL:
        _section(output, "Status", obj.get("status"))
    print_events(api, output, obj)


def _service_facts(api: Api, obj: Object) -> list[tuple[str, str]]:
    model = waiting.model_of(api, obj)
    named = ((obj.get("spec") or {}).get("model") or {}).get("name") or ""
    state = ""
    if model is not None:
        why = views.why(model)
        state = f" ({model['kind']}, ready: {views.ready_of(model)}{f', {why}' if why else ''})"
    elif named:
        state = " (does not exist)"
    return [
        ("Model", f"{named}{state}"),
        ("Runtime", views.runtime_of(obj)),
        ("URL", str((obj.get("status") or {}).get("url") or "")),
    ]


def print_facts(output: Output, facts: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in facts) + 1
    for name, value in facts:
        for index, line in enumerate(value.splitlines() or ["-"]):
            output.print(f"  {'' if index else name + ':':<{width}} {line}")


def print_conditions(output: Output, obj: Object) -> None:
    conditions = (obj.get("status") or {}).get("conditions") or []
    if not conditions:
        return
    output.print(output.paint("Conditions", "bold"))
    now = time.time()
    output.table(
        ("TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"),
        [
            (
                c.get("type") or "",
                c.get("status") or "",
                _since(c, now),
                c.get("reason") or "",
                (c.get("message") or "").replace("\n", " "),
            )
            for c in conditions
        ],
        indent=2,
    )


def _since(entry: Object, now: float) -> str:
    stamp = entry.get("lastTransitionTime")
    return views.seconds_short(now - views.epoch(stamp)) if stamp else ""


def _pods(api: Api, output: Output, obj: Object) -> None:
    labels = f"{L_INFERENCE_SERVICE}={obj['metadata']['name']}"
    pods = api.list(PODS, obj["metadata"]["namespace"], labels=labels)
    if not pods:
        return
    output.print(output.paint("Pods", "bold"))
    output.table(("NAME", "PHASE", "READY", "RESTARTS", "WHY"), map(_pod_row, pods), indent=2)


def _pod_row(pod: Object) -> tuple[str, ...]:
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or []
    ready = sum(bool(c.get("ready")) for c in containers)
    restarts = sum(c.get("restartCount") or 0 for c in containers)
    why = [_container_why(c) for c in containers]
    return (
        pod["metadata"]["name"],
        status.get("phase") or "Pending",
        f"{ready}/{len(pod['spec'].get('containers') or ())}",
        str(restarts),
        "; ".join(w for w in why if w),
    )


def _container_why(entry: Object) -> str:
    waiting_ = (entry.get("state") or {}).get("waiting")
    ended = (entry.get("state") or {}).get("terminated") or (entry.get("lastState") or {}).get(
        "terminated"
    )
    said = [waiting_.get("reason") or ""] if waiting_ else []
    if ended and not entry.get("ready"):
        last = str(ended.get("message") or "").strip().splitlines()
        said.append(last[-1] if last else f"ended with status {ended.get('exitCode')}")
    elif waiting_ and waiting_.get("message"):
        said.append(str(waiting_["message"]))
    return ": ".join(s for s in said if s)


def _section(output: Output, title: str, value: object) -> None:
    if value:
        output.print(output.paint(title, "bold"))
        for line in to_yaml(value).splitlines():
            output.print(f"  {line}")


def print_events(api: Api, output: Output, obj: Object) -> None:
    namespace = obj["metadata"].get("namespace") or "default"
    found = api.list(EVENTS, namespace, fields=f"involvedObject.uid={uid_of(obj)}")
    output.print(output.paint("Events", "bold"))
    if found:
        shown = [(age, kind, reason, text) for age, kind, reason, _, text in event_rows(found)]
        output.table(("AGE", "TYPE", "REASON", "MESSAGE"), shown, indent=2)
    else:
        output.print("  none")
