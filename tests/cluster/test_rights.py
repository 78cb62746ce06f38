"""The chart's rights, counted: everything that operator and agent may do is used by something here,
and nothing that they try is refused.

The tests before the last two play what gives rights a use; the last two read the API server's audit
log. So the file is run as a whole.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.modes import CASES, DISABLED, RT
from tests.cluster.omehome import ACCOUNT, AGENT, Home
from tests.cluster.place import Place
from tests.cluster.players import playing
from tests.cluster.replicas import Replica, audited, kubeconfig, until
from tests.cluster.rights import asked_for, unused
from tests.cluster.waiting import until as wait_until
from tests.fakes.hub import FakeHub, Repository
from tests.fakes.objects import model, runtime, service
from tests.standalone.test_benchmarks import benchmark

from ome.admission.certificates import SECRET_NAME
from ome.agent.peers.turns import lease_name
from ome.api import constants as c
from ome.api import external as x
from ome.api import resources as o
from ome.api.names import model_config_map_key
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Resource, labels_of
from ome.benchmark.job import A_SUSPEND
from ome.cli.install import rbac
from ome.kube import Client, connect

Object = dict[str, Any]
pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def home(
    bed: ControlPlane, cluster: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """With everything that can be switched on, but for what other settings stand for."""
    home = Home(bed, cluster, tmp_path_factory.mktemp("rights"), {"catalog.enabled": True})
    try:
        home.install()
        # Other modules take rights away, and start API servers that know of none for a moment.
        home.before = {account: len(audited(bed, account)) for account in (ACCOUNT, AGENT)}
        home.start("--catalog", "true", "--catalog-models", '["bge-m3"]')
        home.replica()
        yield home
    finally:
        home.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(bed: ControlPlane) -> AsyncIterator[Client]:
    async with await connect(bed.kubeconfig()) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def place(home: Home, ns: Kubectl, client: Client) -> AsyncIterator[Place]:
    """The operator is the chart's; the place only holds the test's objects."""
    made = Place(client, ns.namespace)
    await made.configure(DISABLED)
    claim = {"storageUri": "pvc://models/tiny", "path": "/opt/ml/model"}
    await made.apply(model(), model("on-claim", storage=claim))
    home.report("tiny")
    async with playing(client, ns.namespace):
        yield made
    await made.clear()


async def test_the_catalog_is_put_on_the_cluster(home: Home, client: Client) -> None:
    async def there() -> bool:
        listed = await client.list(o.CLUSTER_BASE_MODELS)
        return "bge-m3" in [item["metadata"]["name"] for item in listed.items]

    await wait_until("the catalog's model is there", there)
    for resource in (o.CLUSTER_BASE_MODELS, o.ACCELERATOR_CLASSES, o.CLUSTER_SERVING_RUNTIMES):
        for item in (await client.list(resource)).items:
            if "ome.io/content-hash" in (item["metadata"].get("annotations") or {}):
                await client.delete(resource, item["metadata"]["name"])


FOREIGN = ("keda", "serverless", "ray", "ingress", "gateway")
"""Cases whose children are of other projects' kinds; the rest is in the tests after."""


@pytest.mark.parametrize("name", FOREIGN)
async def test_what_a_mode_made_goes_with_the_mode(place: Place, name: str) -> None:
    case = CASES[name]
    children = (*case.workloads, *case.others)
    await place.configure(case.ingress)
    await place.apply(case.runtime, case.service)
    await place.until_ready(case.reason)
    await _labelled(place, case.service, *(c for c in children if c[0] != r.SERVICES))
    await place.configure(DISABLED)
    raw = {c.A_DEPLOYMENT_MODE: c.MODE_RAW}
    plain = service(runtime=RT, engine={"minReplicas": 2, "maxReplicas": 3})
    plain["metadata"]["annotations"] = raw
    await place.apply(runtime(), plain)
    for resource, child in children:
        if resource not in (r.SERVICES, r.DEPLOYMENTS):
            await place.gone(resource, child)
    await place.until_ready()
    await place.client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)


async def _labelled(place: Place, wanted: Object, *children: tuple[Resource, str]) -> None:
    """A label of the service goes to what was made for it, and comes back to it: everything that
    is made can be changed. Some kinds are made anew where they could be, so one alone is no proof.
    """
    wanted = copy.deepcopy(wanted)
    wanted["metadata"].setdefault("labels", {})["team"] = "blue"
    await place.apply(wanted)
    for resource, name in children:

        async def there(resource: Resource = resource, name: str = name) -> bool:
            return labels_of(await place.get(resource, name)).get("team") == "blue"

        await wait_until(f"{resource.kind} {name} has the label", there)
    await place.until_ready()
    for resource, name in children:
        without: Object = {"metadata": {"labels": {"team": None}}}
        await place.client.patch(resource, name, without, namespace=place.namespace)

        async def back(resource: Resource = resource, name: str = name) -> bool:
            return labels_of(await place.get(resource, name)).get("team") == "blue"

        await wait_until(f"{resource.kind} {name} has the label again", back)


async def test_groups_and_routers_come_and_go(place: Place) -> None:
    """From a Deployment with a router to a group of pods without one, and back."""
    from tests.unit.rendering.modes import gpu_runtime

    routed = runtime()
    routed["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}
    few = {"minReplicas": 1}
    both = service(runtime=RT, engine=few, router=few)
    await place.apply(routed, both)
    await place.until_ready()
    kinds = [r.DEPLOYMENTS, r.SERVICE_ACCOUNTS, r.ROLES, r.ROLE_BINDINGS]
    kinds += [r.HORIZONTAL_POD_AUTOSCALERS, r.POD_DISRUPTION_BUDGETS]
    await _labelled(place, both, *((kind, "chat-router") for kind in kinds))
    meshed = {**few, "labels": {c.L_ISTIO_INJECT: "true"}}
    groups = service(runtime={"name": "groups"}, engine=meshed)
    await place.apply(gpu_runtime(2), groups)
    await place.gone(r.DEPLOYMENTS, "chat-router")
    await place.gone(r.DEPLOYMENTS, "chat-engine")
    await place.until_ready()
    await _labelled(
        place, groups, (x.LEADER_WORKER_SETS, "lws-chat-engine"), (x.SIDECARS, "chat-engine")
    )
    await place.apply(runtime(), service(runtime=RT, engine=few))
    await place.gone(x.SIDECARS, "chat-engine")
    await place.exists(r.DEPLOYMENTS, "chat-engine")
    await place.until_ready()
    await place.client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)


async def test_a_benchmark_is_made_suspended_resumed_and_deleted(
    place: Place, client: Client
) -> None:
    await place.apply(runtime(), service(runtime=RT))
    await place.until_ready()
    named = {"inferenceService": {"name": "chat", "namespace": place.namespace}}
    # Its claim is not there, so its pod waits: kwok's nodes have no logs to read.
    made = benchmark("bench", endpoint=named)
    made["metadata"] = {"name": "bench", "finalizers": [c.FINALIZER_BENCHMARK_JOB]}

    async def job() -> Object:
        found = (await client.list(r.JOBS, place.namespace)).items
        return found[0] if found else {}

    async def suspend(wanted: bool) -> None:
        note = {"metadata": {"annotations": {A_SUSPEND: "true" if wanted else None}}}
        await client.patch(o.BENCHMARK_JOBS, "bench", note, namespace=place.namespace)

        async def followed() -> bool:
            return bool((await job())["spec"].get("suspend")) == wanted

        await wait_until(f"the Job's suspension is {wanted}", followed)

    await place.apply(made)
    await wait_until("it has a Job", job)
    await suspend(True)
    await suspend(False)
    await client.delete(o.BENCHMARK_JOBS, "bench", place.namespace)
    await place.gone(o.BENCHMARK_JOBS, "bench")
    await client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)


async def test_a_model_on_a_claim_is_looked_at_by_a_job(place: Place, client: Client) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "disk", "namespace": place.namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": "none",
        },
    }
    await client.create(r.PERSISTENT_VOLUME_CLAIMS, claim)
    held: Object = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "BaseModel",
        "metadata": {"name": "held"},
        "spec": {"storage": {"storageUri": "pvc://disk/one"}},
    }
    await place.apply(held)
    uids: set[str] = set()

    async def another() -> bool:
        found = {
            job["metadata"]["uid"] for job in (await client.list(r.JOBS, place.namespace)).items
        }
        new = found - uids
        uids.update(found)
        return bool(new)

    await wait_until("a Job looks at the files", another)
    held["spec"]["storage"]["storageUri"] = "pvc://disk/two"
    await place.apply(held)
    await wait_until("another one looks at other files", another)
    await client.delete(o.BASE_MODELS, "held", place.namespace)
    await place.gone(o.BASE_MODELS, "held")


async def test_fine_tuned_weights_have_a_state(place: Place, client: Client) -> None:
    weights = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "FineTunedWeight",
        "metadata": {"name": "weights"},
        "spec": {
            "baseModelRef": {"name": "tiny"},
            "modelType": "LoRA",
            "hyperParameters": {},
            "storage": {"storageUri": "hf://org/weights"},
        },
    }
    await place.apply(weights)

    async def seen() -> bool:
        live = await client.get(o.FINE_TUNED_WEIGHTS, "weights")
        return bool(live.get("status")) and bool(live["metadata"].get("finalizers"))

    await wait_until("the weights are looked at", seen)
    await client.delete(o.FINE_TUNED_WEIGHTS, "weights")
    await place.gone(o.FINE_TUNED_WEIGHTS, "weights")


async def test_what_an_earlier_manager_held_back_is_let_go(
    home: Home, place: Place, client: Client
) -> None:
    held = service(runtime=RT)
    held["metadata"]["finalizers"] = [c.FINALIZER_INFERENCE_SERVICE]
    await place.apply(runtime(), held)
    accelerator = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "AcceleratorClass",
        "metadata": {"name": "held", "finalizers": [c.FINALIZER_ACCELERATOR_CLASS]},
        "spec": {"discovery": {"nodeSelector": {"kubernetes.io/os": "linux"}}, "capabilities": {}},
    }
    local = model("local")
    local["kind"] = "BaseModel"
    await place.apply(accelerator, local)
    await place.until_ready()

    async def counted() -> bool:
        live = await client.get(o.ACCELERATOR_CLASSES, "held")
        return bool((live.get("status") or {}).get("availableNodes"))

    await wait_until("the class counts its nodes", counted)

    async def seen() -> bool:
        live = await place.get(o.BASE_MODELS, "local")
        return bool(live.get("status")) and bool(live["metadata"].get("finalizers"))

    await wait_until("the model is looked at", seen)
    await client.delete(o.ACCELERATOR_CLASSES, "held")
    await client.delete(o.BASE_MODELS, "local", place.namespace)
    await client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)
    await place.gone(o.ACCELERATOR_CLASSES, "held")
    await place.gone(o.BASE_MODELS, "local")
    await place.gone(o.INFERENCE_SERVICES, "chat")


async def test_the_log_of_an_engine_that_left_no_message_is_asked_for(
    home: Home, place: Place, client: Client
) -> None:
    crashing = {"annotations": {"bed.ome.io/behaviour": "out-of-memory"}}
    await place.apply(runtime(), service(runtime=RT, engine=crashing))

    async def asked() -> bool:
        return ("", "pods/log", "get") in asked_for(home, ACCOUNT)[0]

    await wait_until("the log is asked for", asked)
    await client.delete(o.INFERENCE_SERVICES, "chat", place.namespace)


async def test_a_broken_certificate_is_replaced(home: Home) -> None:
    """Also what the right to update the Secret is for."""
    replica = home.replica()
    before = home.admin.get("secret", SECRET_NAME)["data"]
    broken = json.dumps({"data": {"tls.crt": base64.b64encode(b"nonsense").decode()}})
    home.admin.run("patch", "secret", SECRET_NAME, "--type=merge", "-p", broken)
    nonsense = json.loads(broken)["data"]["tls.crt"]
    home.end(replica)
    home.replica()
    until(
        "there is a new certificate",
        lambda: (
            home.admin.get("secret", SECRET_NAME)["data"]["tls.crt"]
            not in (before["tls.crt"], nonsense)
        ),
    )
    name = "from-after"
    made = {**model(name), "metadata": {"name": name}}
    until("webhooks answer", lambda: home.admin.try_("apply", "-f", "-", stdin=json.dumps(made)))
    home.admin.run("delete", "clusterbasemodel", name, "--wait=false")


async def test_a_node_that_goes_takes_its_report_with_it(home: Home, client: Client) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "short-lived"}}
    report = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "short-lived",
            "namespace": "ome",
            "labels": {c.L_MODEL_STATUS: "true"},
            "annotations": {c.A_NODE_NAME: "short-lived"},
        },
    }
    await client.create(r.NODES, node)
    await client.create(r.CONFIG_MAPS, report)
    await client.delete(r.NODES, "short-lived")

    async def gone() -> bool:
        listed = await client.list(r.CONFIG_MAPS, "ome")
        return "short-lived" not in [item["metadata"]["name"] for item in listed.items]

    await wait_until("its report is gone", gone)


async def test_an_agent_brings_gated_models_with_the_secret_that_they_name(
    home: Home, client: Client, tmp_path: Path
) -> None:
    """The agent as the chart runs it: its account, its token, and nothing else."""
    from tests.standalone.agentworld import llama

    hub = FakeHub()
    hub.repositories["org/gated"] = Repository(llama(), gated=True)
    await hub.start()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hub-token", "namespace": "ome"},
        "data": {"token": base64.b64encode(hub.token.encode()).decode()},
    }
    # Two, so that one has to wait; of one it has taken the turn, in a life before this one.
    names = ("gated", "gated-too")
    for name in names:
        storage = {"storageUri": "hf://org/gated", "path": f"/raid/models/{name}"}
        gated = model(name, storage={**storage, "key": "hub-token"})
        live = await client.apply(o.CLUSTER_BASE_MODELS, gated, field_manager="user")
    meta = live["metadata"]
    turn = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": lease_name(
                f"{model_config_map_key('', meta['name'])} {meta['uid']} {meta['generation']}"
            ),
            "namespace": "ome",
        },
        "spec": {"holderIdentity": "node-2"},
    }
    await client.create(r.LEASES, turn)
    token = home.admin.run("create", "token", AGENT, "--duration", "2h").strip()
    config = kubeconfig(home.bed, token, tmp_path / "agent.kubeconfig")
    command = [sys.executable, "-m", "ome.cli", "agent", "--kubeconfig", str(config)]
    command += ["--namespace", "ome", "--node-name", "node-2", "--listen", "127.0.0.1:0"]
    command += ["--models-root", str(tmp_path / "models"), "--slots", "1", "--share", "true"]
    command += ["--share-listen", "127.0.0.1:0", "--advertise", "127.0.0.1"]
    path = os.pathsep.join(p for p in sys.path if p)
    log = tmp_path / "agent.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, "PYTHONPATH": path, "HF_ENDPOINT": hub.url},
        )
    try:
        await client.create(r.SECRETS, secret)
        for name in names:

            async def ready(name: str = name) -> bool:
                live = await client.get(o.CLUSTER_BASE_MODELS, name)
                return "node-2" in ((live.get("status") or {}).get("nodesReady") or ())

            try:
                await wait_until(f"the model {name} is on the node", ready)
            except BaseException:
                print(log.read_text()[-4000:])
                raise
        for name in names:
            await client.delete(o.CLUSTER_BASE_MODELS, name)

        async def gone() -> bool:
            listed = await client.list(o.CLUSTER_BASE_MODELS)
            return not set(names) & {item["metadata"]["name"] for item in listed.items}

        await wait_until("the models are gone", gone)
        assert not any((tmp_path / "models" / name).exists() for name in names)
    finally:
        process.terminate()
        await process.wait()
        await hub.stop()
        await client.delete(r.SECRETS, "hub-token", "ome")


async def test_the_operator_lacks_no_right_and_has_none_in_vain(home: Home) -> None:
    asked, refused = asked_for(home, ACCOUNT)
    assert refused == []
    rules = (*rbac.OPERATOR_CLUSTER, *rbac.OPERATOR_CATALOG, *rbac.OPERATOR_OWN)
    assert unused(rules, asked) == []
    secrets = {verb for _, place, verb in asked if place == "secrets"}
    assert secrets <= {"get", "create", "update"}, "Secrets are read by name"


async def test_the_agent_lacks_no_right_and_has_none_in_vain(home: Home) -> None:
    asked, refused = asked_for(home, AGENT)
    assert refused == []
    rules = (*rbac.AGENT_CLUSTER, *rbac.AGENT_SECRETS, *rbac.AGENT_OWN)
    assert unused(rules, asked) == []
    secrets = {verb for _, place, verb in asked if place == "secrets"}
    assert secrets == {"get", "create"}, "Secrets are read by name; the agents' own is made"


async def test_what_is_not_given_is_refused(home: Home, tmp_path: Path) -> None:
    """The rights are the chart's and not an administrator's."""
    replica: Replica = home.replica()
    assert replica.leads
    for account in (ACCOUNT, AGENT):
        as_it = f"--as=system:serviceaccount:ome:{account}"
        for verb, what in (("list", "secrets"), ("delete", "nodes"), ("create", "clusterroles")):
            done = home.admin.try_("auth", "can-i", verb, what, "--all-namespaces", as_it)
            assert done.stdout.strip() == "no", (account, verb, what)
