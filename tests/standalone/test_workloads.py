"""Workload controllers with the node and the API server, all real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.standalone.nodehome import NODE, Home, api, host_pod, is_ready, phase, until

from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource, condition, owner_reference
from ome.apimachinery.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
)

PORT = 18090


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with api(tmp_path) as home:
        await home.start_node()
        await home.start_workloads()
        yield home


def deployment(name: str, *command: str, replicas: int = 2, **spec: Any) -> Object:
    container = spec.pop("container", {})
    pod_spec = spec.pop("pod", {})
    template = host_pod(name, *command, container=container, **pod_spec)
    del template["spec"]["nodeName"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {
                    "labels": template["metadata"]["labels"],
                    "annotations": template["metadata"]["annotations"],
                },
                "spec": template["spec"],
            },
            **spec,
        },
    }


def web(name: str = "web", **options: Any) -> Object:
    """A small HTTP server that stops answering new connections a moment before it goes."""
    container = {
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
    }
    command = ("python", "-m", "http.server", str(PORT), "--bind", "$(POD_IP)")
    return deployment(name, *command, container=container, **options)


def service(name: str = "web") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
    }


async def get(home: Home, name: str) -> Object:
    return await home.client.get(DEPLOYMENTS, name, "default")


async def complete(home: Home, name: str, replicas: int) -> Object:
    async def look() -> Object | None:
        live = await get(home, name)
        status = live.get("status") or {}
        keys = ("replicas", "updatedReplicas", "availableReplicas")
        done = status.get("observedGeneration") == live["metadata"]["generation"]
        return live if done and all(status.get(k, 0) == replicas for k in keys) else None

    found = await until(look, what=f"{name} has {replicas} replicas", timeout=40)
    assert found is not None
    return found


async def pods(home: Home, app: str) -> list[Object]:
    return (await home.client.list(PODS, "default", label_selector=f"app={app}")).items


async def ready_addresses(home: Home, name: str = "web") -> list[str]:
    selector = f"kubernetes.io/service-name={name}"
    slices = (await home.client.list(ENDPOINT_SLICES, "default", label_selector=selector)).items
    return [
        address
        for slice_ in slices
        for endpoint in slice_.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    ]


async def test_a_deployment_becomes_pods_behind_a_service(home: Home) -> None:
    await home.client.create(SERVICES, service(), namespace="default")
    await home.client.create(DEPLOYMENTS, web(), namespace="default")
    live = await complete(home, "web", 2)
    assert (condition(live, "Available") or {})["status"] == "True"
    addresses = await until(lambda: both(home))
    assert sorted(addresses) == sorted(p["status"]["podIP"] for p in await pods(home, "web"))
    async with aiohttp.ClientSession() as session:
        for address in addresses:
            async with session.get(f"http://{address}:{PORT}/") as answer:
                assert answer.status == 200
    owner = (await pods(home, "web"))[0]["metadata"]["ownerReferences"][0]
    assert owner["kind"] == "ReplicaSet"


async def both(home: Home) -> list[str]:
    addresses = await ready_addresses(home)
    return addresses if len(addresses) == 2 else []


async def test_a_rolling_update_has_no_gap(home: Home) -> None:
    await home.client.create(SERVICES, service(), namespace="default")
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await home.client.create(DEPLOYMENTS, web(strategy=strategy), namespace="default")
    await complete(home, "web", 2)
    await until(lambda: both(home))
    over = asyncio.Event()
    answers: list[int] = []
    fewest: list[int] = []

    async def visit() -> None:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True)
        ) as session:
            while not over.is_set():
                addresses = await ready_addresses(home)
                fewest.append(len(addresses))
                for address in addresses:
                    async with session.get(f"http://{address}:{PORT}/") as answer:
                        answers.append(answer.status)
                await asyncio.sleep(0.02)

    task = asyncio.create_task(visit())
    before = {p["metadata"]["uid"] for p in await pods(home, "web")}
    patch = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
    await home.client.patch(DEPLOYMENTS, "web", patch, namespace="default")
    await complete(home, "web", 2)
    over.set()
    await task  # a refused connection would be raised here
    after = {
        p["metadata"]["uid"]
        for p in await pods(home, "web")
        if not p["metadata"].get("deletionTimestamp")
    }
    assert not before & after
    assert set(answers) == {200}
    assert len(answers) > 20
    assert min(fewest) >= 2


async def test_scaling_changes_the_number_of_pods_and_nothing_else(home: Home) -> None:
    await home.client.create(DEPLOYMENTS, deployment("d", "sleep 60"), namespace="default")
    await complete(home, "d", 2)
    first = {p["metadata"]["uid"] for p in await pods(home, "d")}
    await home.client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 4}}, namespace="default")
    await complete(home, "d", 4)
    assert first < {p["metadata"]["uid"] for p in await pods(home, "d")}
    await home.client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 1}}, namespace="default")
    await complete(home, "d", 1)
    await until(lambda: left(home, "d", 1))
    assert len((await home.client.list(REPLICA_SETS, "default")).items) == 1


async def left(home: Home, app: str, count: int) -> bool:
    return len(await pods(home, app)) == count


async def test_a_deleted_pod_is_replaced_by_exactly_one(home: Home) -> None:
    await home.client.create(DEPLOYMENTS, deployment("d", "sleep 60"), namespace="default")
    await complete(home, "d", 2)
    victim = (await pods(home, "d"))[0]["metadata"]["name"]
    await home.delete(victim)
    await home.gone(victim)
    await complete(home, "d", 2)
    listed = await home.client.list(PODS, "default")
    assert len(listed.items) == 2
    created = [
        e for e in await home.events((await sets(home))[0]["metadata"]["name"]) if "Created" in e
    ]
    assert len(created) == 3


async def sets(home: Home) -> list[Object]:
    return (await home.client.list(REPLICA_SETS, "default")).items


async def test_an_orphan_that_matches_is_adopted_and_a_relabelled_pod_let_go(home: Home) -> None:
    orphan = host_pod("orphan", "sleep 60", labels={"app": "d"})
    await home.create(orphan)
    await home.pod_when("orphan", is_ready)
    await home.client.create(DEPLOYMENTS, deployment("d", "sleep 60"), namespace="default")
    await complete(home, "d", 2)
    # A Deployment's ReplicaSet selects by hash too, so the orphan is not its own.
    assert not (await home.pod("orphan") or {})["metadata"].get("ownerReferences")
    (rs,) = await sets(home)
    labels = {"labels": rs["spec"]["selector"]["matchLabels"]}
    await home.client.patch(PODS, "orphan", {"metadata": labels}, namespace="default")
    await home.pod_when("orphan", lambda p: p["metadata"].get("ownerReferences"))

    async def two_left() -> bool:
        return (
            len([p for p in await pods(home, "d") if not p["metadata"].get("deletionTimestamp")])
            == 2
        )

    await until(two_left)
    one = next(p for p in await pods(home, "d") if not p["metadata"].get("deletionTimestamp"))
    name = one["metadata"]["name"]
    await home.client.patch(
        PODS, name, {"metadata": {"labels": {"app": "free"}}}, namespace="default"
    )
    await home.pod_when(name, lambda p: not p["metadata"].get("ownerReferences"))
    await complete(home, "d", 2)


async def test_a_pod_that_fits_nowhere_says_why_and_goes_when_the_node_changes(home: Home) -> None:
    pod = host_pod("a", "sleep 60", nodeSelector={"model": "here"})
    del pod["spec"]["nodeName"]
    await home.create(pod)
    shown = await home.pod_when("a", lambda p: condition(p, "PodScheduled"))
    refused = condition(shown, "PodScheduled") or {}
    assert (refused["status"], refused["reason"]) == ("False", "Unschedulable")
    assert refused["message"] == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    )
    await home.client.patch(NODES, NODE, {"metadata": {"labels": {"model": "here"}}})
    shown = await home.pod_when("a", is_ready)
    assert (condition(shown, "PodScheduled") or {})["status"] == "True"


async def test_a_pod_waits_for_room_and_takes_it_when_another_leaves(tmp_path: Path) -> None:
    async with api(tmp_path) as home:
        await home.start_node(capacity={"nvidia.com/gpu": "1"})
        await home.start_workloads()
        for name in ("a", "b"):
            pod = host_pod(
                name, "sleep 60", container={"resources": {"limits": {"nvidia.com/gpu": 1}}}
            )
            del pod["spec"]["nodeName"]
            await home.create(pod)
            if name == "a":
                await home.pod_when("a", is_ready)
        shown = await home.pod_when("b", lambda p: condition(p, "PodScheduled"))
        message = (condition(shown, "PodScheduled") or {})["message"]
        assert message == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
        await home.delete("a")
        await home.pod_when("b", is_ready)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_deleting_a_deployment_deletes_its_pods(home: Home, propagation: str) -> None:
    await home.client.create(DEPLOYMENTS, deployment("d", "sleep 60"), namespace="default")
    await complete(home, "d", 2)
    await home.client.delete(DEPLOYMENTS, "d", "default", propagation=propagation)

    async def clean() -> bool:
        kinds = (DEPLOYMENTS, REPLICA_SETS, PODS)
        return not any([(await home.client.list(k, "default")).items for k in kinds])

    await until(clean)
    assert not list((home.data / "pods").iterdir())


async def test_orphaned_dependents_stay(home: Home) -> None:
    await home.client.create(
        DEPLOYMENTS, deployment("d", "sleep 60", replicas=1), namespace="default"
    )
    await complete(home, "d", 1)
    await home.client.delete(DEPLOYMENTS, "d", "default", propagation="Orphan")

    async def deployment_gone() -> bool:
        return not (await home.client.list(DEPLOYMENTS, "default")).items

    await until(deployment_gone)
    (rs,) = await sets(home)
    assert not rs["metadata"].get("ownerReferences")
    assert len(await pods(home, "d")) == 1
    # The same Deployment again takes up what is there.
    await home.client.create(
        DEPLOYMENTS, deployment("d", "sleep 60", replicas=1), namespace="default"
    )
    await complete(home, "d", 1)
    (again,) = await sets(home)
    assert again["metadata"]["uid"] == rs["metadata"]["uid"]
    assert again["metadata"]["ownerReferences"][0]["name"] == "d"


async def test_an_object_whose_owner_never_existed_is_collected_and_shared_ones_stay(
    home: Home,
) -> None:
    keep: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    owner = await home.client.create(CONFIG_MAPS, keep, namespace="default")
    ghost = owner_reference(owner) | {"name": "ghost", "uid": "ghost"}
    for name, owners in (("lost", [ghost]), ("shared", [ghost, owner_reference(owner)])):
        for reference in owners:
            reference["controller"] = False
        obj: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "ownerReferences": owners},
        }
        await home.client.create(CONFIG_MAPS, obj, namespace="default")

    async def lost_gone() -> bool:
        return not await exists(home, "lost")

    async def reference_dropped() -> bool:
        found = await home.client.get(CONFIG_MAPS, "shared", "default")
        return len(found["metadata"]["ownerReferences"]) == 1

    await until(lost_gone)
    await until(reference_dropped)
    await home.client.delete(CONFIG_MAPS, "owner", "default")

    async def shared_gone() -> bool:
        return not await exists(home, "shared")

    await until(shared_gone)


async def exists(home: Home, name: str) -> bool:
    try:
        await home.client.get(CONFIG_MAPS, name, "default")
    except NotFound:
        return False
    return True


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_custom_objects_own_workloads_too(home: Home, propagation: str) -> None:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition: Object = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }
    await home.client.create(CUSTOM_RESOURCE_DEFINITIONS, definition)

    async def established() -> bool:
        live = await home.client.get(CUSTOM_RESOURCE_DEFINITIONS, "things.example.com")
        return (condition(live, "Established") or {}).get("status") == "True"

    await until(established)
    things = Resource("example.com", "v1", "things", "Thing")
    made: Object = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}}
    owner = await home.client.create(things, made, namespace="default")
    wanted = deployment("d", "sleep 60", replicas=1)
    wanted["metadata"]["ownerReferences"] = [owner_reference(owner)]
    await home.client.create(DEPLOYMENTS, wanted, namespace="default")
    await complete(home, "d", 1)
    await home.client.delete(things, "t", "default", propagation=propagation)

    async def clean() -> bool:
        kinds = (things, DEPLOYMENTS, REPLICA_SETS, PODS)
        return not any([(await home.client.list(k, "default")).items for k in kinds])

    await until(clean)


async def test_a_deleted_namespace_is_emptied_first(home: Home) -> None:
    namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    await home.client.create(NAMESPACES, namespace)
    pod = host_pod("a", "sleep 60")
    pod["metadata"]["namespace"] = "team"
    await home.client.create(PODS, pod, namespace="team")
    config: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    await home.client.create(CONFIG_MAPS, config, namespace="team")
    await home.client.delete(NAMESPACES, "team")

    async def gone() -> bool:
        listed = await home.client.list(NAMESPACES)
        return "team" not in [n["metadata"]["name"] for n in listed.items]

    await until(gone)
    assert not list((home.data / "pods").iterdir())


async def test_a_job_runs_to_completion_and_a_failing_one_gives_up(home: Home) -> None:
    def job(name: str, script: str, **spec: Any) -> Object:
        template = host_pod(name, script, restartPolicy="Never")
        del template["spec"]["nodeName"]
        meta = {k: template["metadata"][k] for k in ("labels", "annotations")}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"template": {"metadata": meta, "spec": template["spec"]}, **spec},
        }

    await home.client.create(JOBS, job("good", "exit 0", completions=2), namespace="default")
    await home.client.create(JOBS, job("bad", "exit 1", backoffLimit=0), namespace="default")

    def when(name: str, type_: str) -> Callable[[], Awaitable[Object | None]]:
        async def look() -> Object | None:
            live = await home.client.get(JOBS, name, "default")
            return live if (condition(live, type_) or {}).get("status") == "True" else None

        return look

    done = await until(when("good", "Complete"))
    assert done is not None
    assert done["status"]["succeeded"] == 2
    failed = await until(when("bad", "Failed"))
    assert (condition(failed or {}, "Failed") or {})["reason"] == "BackoffLimitExceeded"
    assert [phase(p) for p in await pods(home, "bad")] == ["Failed"]
