"""What all kinds have: apiVersion, kind, and the status that runtimes don't have."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.cases import REFUSED, Case, case
from tests.contract.world import Seen

from ome.api import resources as o
from ome.cli.checks import schema_of
from ome.cli.kinds import resource_of


def recognised(seen: Seen) -> str:
    """The resource that the CLI, and the API server, take the object for."""
    return resource_of(seen.subject["kind"], seen.subject["apiVersion"]).plural


def pruned(seen: Seen) -> list[str]:
    """Fields that the schema knows nothing of."""
    resource = o.by_kind(seen.world.kind)
    assert resource is not None
    return schema_of(resource).prune(seen.subject)[1]


def cases() -> Iterator[Case]:
    for resource in o.ALL:
        plural = resource.plural
        for name, value in (("apiVersion", "ome.io/v1beta1"), ("kind", resource.kind)):
            yield from case(resource.kind, name, value, recognised, expected=plural, drop=(name,))
    yield from case(
        "ServingRuntime ClusterServingRuntime",
        "status",
        {"state": "Ready"},
        pruned,
        expected=["status.state"],
        state=REFUSED,
        why="a runtime is read, never driven: its status is empty, and what is put into it is "
        "pruned or refused as unknown",
    )
