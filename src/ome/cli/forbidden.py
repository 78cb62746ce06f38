"""A 403 of the API server, put as the RBAC rule that would have allowed it."""

from __future__ import annotations

import re

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" '
    r'in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?'
)


def rule_for(message: str) -> str:
    """What to add to which role; empty where the message is no refusal of RBAC's."""
    match = _FORBIDDEN.search(message)
    if match is None:
        return ""
    rule = (
        f'{{apiGroups: ["{match["group"]}"], resources: ["{match["resource"]}"], '
        f'verbs: ["{match["verb"]}"]}}'
    )
    where = f"a Role in namespace {match['namespace']}" if match["namespace"] else "a ClusterRole"
    return f"{match['user']} lacks the rule {rule}; add it to {where} that is bound to it"


def explained(message: str) -> str:
    """The message, shortened to the missing rule where that is what it says."""
    return rule_for(message) or message
