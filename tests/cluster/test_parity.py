"""The embedded API server answers as the real kube-apiserver does.

The real one runs without controllers here, so that nothing but the requests changes anything. What
differs on purpose is listed in :mod:`tests.cluster.parity_differences`, each with its reason; an
entry that no longer matches anything fails the test too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.parity import patches, reads, refusals, writes
from tests.cluster.parity.objects import WIDGET_CRD
from tests.cluster.parity.run import Difference, Run, Scenario, differences
from tests.cluster.parity_differences import KNOWN, Known
from tests.cluster.wire import Api, established, over_tls

from ome.api.crds import all_crds

USED: set[Known] = set()
SCENARIOS: dict[str, Scenario] = {
    f"{module.__name__.rpartition('.')[2]}-{name}".replace("_", "-"): getattr(module, name)
    for module, names in (
        (writes, ("create", "generate_name", "custom", "update", "builtin", "delete")),
        (reads, ("lists", "pages", "single", "watches", "live_watch", "tables", "discovery",
                 "openapi")),
        (patches, ("json_patch", "merge_patch", "strategic_patch", "apply", "apply_builtin",
                   "subresources")),
        (refusals, ("custom", "pods", "others", "definitions", "namespaces")),
    )
    for name in names
}  # fmt: skip


@pytest.fixture(scope="module")
def quiet_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("quiet"), controllers=False) as plane:
        yield plane


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers(quiet_plane: ControlPlane, embedded: Api) -> AsyncIterator[tuple[Api, Api]]:
    async with over_tls("real", quiet_plane.url, quiet_plane.tokens["admin"]) as real:
        for api in (real, embedded):
            await established(api, [WIDGET_CRD, *all_crds()])
        yield real, embedded


async def run_on(api: Api, scenario: Scenario, namespace: str) -> Run:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    run = Run(api, namespace)
    await run.quiet("POST", "/api/v1/namespaces", body)
    await scenario(run)
    return run


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.asyncio(loop_scope="session")
async def test_both_servers_answer_alike(servers: tuple[Api, Api], name: str) -> None:
    real, ours = await asyncio.gather(
        *(run_on(api, SCENARIOS[name], f"parity-{name}") for api in servers)
    )
    found = differences(real.notes, ours.notes)
    left = [d for d in found if not explained(name, d)]
    text = "\n".join(f"{where}\n    real: {a}\n    ours: {b}" for where, a, b in left)
    assert not left, f"{len(left)} differences:\n{text}"


def explained(scenario: str, difference: Difference) -> bool:
    """Whether somebody has listed the difference; notes that the entry is needed."""
    hits = [known for known in KNOWN if known.covers(scenario, *difference)]
    USED.update(hits)
    return bool(hits)


def test_no_listed_difference_has_gone(request: pytest.FixtureRequest) -> None:
    ran = {item.name for item in request.session.items}
    if not all(any(f"[{name}]" in test for test in ran) for name in SCENARIOS):
        return  # only some of the scenarios were asked for
    stale = [f"{known.scenario} {known.where}" for known in KNOWN if known not in USED]
    assert stale == [], "no longer different: remove them from parity_differences.py"
