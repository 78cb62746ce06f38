"""OME's webhooks under a real kube-apiserver, which calls them by URL over TLS.

The webhooks run in the tests' own process, registered before the first test of this module and gone
after its last, so that other modules see an API server without them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster import corpus
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.wire import MERGE_PATCH, Answer, Api
from tests.fakes import webhooks

from ome.admission.certificates import SECRET_NAME
from ome.admission.registration import HOOKS, configuration_names
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import condition
from ome.kube import Client, connect

Object = dict[str, Any]
session = pytest.mark.asyncio(loop_scope="session")
AGENT = {"image": "agent:1", "authType": "InstancePrincipal", "compartmentId": "c"}


async def until(what: str, check: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                last = await check()
                if last:
                    return last
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"not within {seconds} s: {what}; last: {last}")


class Replica(webhooks.Replica):
    """Also knows the API server's side of it."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.client = client

    async def start(self) -> None:
        """Until it is registered for everything."""
        await super().start()
        await until("registration", self._registered)

    async def _registered(self) -> bool:
        if self.problems():
            return False
        found = [
            webhook["clientConfig"]
            for resource, names in configuration_names().items()
            for item in (await self.client.list(resource)).items
            if item["metadata"]["name"] in names
            for webhook in item["webhooks"]
        ]
        ours = [c for c in found if (c.get("url") or "").startswith(f"{self.url}/")]
        return len(ours) == len(HOOKS) and all(config.get("caBundle") for config in ours)

    async def unregister(self) -> None:
        for resource, names in configuration_names().items():
            for name in names:
                with contextlib.suppress(Exception):
                    await self.client.delete(resource, name)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica(
    bed: ControlPlane, cluster: Kubectl, definitions: list[Answer], corpus_namespaces: None
) -> AsyncIterator[Replica]:
    async with await connect(bed.kubeconfig()) as client:
        await client.apply(r.NAMESPACES, {"metadata": {"name": "ome"}, **_of(r.NAMESPACES)})
        config_map = {
            **_of(r.CONFIG_MAPS),
            "metadata": {"name": "inferenceservice-config", "namespace": "ome"},
            "data": {
                "deploy": json.dumps({"defaultDeploymentMode": "RawDeployment"}),
                "fineTunedAdapter": json.dumps(AGENT),
            },
        }
        await client.apply(r.CONFIG_MAPS, config_map)
        made = Replica(client)
        try:
            await made.start()
            await until("the API server to know", lambda: _reviewed(client))
            yield made
        finally:
            await made.unregister()
            await made.stop()
            await client.delete(r.CONFIG_MAPS, "inferenceservice-config", "ome")


def _of(resource: Any) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind}


async def _reviewed(client: Client) -> bool:
    """Whether writes come by us: the API server learns of a registration a moment later."""
    made = await client.create(o.INFERENCE_SERVICES, service("probe"), dry_run=True)
    pod = await client.create(
        r.PODS, {**pod_of("probe", RDMA), "metadata": _meta("probe", RDMA)}, dry_run=True
    )
    return "maxReplicas" in made["spec"]["engine"] and "env" in pod["spec"]["containers"][0]


@pytest_asyncio.fixture(loop_scope="session")
async def space(replica: Replica) -> AsyncIterator[str]:
    name = f"webhook-{secrets.token_hex(4)}"
    await replica.client.create(r.NAMESPACES, {**_of(r.NAMESPACES), "metadata": {"name": name}})
    yield name
    await replica.client.delete(r.NAMESPACES, name)


def service(name: str, namespace: str = "default", **spec: Any) -> Object:
    return {
        **_of(o.INFERENCE_SERVICES),
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"name": "nowhere"}, "engine": {}, **spec},
    }


RDMA = {"rdma.ome.io/auto-inject": "true"}


def _meta(name: str, annotations: dict[str, str], namespace: str = "default") -> Object:
    return {
        "name": name,
        "namespace": namespace,
        "labels": {"ome.io/inferenceservice": "chat"},
        "annotations": annotations,
    }


def pod_of(name: str, annotations: dict[str, str], namespace: str = "default") -> Object:
    container = {"name": "ome-container", "image": "nobody/pulls-this:1"}
    return {
        **_of(r.PODS),
        "metadata": _meta(name, annotations, namespace),
        "spec": {"containers": [container]},
    }


def deployment(name: str, namespace: str, annotations: dict[str, str]) -> Object:
    template = pod_of("ignored", annotations)
    template["metadata"]["labels"]["app"] = name
    return {
        **_of(r.DEPLOYMENTS),
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {k: template["metadata"][k] for k in ("labels", "annotations")},
                "spec": template["spec"],
            },
        },
    }


# --- services and other kinds ---------------------------------------------------------------------


@session
async def test_a_service_is_defaulted_and_its_waiting_is_a_warning(
    replica: Replica, real: Api, space: str
) -> None:
    path = o.INFERENCE_SERVICES.path(space)
    answer = await real.call("POST", path, service("chat", space), fieldValidation="Strict")
    assert answer.status == 201, answer
    assert answer.body["spec"]["engine"] == {"minReplicas": 1, "maxReplicas": 3}
    annotations = answer.body["metadata"]["annotations"]
    assert annotations == {"ome.io/deploymentMode": "RawDeployment"}
    assert answer.warnings == [
        "model nowhere does not exist yet; the service waits until it is applied"
    ]


@session
async def test_a_bad_service_is_refused_with_all_its_problems(
    replica: Replica, real: Api, space: str
) -> None:
    # What our CRD itself refuses never reaches the webhook: these are of the other sort.
    bad = service("chat", space)
    bad["metadata"]["annotations"] = {
        "ome.io/autoscalerClass": "HPA",
        "ome.io/targetUtilizationPercentage": "200",
    }
    answer = await real.call("POST", o.INFERENCE_SERVICES.path(space), bad)
    assert answer.status == 422
    assert answer.body["reason"] == "Invalid"
    assert "inferenceservice.ome-webhook-server.validator" in answer.body["message"]
    assert [cause["field"] for cause in answer.body["details"]["causes"]] == [
        "metadata.annotations[ome.io/autoscalerClass]",
        "metadata.annotations[ome.io/targetUtilizationPercentage]",
    ]


@session
async def test_kubectl_shows_all_problems(replica: Replica, cluster: Kubectl, space: str) -> None:
    bad = service("chat", space)
    bad["metadata"]["annotations"] = {"ome.io/autoscalerClass": "x", "ome.io/metrics": "y"}
    bad["spec"]["kedaConfig"] = {"scalingThreshold": "NaN"}
    done = await asyncio.to_thread(
        cluster.in_namespace(space).try_, "apply", "-f", "-", stdin=json.dumps(bad)
    )
    assert done.returncode == 1
    assert "ome.io/autoscalerClass" in done.stderr
    assert "spec.kedaConfig.scalingThreshold" in done.stderr


@session
async def test_what_the_schema_refuses_is_said_in_the_schemas_words(
    replica: Replica, real: Api, space: str
) -> None:
    bad = service("chat", space, engine="x")
    answer = await real.call("POST", o.INFERENCE_SERVICES.path(space), bad)
    assert answer.status == 422
    assert "spec.engine" in str(answer)
    assert "webhook" not in str(answer)


@session
async def test_every_manifest_of_the_corpus_is_accepted(replica: Replica, real: Api) -> None:
    refused = {}
    for manifest in corpus.manifests():
        answer = await real.call(
            "POST", manifest.path, manifest.object, dryRun="All", fieldValidation="Strict"
        )
        if not answer.ok and manifest.object["kind"] != "Namespace":
            refused[str(manifest)] = str(answer)
    assert refused == {}


@session
async def test_a_model_that_can_come_from_nowhere_is_refused(replica: Replica, real: Api) -> None:
    bad = {
        **_of(o.CLUSTER_BASE_MODELS),
        "metadata": {"name": "m"},
        "spec": {
            "modelFormat": {"name": "safetensors"},
            "storage": {"storageUri": "hf://a/b", "path": "/models/../etc"},
        },
    }
    answer = await real.call("POST", o.CLUSTER_BASE_MODELS.path(), bad, dryRun="All")
    assert answer.status == 422, answer
    assert "spec.storage.path" in str(answer)


# --- pods -----------------------------------------------------------------------------------------


@session
async def test_a_pod_that_a_deployment_makes_is_mutated(replica: Replica, space: str) -> None:
    await replica.client.create(r.DEPLOYMENTS, deployment("rdma", space, RDMA))

    async def pods() -> list[Object]:
        return (await replica.client.list(r.PODS, space)).items

    (pod,) = await until("the pod", pods)
    container = pod["spec"]["containers"][0]
    assert len(container["env"]) == 21
    assert container["securityContext"]["privileged"] is True
    assert {v["name"] for v in pod["spec"]["volumes"]} >= {"dshm", "devinf"}


@session
async def test_a_pod_without_the_label_is_not_sent_to_us(replica: Replica, space: str) -> None:
    plain = pod_of("plain", RDMA, space)
    del plain["metadata"]["labels"]
    made = await replica.client.create(r.PODS, plain, dry_run=True)
    assert "env" not in made["spec"]["containers"][0]


@session
async def test_a_pod_that_can_not_be_made_says_why_on_its_deployment(
    replica: Replica, space: str
) -> None:
    annotations = {"ome.io/inject-fine-tuned-adapter": "absent"}
    await replica.client.create(r.DEPLOYMENTS, deployment("tuned", space, annotations))

    async def failure() -> str:
        live = await replica.client.get(r.DEPLOYMENTS, "tuned", space)
        return str((condition(live, "ReplicaFailure") or {}).get("message") or "")

    text = await until("the failure", failure)
    assert "there is no FineTunedWeight absent" in text

    weight = {
        **_of(o.FINE_TUNED_WEIGHTS),
        "metadata": {"name": "absent"},
        "spec": {
            "baseModelRef": {"name": "tiny"},
            "modelType": "LoRA",
            "hyperParameters": {"strategy": "lora"},
            "storage": {"storageUri": "oci://n/tenancy/b/weights/o/v1"},
        },
    }
    await replica.client.create(o.FINE_TUNED_WEIGHTS, weight)
    try:

        async def pods() -> list[Object]:
            return (await replica.client.list(r.PODS, space)).items

        (pod,) = await until("the pod, once the weights are there", pods)
        assert [c["name"] for c in pod["spec"]["initContainers"]] == ["fine-tuned-adapter"]
    finally:
        await replica.client.delete(o.FINE_TUNED_WEIGHTS, "absent")


# --- trust and absence ----------------------------------------------------------------------------


@session
async def test_no_write_fails_while_the_certificate_is_replaced(
    replica: Replica, real: Api, space: str
) -> None:
    client = replica.client
    before = (await client.get(r.SECRETS, SECRET_NAME, "ome"))["data"]["ca.crt"]
    done = asyncio.Event()
    failures: list[str] = []
    written = 0

    async def write() -> None:
        nonlocal written
        path = o.INFERENCE_SERVICES.path(space)
        while not done.is_set():
            answer = await real.call("POST", path, service("x", space), dryRun="All")
            written += 1
            if not answer.ok:
                failures.append(str(answer))
            await asyncio.sleep(0.02)

    writing = asyncio.create_task(write())
    await client.delete(r.SECRETS, SECRET_NAME, "ome")
    keeper = replica.webhooks._keeper  # type: ignore[union-attr]
    assert keeper is not None
    await keeper.round()
    presented = keeper.authorities
    former = base64.b64decode(before)
    assert presented.endswith(former) and presented != former
    # Another registration takes place over new connections, with the new certificate.
    many = [
        real.call("POST", o.INFERENCE_SERVICES.path(space), service(f"y{i}", space), dryRun="All")
        for i in range(20)
    ]
    failures += [str(answer) for answer in await asyncio.gather(*many) if not answer.ok]
    done.set()
    await writing
    assert failures == []
    assert written > 10


@session
async def test_while_the_webhooks_are_away_nothing_passes_unreviewed_and_nothing_is_stuck(
    replica: Replica, real: Api, space: str
) -> None:
    leaving = service("leaving", space)
    leaving["metadata"]["finalizers"] = ["example.com/wait"]
    await replica.client.create(o.INFERENCE_SERVICES, leaving)
    path = o.INFERENCE_SERVICES.path(space, "leaving")
    assert (await real.call("DELETE", path)).ok
    await replica.stop()
    try:
        answer = await real.call("POST", o.INFERENCE_SERVICES.path(space), service("new", space))
        assert answer.status == 500
        assert "failed calling webhook" in str(answer)
        # The operator's own pods can come back, and what is being deleted can go.
        own = pod_of("operator", RDMA, "ome")
        assert await replica.client.create(r.PODS, own, dry_run=True)
        other = pod_of("other", {}, space)
        del other["metadata"]["labels"]
        assert await replica.client.create(r.PODS, other, dry_run=True)
        gone = await real.call("PATCH", path, {"metadata": {"finalizers": None}}, media=MERGE_PATCH)
        assert gone.ok, gone
        assert (await real.call("GET", path)).status == 404
    finally:
        await replica.start()
    answer = await until("service again", lambda: _accepted(real, space))
    assert answer


async def _accepted(real: Api, space: str) -> bool:
    path = o.INFERENCE_SERVICES.path(space)
    return (await real.call("POST", path, service("new", space), dryRun="All")).ok
