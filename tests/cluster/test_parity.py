"""The embedded API server answers as the real kube-apiserver does.

The real one runs without controllers here, so that nothing but the requests changes anything. What
differs on purpose is listed in :mod:`tests.cluster.parity_differences`, each with its reason; an
entry that no longer matches anything fails the test too.
"""

from __future__ import annotations

import asyncio
import fnmatch
import os
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.parity import patches, reads, refusals, writes
from tests.cluster.parity.objects import WIDGET_CRD
from tests.cluster.parity.run import Run, Scenario, differences
from tests.cluster.parity_differences import KNOWN
from tests.cluster.wire import Api, established, over_tls

from ome.api.crds import all_crds

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
    known = KNOWN.get(name, {})
    left = [d for d in found if not any(fnmatch.fnmatchcase(d[0], p) for p in known)]
    if os.environ.get("OME_PARITY_SHOW"):
        for where, a, b in found:
            print(f"{where}\n    real: {a}\n    ours: {b}")
    text = "\n".join(f"{where}\n    real: {a}\n    ours: {b}" for where, a, b in left)
    assert not left, f"{len(left)} differences:\n{text}"
    stale = [p for p in known if not any(fnmatch.fnmatchcase(d[0], p) for d in found)]
    assert stale == [], f"no longer different, remove from parity_differences.py: {stale}"
