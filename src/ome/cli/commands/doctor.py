"""``ome doctor``: whether ``ome up``, or OME on a cluster, has what it needs."""

from __future__ import annotations

import click

from ome.cli.options import format_option, target
from ome.cli.target import Context


@click.command()
@format_option("table", "json", "yaml")
@target
@click.pass_context
def command(ctx: click.Context, context: Context, form: str) -> None:
    """Check what OME needs, and say what to do about what is missing.

    Without --context or --kubeconfig it is this machine: data folder, disk, ports, engine, package
    index, containers, and the configuration of an OME that runs. With one of them it is the
    cluster: API server, CRDs, operator, webhooks, configuration (-n names the operator's
    namespace).

    Changes nothing. Exit status 1 if something is missing that OME can't work without.
    """
    from ome.cli import doctor
    from ome.cli.errors import FAILURE

    output = context.output
    output.status("looking …")
    if context.remote:
        from ome.cli import clusterdoctor

        findings = clusterdoctor.examine(context.api(), context.namespace or "ome")
    else:
        findings = doctor.examine(context.home)
        if context.home.is_running():
            from ome.cli import clusterdoctor

            findings.append(clusterdoctor.check_configuration(context.api(), "ome"))
    if form == "table":
        rows = [(f.check, f.state.value, f.found) for f in findings]
        output.table(("CHECK", "STATE", "FOUND"), rows)
        for finding in findings:
            if finding.remedy:
                output.print(f"{finding.check}: {finding.remedy}")
    else:
        output.object([finding.as_dict() for finding in findings], form)
    if any(finding.state is doctor.State.PROBLEM for finding in findings):
        ctx.exit(FAILURE)
