"""Owner references, propagation and namespaces end alike in both homes, controllers included."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.cluster.parity import garbage
from tests.cluster.parity.run import Run, Scenario, differences
from tests.cluster.wire import Api, over_unix

from ome.kube import Client
from ome.standalone import workloads
from ome.standalone.apiserver import ApiServer, Store

SCENARIOS: dict[str, Scenario] = {
    "background": garbage.background,
    "orphans": garbage.orphans,
    "foreground": garbage.foreground,
    "two-owners": garbage.two_owners,
    "owner-is-missing": garbage.owner_is_missing,
    "namespace": garbage.namespace,
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """The embedded API server with its controllers."""
    folder = tmp_path_factory.mktemp("home")
    store = Store.open(folder / "store.db")
    server = ApiServer(store)
    await server.start(folder / "api.sock")
    async with Client.unix(folder / "api.sock") as client:
        controllers = asyncio.create_task(workloads.run(client))
        try:
            async with over_unix("embedded", folder / "api.sock") as api:
                yield api
        finally:
            controllers.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await controllers
    await server.stop()
    store.close()


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.asyncio(loop_scope="session")
async def test_things_end_alike(real: Api, home: Api, name: str) -> None:
    async def one(api: Api) -> Run:
        namespace = f"garbage-{name}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        run = Run(api, namespace)
        await run.quiet("POST", "/api/v1/namespaces", body)
        await SCENARIOS[name](run)
        return run

    theirs, ours = await asyncio.gather(one(real), one(home))
    assert differences(theirs.notes, ours.notes) == []
