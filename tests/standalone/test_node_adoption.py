"""OME is killed; pods go on; the next start takes them up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest
from tests.standalone.nodehome import (
    Child,
    Home,
    api,
    host_pod,
    is_ready,
    main_status,
    phase,
    state,
    until,
)

from ome.apimachinery.objects import Object
from ome.apimachinery.resources import DEPLOYMENTS, PODS
from ome.kube import Client
from ome.standalone.node import stop_everything


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with api(tmp_path) as home:
        yield home


def pids(directory: Path) -> dict[str, int]:
    """Container id -> pid, from the state files."""
    result: dict[str, int] = {}
    for path in (directory / "state").iterdir():
        values = dict(line.split("=", 1) for line in path.read_text().splitlines())
        result[values["id"]] = int(values["pid"])
    return result


async def test_after_kill_9_pods_serve_on_and_are_adopted_without_a_second_copy(home: Home) -> None:
    child = await Child(home.data, "node").start()
    command = ("python", "-m", "http.server", "18081", "--bind", "$(POD_IP)")
    probe = {"readinessProbe": {"httpGet": {"port": 18081}, "periodSeconds": 1}}
    created = await home.create(host_pod("a", *command, container=probe))
    pod = await home.pod_when("a", is_ready)
    address, before = pod["status"]["podIP"], pids(home.directory(created))
    await child.kill()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{address}:18081/") as answer:
            assert answer.status == 200
        child = await Child(home.data, "node").start()
        # Something must happen to the pod for us to know that it was looked at.
        await home.create(host_pod("b", "sleep 60"))
        await home.pod_when("b", is_ready)
        async with session.get(f"http://{address}:18081/") as answer:
            assert answer.status == 200
    pod = await home.pod_when("a", is_ready)
    assert main_status(pod)["restartCount"] == 0
    assert pod["status"]["podIP"] == address
    assert pids(home.directory(created)) == before
    copies = [
        p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[-1:] == [address]
    ]
    assert len(copies) == 1
    # It is truly in hand again: its death is seen and it can be deleted.
    os.kill(before["main.0"], signal.SIGKILL)
    await home.pod_when("a", lambda p: main_status(p)["restartCount"] == 1 and is_ready(p))
    await home.delete("a")
    await home.gone("a")
    await child.kill()


async def test_exit_codes_from_while_ome_was_down_are_told_and_counted(
    home: Home, tmp_path: Path
) -> None:
    flag = tmp_path / "go"
    script = f"while [ ! -e {flag} ]; do sleep 0.02; done; echo last words; exit 7"
    child = await Child(home.data, "node").start()
    created = await home.create(host_pod("a", script, restartPolicy="Never"))
    await home.pod_when("a", is_ready)
    await child.kill()
    flag.touch()

    async def recorded() -> bool:
        return "code=7" in (home.directory(created) / "state" / "main.0").read_text()

    await until(recorded)
    child = await Child(home.data, "node").start()
    pod = await home.pod_when("a", lambda p: phase(p) == "Failed")
    ended = state(pod, "terminated")
    assert (ended["exitCode"], ended["message"]) == (7, "last words")
    await child.kill()


async def test_what_was_deleted_while_ome_was_down_is_stopped(home: Home) -> None:
    child = await Child(home.data, "node").start()
    asked, forced = host_pod("asked", "sleep 943"), host_pod("forced", "sleep 944")
    for pod in (asked, forced):
        await home.create(pod)
    for name in ("asked", "forced"):
        await home.pod_when(name, is_ready)
    await child.kill()
    await home.delete("asked")
    await home.delete("forced", grace_period_seconds=0)
    await home.gone("forced")
    child = await Child(home.data, "node").start()
    await home.gone("asked")

    async def nothing_left() -> bool:
        return not list((home.data / "pods").iterdir())

    await until(nothing_left)
    commands = [(p.info["cmdline"] or [""])[-1] for p in psutil.process_iter(["cmdline"])]
    assert not {"943", "944"} & set(commands)
    await child.kill()


async def test_a_pod_whose_shim_died_too_is_restarted_once(home: Home) -> None:
    child = await Child(home.data, "node").start()
    created = await home.create(host_pod("a", "sleep 942"))
    await home.pod_when("a", is_ready)
    await child.kill()
    text = (home.directory(created) / "shim.pid").read_text()
    os.kill(int(text.split("pid=")[1].split()[0]), signal.SIGKILL)
    child = await Child(home.data, "node").start()
    pod = await home.pod_when("a", lambda p: main_status(p)["restartCount"] == 1 and is_ready(p))
    assert main_status(pod)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    copies = [
        p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[-1:] == ["942"]
    ]
    assert len(copies) == 1
    await child.kill()


async def test_a_killed_home_comes_back_with_the_same_processes(tmp_path: Path) -> None:
    """API server, controllers and node die together, ten times in a row."""
    template = host_pod("x", "sleep 941")
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {k: template["metadata"][k] for k in ("labels", "annotations")},
                "spec": template["spec"],
            },
        },
    }
    parts = ("api", "node", "workloads")
    child = await Child(tmp_path, *parts).start()
    try:
        async with Client.unix(tmp_path / "api.sock") as client:
            await client.create(DEPLOYMENTS, deployment, namespace="default")
            first = await available(client)
        for _ in range(10):
            await child.kill()
            child = await Child(tmp_path, *parts).start()
        async with Client.unix(tmp_path / "api.sock") as client:
            assert await available(client) == first
            pods = (await client.list(PODS, "default")).items
            assert [main_status(p)["restartCount"] for p in pods] == [0, 0]
        commands = [(p.info["cmdline"] or [""])[-1] for p in psutil.process_iter(["cmdline"])]
        assert commands.count("941") == 2
    finally:
        await child.kill()
        await stop_everything(tmp_path, 1)


async def available(client: Client) -> list[str]:
    async def look() -> list[str]:
        pods = (await client.list(PODS, "default")).items
        return (
            sorted(p["metadata"]["uid"] for p in pods)
            if len(pods) == 2 and all(map(is_ready, pods))
            else []
        )

    return await until(look)


@pytest.mark.parametrize("seed", [1, 2])
async def test_kills_in_the_middle_of_rollouts_leave_exactly_what_was_asked_for(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    marker = f"93{seed}"
    template = host_pod("x", f"exec sleep {marker}")
    del template["spec"]["nodeName"]
    meta = {k: template["metadata"][k] for k in ("labels", "annotations")}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": meta, "spec": template["spec"]},
        },
    }
    parts = ("api", "node", "workloads")
    child = await Child(tmp_path, *parts).start()
    try:
        async with Client.unix(tmp_path / "api.sock") as client:
            await client.create(DEPLOYMENTS, deployment, namespace="default")
        for number in range(10):
            async with Client.unix(tmp_path / "api.sock") as client:
                change = {"metadata": {"annotations": {"version": str(number)}}}
                patch = {"spec": {"replicas": chance.randint(1, 5), "template": change}}
                await client.patch(DEPLOYMENTS, "web", patch, namespace="default")
            await asyncio.sleep(chance.uniform(0, 0.4))  # any moment is as good as another
            await child.kill()
            child = await Child(tmp_path, *parts).start()
        async with Client.unix(tmp_path / "api.sock") as client:
            await client.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 2}}, namespace="default")
            pods = await until(lambda: settled(client), timeout=60)
            living = sorted(p["metadata"]["uid"] for p in pods)
            assert sorted(p.name for p in (tmp_path / "pods").iterdir()) == living
        commands = [(p.info["cmdline"] or [""])[-1] for p in psutil.process_iter(["cmdline"])]
        assert commands.count(marker) == 2
    finally:
        await child.kill()
        await stop_everything(tmp_path, 1)
    commands = [(p.info["cmdline"] or [""])[-1] for p in psutil.process_iter(["cmdline"])]
    assert commands.count(marker) == 0


async def settled(client: Client) -> list[Object]:
    """The pods, once the rollout is complete and the old ones are gone."""
    live = await client.get(DEPLOYMENTS, "web", "default")
    status = live.get("status") or {}
    keys = ("replicas", "updatedReplicas", "availableReplicas")
    pods = (await client.list(PODS, "default")).items
    done = status.get("observedGeneration") == live["metadata"]["generation"]
    return pods if done and len(pods) == 2 and all(status.get(k) == 2 for k in keys) else []
