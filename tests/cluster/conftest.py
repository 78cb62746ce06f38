"""Fixtures over the real control plane. One bed a session, one namespace a test.

Nothing here is skipped in silence: where the bed can't be built, every test fails and says why.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster import corpus
from tests.cluster.bed import lws
from tests.cluster.bed.build import crd_files
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.tidying import tidy
from tests.cluster.wire import Answer, Api, established, over_tls, over_unix
from tests.tools import helm, kubectl

from ome.api.crds import all_crds
from ome.standalone.apiserver import ApiServer, Store

__all__ = ["helm", "kubectl"]

NODES = 3


class Kubectl:
    """The real kubectl against the bed. ``run`` fails the test with kubectl's own words."""

    def __init__(self, binary: Path, kubeconfig: Path, namespace: str = "default") -> None:
        self.binary, self.kubeconfig, self.namespace = binary, kubeconfig, namespace

    def in_namespace(self, namespace: str) -> Kubectl:
        return Kubectl(self.binary, self.kubeconfig, namespace)

    def try_(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        base = [str(self.binary), "--kubeconfig", str(self.kubeconfig), "-n", self.namespace]
        return subprocess.run(
            [*base, *args], input=stdin, capture_output=True, text=True, timeout=240
        )

    def run(self, *args: str, stdin: str | None = None) -> str:
        done = self.try_(*args, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr or done.stdout}"
        return done.stdout

    def apply(self, *objects: dict[str, Any], force: bool = False) -> str:
        """``force`` takes fields from whoever has them, and asks for no schema first: while
        definitions come and go, the server takes long to give one."""
        listing = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        how = ("--server-side", *(("--force-conflicts", "--validate=false") if force else ()))
        return self.run("apply", *how, "-f", "-", stdin=json.dumps(listing))

    def get(self, *args: str) -> Any:
        return json.loads(self.run("get", *args, "-o", "json"))

    def wait(self, target: str, condition: str, timeout_s: int = 60) -> None:
        """``condition`` as in ``kubectl wait --for``; kubectl watches, nobody sleeps."""
        wanted = ("wait", target, f"--for={condition}", f"--timeout={timeout_s}s")
        end = time.monotonic() + timeout_s
        while True:
            done = self.try_(*wanted)
            # kubectl gives up on an object that has no conditions at all so far.
            early = "accessor error" in done.stderr and time.monotonic() < end
            if not early:
                break
            time.sleep(0.1)
        assert done.returncode == 0, f"kubectl {' '.join(wanted)}: {done.stderr or done.stdout}"


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("bed")) as plane:
        yield plane


@pytest.fixture(scope="session")
def cluster(bed: ControlPlane, kubectl: Path) -> Kubectl:
    return furnished(bed, kubectl)


def furnished(bed: ControlPlane, kubectl: Path) -> Kubectl:
    """kubectl as the administrator, with the foreign CRDs and some kwok nodes in place."""
    client = Kubectl(kubectl, bed.kubeconfig())
    furnish(bed, client)
    size = {"cpu": "64", "memory": "512Gi", "pods": "500", "nvidia.com/gpu": "8"}
    add_nodes(client, [f"node-{i}" for i in range(NODES)], size)
    return client


def furnish(bed: ControlPlane, client: Kubectl) -> None:
    """Puts the foreign CRDs on a bed, and starts the LeaderWorkerSet controller."""
    for name, files in crd_files().items():
        for file in files:
            client.run("apply", "--server-side", "-f", str(file))
        assert files, name
    client.wait("crd/leaderworkersets.leaderworkerset.x-k8s.io", "condition=Established")
    client.apply(*lws.start(bed))


def add_nodes(client: Kubectl, names: list[str], size: dict[str, str]) -> None:
    """Nodes of kwok, each of that size, and ready."""
    nodes = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
            },
        }
        for name in names
    ]
    client.apply(*nodes)
    for name in names:
        patch = json.dumps({"status": {"capacity": size, "allocatable": size}})
        client.run("patch", "node", name, "--subresource=status", "--type=merge", "-p", patch)
        client.wait(f"node/{name}", "condition=Ready")


@pytest.fixture(scope="module", autouse=True)
def tidied(request: pytest.FixtureRequest) -> Iterator[None]:
    """Begins before every other fixture of a module, so it ends after them."""
    plane: ControlPlane = request.getfixturevalue("bed")
    client = Kubectl(request.getfixturevalue("kubectl"), plane.kubeconfig())
    yield
    tidy(client.try_)


@pytest.fixture
def ns(cluster: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace of the test's own, deleted afterwards."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    name = f"{slug}-{secrets.token_hex(3)}"
    cluster.run("create", "namespace", name)
    yield cluster.in_namespace(name)
    cluster.run("delete", "namespace", name, "--wait=false")


# -- bare requests, to the real server and to the embedded one ---------------------------------


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real(bed: ControlPlane) -> AsyncIterator[Api]:
    async with over_tls("real", bed.url, bed.tokens["admin"]) as api:
        yield api


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    """The embedded API server with OME's CRDs and no admission: what it does by itself."""
    folder = tmp_path_factory.mktemp("embedded")
    store = Store.open(folder / "store.db")
    server = ApiServer(store)
    await server.start(folder / "api.sock")
    try:
        async with over_unix("embedded", folder / "api.sock") as api:
            await established(api, all_crds())
            yield api
    finally:
        await server.stop()
        store.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def definitions(real: Api) -> list[Answer]:
    """OME's CRDs on the real server; its answers to their creation."""
    return await established(real, all_crds())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def corpus_namespaces(real: Api) -> None:
    for name in corpus.namespaces():
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        answer = await real.call("POST", "/api/v1/namespaces", body)
        assert answer.ok or answer.status == 409, answer
