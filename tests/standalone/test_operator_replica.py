"""`ome operator` at API servers that lack something: it says what, and waits where that helps.

The API server is the embedded one, over real HTTP. What needs rights, webhooks or several replicas
is in tests/cluster.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.waiting import eventually

from ome.api import resources as o
from ome.api.crds import all_crds
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import CUSTOM_RESOURCE_DEFINITIONS
from ome.cli import operator, shipped
from ome.cli.errors import CliError
from ome.kube import Client
from ome.standalone.apiserver import ApiServer, Store

SECONDS = 20.0


@asynccontextmanager
async def api(folder: Path) -> AsyncIterator[Client]:
    store = Store.open(folder / "store.db")
    server = ApiServer(store)
    try:
        await server.start(folder / "api.sock")
        async with Client.unix(folder / "api.sock") as client:
            yield client
    finally:
        await server.stop()
        store.close()


def labelled(version: str) -> list[Object]:
    """The CRDs as an installation of that version leaves them."""
    found = all_crds()
    for crd in found:
        crd["metadata"].setdefault("labels", {})["app.kubernetes.io/version"] = version
    return found


class Running:
    """One replica without webhooks, as a task."""

    def __init__(
        self, client: Client, caplog: pytest.LogCaptureFixture, catalog: tuple[Object, ...]
    ) -> None:
        options = operator.Options(
            listen="127.0.0.1:0", webhook_listen="", lease_duration=3.0, catalog=catalog
        )
        self._caplog = caplog
        self.task = asyncio.create_task(operator.run(client, options))

    def said(self, words: str) -> bool:
        if self.task.done():
            self.task.result()
        return words in self._caplog.text

    async def until_said(self, words: str) -> None:
        await eventually(lambda: self.said(words), timeout=SECONDS, what=words)

    async def page(self, path: str) -> tuple[int, str]:
        starts = [r for r in self._caplog.records if r.getMessage() == "the operator starts"]
        port = starts[-1].facts["port"]  # type: ignore[attr-defined]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            return answer.status, await answer.text()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def replica(
    client: Client, caplog: pytest.LogCaptureFixture, catalog: tuple[Object, ...] = ()
) -> AsyncIterator[Running]:
    with caplog.at_level(logging.INFO):
        running = Running(client, caplog, catalog)
        try:
            yield running
        finally:
            await running.stop()


@asynccontextmanager
async def of_version(version: str) -> AsyncIterator[Client]:
    """An API server that says which version it is, and no more."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"gitVersion": version})

    app = web.Application()
    app.router.add_get("/version", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with Client(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            yield client
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("version", ["v1.20.4", "v1.27.16+vendor.1", "v0.9"])
async def test_an_api_server_that_is_too_old_is_an_error_at_the_start(version: str) -> None:
    async with of_version(version) as client:
        with pytest.raises(CliError) as refused:
            await operator.check_server(client)
    assert f"the API server is Kubernetes {version}" in str(refused.value)
    assert "needs 1.28 or newer" in str(refused.value)
    assert "Upgrade the cluster" in str(refused.value)


@pytest.mark.parametrize("version", ["v1.28.0", "v1.34.1-eks-113cf36", "v2.0.0", "nonsense"])
async def test_others_are_not(version: str) -> None:
    async with of_version(version) as client:
        await operator.check_server(client)


async def test_missing_crds_are_named_with_the_command_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(tmp_path) as client, replica(client, caplog) as running:
        await running.until_said("the operator starts")
        await running.until_said("the CRD is missing")
        status, text = await running.page("/readyz")
        assert status == 503
        assert "ome crds | kubectl apply --server-side -f -" in text
        assert (await running.page("/healthz"))[0] == 200
        for crd in labelled(operator.__version__):
            await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
        await running.until_said("caches are filled")
        assert (await running.page("/readyz"))[0] == 200


@pytest.mark.parametrize("version", ["0.0.1", "99.0.0"])
async def test_crds_of_another_version_are_told_with_the_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    async with api(tmp_path) as client:
        for crd in labelled(version):
            await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
        async with replica(client, caplog) as running:
            await running.until_said(f"is of OME {version}, this operator is")
            await running.until_said("ome crds | kubectl apply --server-side -f -")
            await running.until_said("caches are filled")


async def test_the_catalog_is_put_there_once_and_what_people_changed_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = tuple(shipped.chosen(["qwen3-0-6b"]))
    kinds = {obj["kind"] for obj in catalog}
    assert kinds == {"AcceleratorClass", "ClusterServingRuntime", "ClusterBaseModel"}
    async with api(tmp_path) as client:
        for crd in labelled(operator.__version__):
            await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
        # One of these names is taken already.
        theirs = {
            "apiVersion": "ome.io/v1beta1",
            "kind": "AcceleratorClass",
            "metadata": {"name": "cpu"},
            "spec": {"vendor": "ours", "discovery": {}, "capabilities": {}},
        }
        await client.create(o.ACCELERATOR_CLASSES, theirs)
        async with replica(client, caplog, tuple(map(older, catalog))) as running:
            await running.until_said("catalog: made ClusterBaseModel qwen3-0-6b")
        assert "left AcceleratorClass cpu as it is" in caplog.text
        names = [obj["metadata"]["name"] for obj in catalog if obj["kind"] == "AcceleratorClass"]
        listed = (await client.list(o.ACCELERATOR_CLASSES)).items
        assert sorted(names) == sorted(item["metadata"]["name"] for item in listed)
        found = await client.get(o.ACCELERATOR_CLASSES, "cpu")
        assert found["spec"]["vendor"] == "ours"

        edited = {"metadata": {"annotations": {"ome.io/description": "with more room"}}}
        await client.patch(
            o.CLUSTER_SERVING_RUNTIMES, "vllm-4-gpu", edited, field_manager="somebody"
        )
        before = await versions(client)
        caplog.clear()
        async with replica(client, caplog, catalog) as running:
            await running.until_said("updated ClusterServingRuntime vllm-1-gpu")
            await running.until_said("left ClusterServingRuntime vllm-4-gpu as somebody")
        after = await versions(client)
        assert [name for name in after if after[name] != before[name]] == ["vllm-1-gpu"]


def older(obj: Object) -> Object:
    """Two of them have said something else in the catalog of an earlier version."""
    if obj["metadata"]["name"] not in ("vllm-1-gpu", "vllm-4-gpu"):
        return obj
    said = {"annotations": {"ome.io/description": "vLLM"}}
    return {**obj, "metadata": {**obj["metadata"], **said}}


async def versions(client: Client) -> dict[str, str]:
    found = {}
    for resource in (o.ACCELERATOR_CLASSES, o.CLUSTER_SERVING_RUNTIMES):
        for item in (await client.list(resource)).items:
            meta = item["metadata"]
            found[meta["name"]] = meta["resourceVersion"]
    return found


def test_a_model_that_the_catalog_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(CliError) as refused:
        shipped.chosen(["qwen3-0-6b", "nobody"])
    assert "the catalog has no model nobody" in str(refused.value)
    assert "qwen3-0-6b" in str(refused.value)
    with pytest.raises(CliError, match="no list of models"):
        shipped.names("qwen3-0-6b")
