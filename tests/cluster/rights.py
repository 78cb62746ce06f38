"""What an account has asked for, by the audit log, against the rights that it has been given."""

from __future__ import annotations

from collections.abc import Sequence

from tests.cluster.omehome import Home
from tests.cluster.replicas import audited

from ome.cli.install import rbac

EXCEPTIONS = {
    ("ome.io", "inferenceservices/finalizers", "update"): (
        "the API server looks at it when an owner reference blocks the owner's deletion"
    ),
    ("ome.io", "benchmarkjobs/finalizers", "update"): "the same, for the Jobs of benchmarks",
    ("", "pods", "get"): "given to routers: nobody can give what they don't have",
}
"""Rights that no request of ours names, and what they are for."""


def asked_for(home: Home, account: str) -> tuple[set[tuple[str, str, str]], list[str]]:
    """(group, resource, verb) of what was asked in any module, and what this one was refused."""
    asked: set[tuple[str, str, str]] = set()
    refused = []
    for number, event in enumerate(audited(home.bed, account)):
        ref = event.get("objectRef") or {}
        place = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
        asked.add((ref.get("apiGroup", ""), place, event["verb"]))
        status = event.get("responseStatus") or {}
        denied = status.get("code") == 403 and "cannot" in str(status.get("message"))
        if denied and number >= home.before[account]:
            refused.append(f"{event['verb']} {place}: {status.get('message')}")
    return asked, refused


def unused(rules: Sequence[rbac.Rule], asked: set[tuple[str, str, str]]) -> list[str]:
    # An apply that makes an object is a patch, for which the right to create is looked at too.
    made = {(group, place) for group, place, verb in asked if verb == "patch"}
    return [
        f"{verb} {resource}.{rule.group}: {rule.why}"
        for rule in rules
        for resource in rule.resources
        for verb in rule.verbs
        if (rule.group, resource, verb) not in asked
        and not (verb == "create" and (rule.group, resource) in made)
        and (rule.group, resource, verb) not in EXCEPTIONS
    ]
