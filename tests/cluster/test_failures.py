"""Failures injected one by one on a real control plane: OME names each with its remedy.

In every case the status (reason of the closed list, sentence, ``modelStatus``) and ``ome get`` say
what is wrong and what to do; and when the cause is gone the service becomes ready by itself. One
operator serves all cases, each in a namespace of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from tests.cluster.bed.build import crd_files
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import NODES, Kubectl
from tests.cluster.failing import FAILURES, Failure, runtime, service
from tests.cluster.waiting import until
from tests.cluster.wire import Answer
from tests.fakes.objects import model

from ome.admission import pki
from ome.api import constants as c
from ome.api import names
from ome.api import resources as o
from ome.api.reasons import KUBERNETES, REASONS
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource, condition
from ome.controllers import Operator
from ome.kube import Client, connect

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions",
                       "CustomResourceDefinition", namespaced=False)  # fmt: skip
WEBHOOKS = Resource("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations",
                    "ValidatingWebhookConfiguration", namespaced=False)  # fmt: skip
DENIER = "failing-denier"
SHARED_NODES = tuple(f"node-{i}" for i in range(NODES))


class Site:
    """One case's namespace, and what it may do to the cluster. :meth:`close` undoes the latter."""

    def __init__(self, client: Client, kubectl: Kubectl) -> None:
        self.client, self.kubectl, self.namespace = client, kubectl, kubectl.namespace
        self._undo: list[Callable[[], Awaitable[Any]]] = []
        self._denier: web.AppRunner | None = None

    async def apply(self, *objects: Object) -> None:
        for obj in objects:
            found = copy.deepcopy(obj)
            resource = o.by_kind(obj["kind"]) or r.RESOURCE_QUOTAS
            if resource.namespaced:
                found["metadata"]["namespace"] = self.namespace
            else:
                self._undo.append(lambda k=resource, n=found["metadata"]["name"]: self.drop(k, n))
            await self.client.apply(resource, found, field_manager="user")

    async def drop(self, resource: Resource, name: str) -> None:
        with contextlib.suppress(NotFound):
            await self.client.delete(resource, name)

    async def patch(self, resource: Resource, name: str, patch: Object) -> None:
        async def there() -> Object:
            return await self.client.get(resource, name, self._in(resource))

        await until(f"{resource.kind} {name}", there)
        await self.client.patch(resource, name, patch, namespace=self._in(resource))

    def _in(self, resource: Resource) -> str:
        return self.namespace if resource.namespaced else ""

    async def status(self) -> Object:
        return await self.client.get(o.INFERENCE_SERVICES, "chat", self.namespace)

    async def report(self, kind: str, name: str, state: str, message: str = "") -> None:
        """What the agents of all nodes say about a model, and with it the nodes' labels."""
        namespace = self.namespace if kind == "BaseModel" else ""
        await report(self.client, namespace, name, state, message)

    # -- things done to the cluster -----------------------------------------------------------

    async def remove_definition(self, name: str) -> None:
        self._undo.append(lambda: self.restore_definition(name))
        await self.client.delete(DEFINITIONS, name)

        async def gone() -> bool:
            found = await self.client.list(DEFINITIONS)
            return all(item["metadata"]["name"] != name for item in found.items)

        await until(f"{name} is gone", gone)

    async def restore_definition(self, name: str) -> None:
        group = name.partition(".")[2]
        files = [f for found in crd_files().values() for f in found]
        file = next(f for f in files if f.name == f"{group}_{name.partition('.')[0]}.yaml")
        self.kubectl.run("apply", "--server-side", "-f", str(file))
        self.kubectl.wait(f"crd/{name}", "condition=Established")

    async def deny_deployments(self, why: str) -> None:
        async def review(request: web.Request) -> web.Response:
            asked = await request.json()
            answer = {
                "uid": asked["request"]["uid"],
                "allowed": False,
                "status": {"code": 403, "message": why},
            }
            return web.json_response({**asked, "response": answer})

        now = datetime.now(UTC)
        data = pki.renew({}, ["127.0.0.1"], now, pki.Lifetimes())
        assert data is not None
        identity = pki.identity(data)
        app = web.Application()
        app.router.add_post("/", review)
        self._denier = web.AppRunner(app)
        await self._denier.setup()
        served = web.TCPSite(self._denier, "127.0.0.1", 0, ssl_context=_context(identity))
        await served.start()
        port = self._denier.addresses[0][1]
        self._undo.append(self.allow_deployments)
        configuration = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": DENIER},
            "webhooks": [
                {
                    "name": "costs.example.com",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": data[pki.CA]},
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": self.namespace}
                    },
                    "rules": [
                        {
                            "apiGroups": ["apps"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["deployments"],
                        }
                    ],
                }
            ],
        }
        await self.client.create(WEBHOOKS, configuration)
        probe = {"apiVersion": "apps/v1", "kind": "Deployment",
                 "metadata": {"name": "probe", "namespace": self.namespace},
                 "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
                     "metadata": {"labels": {"a": "b"}},
                     "spec": {"containers": [{"name": "a", "image": "a"}]}}}}  # fmt: skip

        async def asked() -> bool:
            done = self.kubectl.try_(
                "create", "--dry-run=server", "-f", "-", stdin=json.dumps(probe)
            )
            return why in done.stderr

        await until("the API server asks the webhook", lambda: _threaded(asked))

    async def allow_deployments(self) -> None:
        await self.drop(WEBHOOKS, DENIER)
        if self._denier is not None:
            await self._denier.cleanup()
            self._denier = None

    async def lose_node_of_pod(self) -> None:
        ready = await until("chat is ready", self.is_ready)
        assert ready
        pod = (await self.pods())[0]
        node = pod["spec"]["nodeName"]
        self._undo.append(lambda: self.find_node(node))
        lost = {"metadata": {"annotations": {"bed.ome.io/lost": "true"}}}
        await self.client.patch(r.NODES, node, lost)
        conditions = [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]
        patch = json.dumps({"status": {"conditions": conditions}})
        self.kubectl.run(
            "patch", "node", node, "--subresource=status", "--type=strategic", "-p", patch
        )
        # The node controller does this where a node stops renewing its lease.
        conditions = [{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]
        patch = json.dumps({"status": {"conditions": conditions}})
        name = pod["metadata"]["name"]
        self.kubectl.run(
            "patch", "pod", name, "--subresource=status", "--type=strategic", "-p", patch
        )

    async def pass_deadline(self, deployment: str) -> None:
        """Writes what the Deployment controller will find ten minutes later, and keep: it has seen
        the pod, and nothing more comes that it would take for progress."""

        async def progressing() -> Object | None:
            live = await self.client.get(r.DEPLOYMENTS, deployment, self.namespace)
            status = live.get("status") or {}
            pods = [(pod.get("status") or {}).get("podIP") for pod in await self.pods()]
            seen = status.get("updatedReplicas") == len(pods) == 1 and all(pods)
            return live if seen and condition(live, "Progressing") else None

        live = await until(f"{deployment} and its pod are there", progressing)
        late = {"status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
        conditions = [
            {**entry, **late} if entry["type"] == "Progressing" else entry
            for entry in live["status"]["conditions"]
        ]
        await self.client.patch(
            r.DEPLOYMENTS,
            deployment,
            {"status": {"conditions": conditions}},
            namespace=self.namespace,
            subresource="status",
        )

    async def find_node(self, node: str) -> None:
        found = {"metadata": {"annotations": {"bed.ome.io/lost": None}}}
        await self.client.patch(r.NODES, node, found)

        async def ready() -> bool:
            live = await self.client.get(r.NODES, node)
            taints = (live.get("spec") or {}).get("taints") or ()
            return (condition(live, "Ready") or {}).get("status") == "True" and not taints

        await until(f"{node} is back", ready)

    async def pods(self) -> list[Object]:
        return list((await self.client.list(r.PODS, self.namespace)).items)

    async def delete_pods(self) -> None:
        for pod in await self.pods():
            await self.client.delete(r.PODS, pod["metadata"]["name"], self.namespace)

    async def is_ready(self) -> Object | None:
        live = await self.status()
        ready = condition(live, "Ready") or {}
        return live if (ready.get("status"), ready.get("reason")) == ("True", "Serving") else None

    async def close(self) -> None:
        await self.drop_service()
        for step in reversed(self._undo):
            await step()

    async def drop_service(self) -> None:
        with contextlib.suppress(NotFound):
            await self.client.delete(o.INFERENCE_SERVICES, "chat", self.namespace)


async def _threaded(check: Callable[[], Awaitable[bool]]) -> bool:
    """Runs a check that blocks beside the loop, which serves the webhook meanwhile."""
    return await asyncio.to_thread(lambda: asyncio.run(_awaited(check)))


async def _awaited(check: Callable[[], Awaitable[bool]]) -> bool:
    return await check()


def _context(identity: pki.Identity) -> ssl.SSLContext:
    import tempfile

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(identity.certificate + identity.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def report(client: Client, namespace: str, name: str, state: str, message: str = "") -> None:
    entry: Object = {"name": name, "status": state}
    if message:
        entry["message"] = message
    label = names.model_label(namespace, name)
    for node in SHARED_NODES:
        config_map = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": node, "namespace": "ome", "labels": {c.L_MODEL_STATUS: "true"}},
            "data": {names.model_config_map_key(namespace, name): json.dumps(entry)},
        }
        await client.apply(r.CONFIG_MAPS, config_map, field_manager=f"failing-{namespace}{name}")
        wanted = "Ready" if state == "Ready" else None
        await client.patch(r.NODES, node, {"metadata": {"labels": {label: wanted}}})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(
    bed: ControlPlane, cluster: Kubectl, definitions: list[Answer]
) -> AsyncIterator[Client]:
    async with await connect(bed.kubeconfig()) as client:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ome"}}
        await client.apply(r.NAMESPACES, namespace, field_manager="test")
        section = {"disableIngressCreation": True, "ingressDomain": "svc.cluster.local"}
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": c.INFERENCE_SERVICE_CONFIG, "namespace": "ome"},
            "data": {"ingress": json.dumps(section), "multinodeProber": '{"image": "prober:1"}'},
        }
        await client.apply(r.CONFIG_MAPS, config, field_manager="test")
        tiny = model("failing-tiny")
        await client.apply(o.CLUSTER_BASE_MODELS, tiny, field_manager="user")
        await report(client, "", "failing-tiny", "Ready")
        task = asyncio.create_task(Operator(client).run())
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            for left in (*SHARED_NODES, c.INFERENCE_SERVICE_CONFIG):
                with contextlib.suppress(NotFound):
                    await client.delete(r.CONFIG_MAPS, left, "ome")


@pytest_asyncio.fixture(loop_scope="module")
async def site(operator: Client, ns: Kubectl) -> AsyncIterator[Site]:
    made = Site(operator, ns)
    await made.apply(runtime("rt", autoSelect=False))
    try:
        yield made
    finally:
        await made.close()


async def _got(bed: ControlPlane, namespace: str) -> str:
    """What a person sees."""
    command = [sys.executable, "-m", "ome.cli", "get", "isvc", "chat", "-n", namespace]
    command += ["--kubeconfig", str(bed.kubeconfig())]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_named_with_its_remedy_and_cured(
    bed: ControlPlane, site: Site, name: str
) -> None:
    case: Failure = FAILURES[name]
    assert case.reason in REASONS or case.reason in KUBERNETES
    await site.apply(*case.objects)
    if case.before is not None:
        await case.before(site)
    await site.apply(service(case))
    if case.after is not None:
        await case.after(site)

    last: Object = {}

    async def told() -> Object | None:
        nonlocal last
        last = await site.status()
        ready = condition(last, "Ready") or {}
        hit = ready.get("status") != "True" and ready.get("reason") == case.reason
        message = ready.get("message") or ""
        return last if hit and all(word in message for word in case.words) else None

    try:
        found = await until(f"{name} is told", told, 40)
    except BaseException:
        print(json.dumps(last.get("status"), indent=1))
        raise
    ready = condition(found, "Ready") or {}
    state = found["status"]["modelStatus"]
    assert state["transitionStatus"] == case.transition
    assert (state.get("lastFailureInfo") or {}).get("reason", "") == case.failure
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    shown = await _got(bed, site.namespace)
    for word in case.words:
        assert word in shown

    if case.cure is not None:
        await case.cure(site)
    for resource, target, patch in case.patches:
        await site.patch(resource, target, patch)
    try:
        cured = await until(f"{name} is cured", site.is_ready, 60)
    except BaseException:
        print(json.dumps((await site.status()).get("status"), indent=1))
        raise
    assert "lastFailureInfo" not in cured["status"]["modelStatus"]
    assert ready["message"] != (condition(cured, "Ready") or {}).get("message")
