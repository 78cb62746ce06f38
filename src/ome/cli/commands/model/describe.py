"""``ome model describe``: all about one model, node by node."""

from __future__ import annotations

import time

import click

from ome.api import resources as ours
from ome.apimachinery.objects import Object, key_of
from ome.cli import views
from ome.cli.api import Api
from ome.cli.commands.describe import print_conditions, print_events, print_facts
from ome.cli.options import target
from ome.cli.target import Context


@click.command(epilog="For example: ome model describe qwen3-0-6b; ome model describe team/mine")
@click.argument("name")
@click.option("--cluster", is_flag=True, help="The ClusterBaseModel of that name.")
@target
def command(context: Context, name: str, cluster: bool) -> None:
    """What model NAME is, where it comes from, what each node does with it, and who uses it."""
    from ome.cli import modelreports, models

    api = context.api()
    resource, model = models.find(api, name, context.namespace, cluster=cluster)
    key = key_of(model)
    output = context.output
    output.print(output.paint(f"{resource.kind} {key}", "bold"))
    print_facts(output, _facts(model))
    now = time.time()
    rows = [
        (report.node, report.status, modelreports.sentence(report.entry, now))
        for report in modelreports.reports(api, model)
    ]
    output.print(output.paint("Nodes", "bold"))
    if rows:
        output.table(("NODE", "STATE", "WHAT"), rows, indent=2)
    else:
        output.print("  no node has taken it up")
    users = _users(api, resource.kind, model)
    output.print(output.paint("Used by", "bold"))
    output.print("  " + (", ".join(users) or "no service"))
    print_conditions(output, model)
    print_events(api, output, model)


def _facts(model: Object) -> list[tuple[str, str]]:
    spec, status = model["spec"], model.get("status") or {}
    storage = spec.get("storage") or {}
    form, framework = spec.get("modelFormat") or {}, spec.get("modelFramework") or {}
    pairs = [
        ("State", status.get("state") or "not looked at yet"),
        ("Why", views.why(model) or status.get("message") or ""),
        ("Source", storage.get("storageUri") or ""),
        ("Path", storage.get("path") or ""),
        ("Secret", storage.get("key") or ""),
        ("Architecture", spec.get("modelArchitecture") or ""),
        ("Parameters", spec.get("modelParameterSize") or ""),
        ("Context", f"{spec['maxTokens']} tokens" if spec.get("maxTokens") else ""),
        ("Capabilities", ", ".join(spec.get("modelCapabilities") or ())),
        ("Quantization", spec.get("quantization") or ""),
        ("Format", " ".join(filter(None, (form.get("name"), form.get("version"))))),
        ("Framework", " ".join(filter(None, (framework.get("name"), framework.get("version"))))),
        ("Age", views.age(model, time.time())),
    ]
    return [(name, str(value)) for name, value in pairs if value]


def _users(api: Api, kind: str, model: Object) -> list[str]:
    key = key_of(model)
    found = []
    for service in api.list(ours.INFERENCE_SERVICES, key.namespace):
        reference = (service.get("spec") or {}).get("model") or {}
        if reference.get("name") == key.name and reference.get("kind") in (None, "", kind):
            found.append(str(key_of(service)))
    return sorted(found)
