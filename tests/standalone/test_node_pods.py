"""Pods as processes of this machine, against the real embedded API server."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from tests.standalone.nodehome import (
    NODE,
    Home,
    api,
    host_pod,
    is_ready,
    main_status,
    phase,
    state,
    until,
)

from ome.apimachinery.errors import BadRequest
from ome.apimachinery.objects import condition
from ome.apimachinery.resources import CONFIG_MAPS, LEASES, NODES, SECRETS

FOREVER = "while :; do sleep 0.05; done"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with api(tmp_path) as home:
        await home.start_node(host_path_map={"/raid/models": tmp_path / "models"})
        yield home


async def config_map(home: Home, name: str, **data: str) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    await home.client.create(CONFIG_MAPS, obj, namespace="default")


async def secret(home: Home, name: str, **data: str) -> None:
    encoded = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
    obj = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}
    await home.client.create(SECRETS, obj, namespace="default")


async def test_the_node_shows_what_it_is_and_renews_its_lease(home: Home) -> None:
    node = await home.client.get(NODES, NODE)
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == NODE
    assert (condition(node, "Ready") or {})["status"] == "True"
    assert node["status"]["allocatable"]["cpu"] == str(os.cpu_count())
    assert "nvidia.com/gpu" in node["status"]["capacity"]
    first = await home.client.get(LEASES, NODE, "kube-node-lease")

    async def renewed() -> bool:
        lease = await home.client.get(LEASES, NODE, "kube-node-lease")
        return bool(lease["spec"]["renewTime"] != first["spec"]["renewTime"])

    await until(renewed)


async def test_a_pod_runs_with_its_own_address_and_is_ready(home: Home) -> None:
    await home.create(host_pod("a", f"echo at $(POD_IP); {FOREVER}"))
    pod = await home.pod_when("a", is_ready)
    assert phase(pod) == "Running"
    address = pod["status"]["podIP"]
    assert address.startswith("127.")
    assert address != "127.0.0.1"
    await until(lambda: home.logs("a"))
    assert await home.logs("a") == f"at {address}\n"
    assert "Started: Started container main" in await home.events("a")


async def test_two_pods_may_use_the_same_port(home: Home) -> None:
    for name in ("a", "b"):
        command = ("python", "-m", "http.server", "18080", "--bind", "$(POD_IP)")
        probe = {"readinessProbe": {"httpGet": {"port": 18080}, "periodSeconds": 1}}
        await home.create(host_pod(name, *command, container=probe))
    addresses = {(await home.pod_when(n, is_ready))["status"]["podIP"] for n in ("a", "b")}
    assert len(addresses) == 2
    async with aiohttp.ClientSession() as session:
        for address in addresses:
            async with session.get(f"http://{address}:18080/") as answer:
                assert answer.status == 200


async def test_environment_and_volumes_reach_the_process(home: Home, tmp_path: Path) -> None:
    await config_map(home, "cm", greeting="hello", file="from a file")
    await secret(home, "s", token="hush")
    (tmp_path / "models" / "llama").mkdir(parents=True)
    (tmp_path / "models" / "llama" / "config.json").write_text("{}")
    script = (
        'echo "$GREETING $TOKEN $NODE $BOTH"; cat /etc/config/file; echo; cat /etc/secret/token;'
        "echo; ls /raid/models/llama; echo x > /scratch/x; cat /scratch/x; echo $MODEL"
    )
    env: list[dict[str, Any]] = [
        {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "greeting"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "BOTH", "value": "$(GREETING)-$(NODE)"},
        {"name": "MODEL", "value": "/raid/models/llama"},
    ]
    mounts = [
        {"name": "config", "mountPath": "/etc/config"},
        {"name": "secret", "mountPath": "/etc/secret"},
        {"name": "model", "mountPath": "/raid/models/llama"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]
    volumes = [
        {"name": "config", "configMap": {"name": "cm"}},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "model", "hostPath": {"path": "/raid/models/llama", "type": "Directory"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    pod = host_pod(
        "a",
        script,
        container={"env": env, "volumeMounts": mounts},
        volumes=volumes,
        restartPolicy="Never",
    )
    created = await home.create(pod)
    await home.pod_when("a", lambda p: phase(p) == "Succeeded")
    lines = (await home.logs("a")).splitlines()
    assert lines[:5] == [
        f"hello hush {NODE} hello-{NODE}",
        "from a file",
        "hush",
        "config.json",
        "x",
    ]
    link = home.directory(created) / "root/raid/models/llama"
    assert lines[5] == str(link)
    assert link.resolve() == (tmp_path / "models" / "llama").resolve()


async def test_init_containers_run_in_order_and_hold_back_the_rest(home: Home) -> None:
    shared = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    inits = [
        {
            "name": n,
            "image": "x",
            "command": ["sh", "-c", f"echo {n} >> /v/log; sleep 0.1"],
            **shared,
        }
        for n in ("one", "two")
    ]
    pod = host_pod(
        "a",
        f"cat /v/log; {FOREVER}",
        container=shared,
        initContainers=inits,
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    await home.create(pod)
    await home.pod_when("a", lambda p: state(p, "waiting").get("reason") == "PodInitializing")
    shown = await home.pod_when("a", is_ready)
    codes = [s["state"]["terminated"]["exitCode"] for s in shown["status"]["initContainerStatuses"]]
    assert codes == [0, 0]

    async def printed() -> bool:
        return await home.logs("a") == "one\ntwo\n"

    await until(printed)


async def test_a_failed_init_container_fails_a_pod_that_never_restarts(home: Home) -> None:
    init = {"name": "i", "image": "x", "command": ["sh", "-c", "echo cannot; exit 9"]}
    await home.create(host_pod("a", "true", initContainers=[init], restartPolicy="Never"))
    pod = await home.pod_when("a", lambda p: phase(p) == "Failed")
    ended = pod["status"]["initContainerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (9, "cannot")
    assert not state(pod, "running")


async def test_a_crash_is_told_with_code_and_last_words_and_backs_off(home: Home) -> None:
    await home.create(host_pod("a", "echo out of memory on device 0 >&2; exit 3"))
    pod = await home.pod_when(
        "a", lambda p: state(p, "waiting").get("reason") == "CrashLoopBackOff"
    )
    last = main_status(pod)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (3, "Error")
    assert last["message"] == "out of memory on device 0"
    assert phase(pod) == "Running"
    assert not is_ready(pod)
    await home.pod_when("a", lambda p: main_status(p)["restartCount"] >= 2)
    assert "BackOff: Back-off restarting failed container main" in await home.events("a")
    assert (await home.logs("a", previous=True)).startswith("out of memory")


@pytest.mark.parametrize(
    ("policy", "script", "expected"),
    [
        ("Never", "exit 0", "Succeeded"),
        ("Never", "exit 1", "Failed"),
        ("OnFailure", "test -e $HOME/x && exit 0; touch $HOME/x; exit 1", "Succeeded"),
    ],
)
async def test_pods_end_as_their_restart_policy_says(
    home: Home, policy: str, script: str, expected: str
) -> None:
    created = await home.create(host_pod("a", script, restartPolicy=policy))
    pod = await home.pod_when("a", lambda p: phase(p) in ("Succeeded", "Failed"))
    assert phase(pod) == expected

    async def shim_gone() -> bool:
        return not (home.directory(created) / "shim.pid").exists()

    await until(shim_gone)


async def test_a_command_that_does_not_exist_says_so(home: Home) -> None:
    await home.create(host_pod("a", "no-such-engine", "--port", "1"))
    pod = await home.pod_when(
        "a", lambda p: state(p, "waiting").get("reason") == "CrashLoopBackOff"
    )
    last = main_status(pod)["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("StartError", 128)
    assert "no-such-engine: No such file" in last["message"]


async def test_a_missing_config_map_is_named_and_the_pod_starts_when_it_appears(home: Home) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "k"}}}]
    volume = [{"name": "v", "secret": {"secretName": "later"}}]
    await home.create(host_pod("a", FOREVER, container={"env": env}))
    await home.create(host_pod("b", FOREVER, volumes=volume))
    pod = await home.pod_when(
        "a", lambda p: state(p, "waiting").get("reason") == "CreateContainerConfigError"
    )
    assert state(pod, "waiting")["message"] == 'configmap "late" not found'
    assert phase(pod) == "Pending"
    pod = await home.pod_when("b", lambda p: "later" in state(p, "waiting").get("message", ""))
    await config_map(home, "late", k="v")
    await secret(home, "later", k="v")
    await home.pod_when("a", is_ready)
    await home.pod_when("b", is_ready)
    assert 'FailedMount: secret "later" not found' in await home.events("b")


async def test_a_mounted_config_map_follows_its_edits(home: Home) -> None:
    await config_map(home, "cm", k="1")
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    volumes = [{"name": "v", "configMap": {"name": "cm"}}]
    created = await home.create(host_pod("a", FOREVER, container=mount, volumes=volumes))
    await home.pod_when("a", is_ready)
    await home.client.patch(CONFIG_MAPS, "cm", {"data": {"k": "2"}}, namespace="default")

    async def updated() -> bool:
        return (home.directory(created) / "root/v/k").read_text() == "2"

    await until(updated)


async def test_readiness_follows_its_probe(home: Home) -> None:
    script = {
        "exec": {"command": ["test", "-e", "/v/up"]},
        "periodSeconds": 1,
        "failureThreshold": 1,
    }
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}], "readinessProbe": script}
    volumes = [{"name": "v", "emptyDir": {}}]
    created = await home.create(host_pod("a", FOREVER, container=mount, volumes=volumes))
    pod = await home.pod_when("a", lambda p: state(p, "running"))
    assert not is_ready(pod)
    flag = home.directory(created) / "root/v/up"
    flag.touch()
    await home.pod_when("a", is_ready)
    flag.unlink()
    await home.pod_when("a", lambda p: not is_ready(p))
    pod = await home.pod_when("a", lambda p: True)
    assert main_status(pod)["restartCount"] == 0
    assert any("Unhealthy: Readiness probe failed" in e for e in await home.events("a"))


async def test_a_container_that_fails_its_liveness_probe_is_restarted(home: Home) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    await home.create(host_pod("a", FOREVER, container={"livenessProbe": probe}))
    pod = await home.pod_when("a", lambda p: main_status(p).get("restartCount", 0) >= 1)
    events = await home.events("a")
    assert "Killing: Container main failed liveness probe, will be restarted" in events
    assert phase(pod) == "Running"


async def test_a_startup_probe_that_never_passes_restarts_the_container(home: Home) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    await home.create(host_pod("a", FOREVER, container={"startupProbe": probe}))
    pod = await home.pod_when("a", lambda p: main_status(p).get("restartCount", 0) >= 1)
    assert not is_ready(pod)


async def test_termination_runs_the_hook_asks_and_waits(home: Home, tmp_path: Path) -> None:
    said = tmp_path / "said"
    script = f"trap 'sleep 0.2; echo term >> {said}; exit 0' TERM; echo up; {FOREVER}"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", f"echo hook >> {said}"]}}}
    created = await home.create(host_pod("a", script, container={"lifecycle": hook}))

    async def up() -> bool:
        return "up" in await home.logs("a")

    await home.pod_when("a", is_ready)
    await until(up)
    await home.delete("a")
    await home.pod_when("a", lambda p: not is_ready(p))
    await home.gone("a")
    assert said.read_text() == "hook\nterm\n"
    assert not home.directory(created).exists()


async def test_a_deaf_process_is_killed_after_its_grace_and_at_once_when_asked(home: Home) -> None:
    deaf = f"trap '' TERM; echo up; {FOREVER}"
    for name in ("a", "b"):
        await home.create(
            host_pod(name, deaf, terminationGracePeriodSeconds=1 if name == "a" else 300)
        )
        await home.pod_when(name, is_ready)
        await until(lambda name=name: home.logs(name))  # type: ignore[misc]
    begin = time.monotonic()
    await home.delete("a")
    await home.gone("a")
    assert 0.8 < time.monotonic() - begin < 6
    await home.delete("b")
    await home.pod_when("b", lambda p: p["metadata"].get("deletionTimestamp"))
    await home.delete("b", grace_period_seconds=0)
    await home.gone("b")

    async def nothing_left() -> bool:
        return not list((home.data / "pods").iterdir())

    await until(nothing_left)


async def test_a_pod_that_lost_its_shim_is_reported_and_restarted_and_nothing_leaks(
    home: Home,
) -> None:
    created = await home.create(host_pod("a", "sleep 954 & sleep 953"))
    await home.pod_when("a", is_ready)
    text = (home.directory(created) / "shim.pid").read_text()
    pid = int(text.split("pid=")[1].split()[0])
    os.kill(pid, signal.SIGKILL)
    pod = await home.pod_when("a", lambda p: main_status(p)["restartCount"] == 1 and is_ready(p))
    last = main_status(pod)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (137, "ContainerStatusUnknown")
    counts = [
        sum((p.info["cmdline"] or [""])[-1] == n for p in psutil.process_iter(["cmdline"]))
        for n in ("953", "954")
    ]
    assert counts == [1, 1]


async def test_a_pod_past_its_deadline_fails(home: Home) -> None:
    await home.create(host_pod("a", FOREVER, activeDeadlineSeconds=1))
    pod = await home.pod_when("a", lambda p: phase(p) == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"


async def test_logs_can_be_followed_to_the_end(home: Home) -> None:
    script = "for i in 1 2 3; do echo $i; sleep 0.2; done"
    await home.create(host_pod("a", script, restartPolicy="Never"))
    await home.pod_when("a", lambda p: state(p, "running") or state(p, "terminated"))
    assert await asyncio.wait_for(home.logs("a", follow=True), 20) == "1\n2\n3\n"
    assert await home.logs("a", tail_lines=1) == "3\n"
    assert await home.logs("a", limit_bytes=3) == "1\n2"
    assert (await home.logs("a", tail_lines=1, timestamps=True)).endswith("Z 3\n")


async def test_logs_that_are_not_there_are_refused_with_the_reason(home: Home) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]
    await home.create(host_pod("a", "true", container={"env": env}))
    await home.pod_when(
        "a", lambda p: state(p, "waiting").get("reason") == "CreateContainerConfigError"
    )
    with pytest.raises(BadRequest, match="waiting to start: CreateContainerConfigError"):
        await home.logs("a")
    with pytest.raises(BadRequest, match="not valid for pod"):
        await home.logs("a", container="other")
    with pytest.raises(BadRequest, match="previous terminated container"):
        await home.logs("a", previous=True)


async def test_host_network_pods_share_the_machines_loopback(home: Home) -> None:
    await home.create(host_pod("a", FOREVER, hostNetwork=True))
    pod = await home.pod_when("a", is_ready)
    assert pod["status"]["podIP"] == "127.0.0.1"


async def test_what_is_not_enforced_is_said(home: Home) -> None:
    limits = {"resources": {"limits": {"memory": "1Gi"}}}
    await home.create(host_pod("a", FOREVER, container=limits))
    await home.pod_when("a", is_ready)

    async def said() -> bool:
        return any(e.startswith("NotEnforced: ") and "memory" in e for e in await home.events("a"))

    await until(said)


async def test_gpus_are_shown_only_to_those_they_were_given_to(tmp_path: Path) -> None:
    async with api(tmp_path) as home:
        await home.start_node(capacity={"nvidia.com/gpu": "2"})
        wanted = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
        for name in ("a", "b", "c"):
            pod = host_pod(name, f'echo "gpus=$CUDA_VISIBLE_DEVICES"; {FOREVER}')
            if name != "c":
                pod["spec"]["containers"][0] |= wanted
            await home.create(pod)
            await home.pod_when(name, is_ready)
            await until(lambda name=name: home.logs(name))  # type: ignore[misc]
        assert [await home.logs(n) for n in "abc"] == ["gpus=0\n", "gpus=1\n", "gpus=\n"]
        late = host_pod("d", FOREVER, container=wanted)
        await home.create(late)
        pod = await home.pod_when(
            "d", lambda p: state(p, "waiting").get("reason") == "CreateContainerError"
        )
        assert "0 of 2 free" in state(pod, "waiting")["message"]


async def test_an_image_without_a_runtime_waits_and_says_precisely_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    docker = tmp_path / "bin" / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon'; exit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    async with api(tmp_path) as home:
        await home.start_node()
        pod = host_pod("a", FOREVER)
        pod["metadata"]["annotations"] = {}
        await home.create(pod)
        shown = await home.pod_when(
            "a", lambda p: state(p, "waiting").get("reason") == "ContainerRuntimeMissing"
        )
        message = state(shown, "waiting")["message"]
        assert "podman is not installed" in message
        assert "docker is installed but its engine does not answer" in message
        assert "ome.io/host-process" in message
        await home.delete("a")
        await home.gone("a")


async def test_an_image_runs_under_podman_where_there_is_one(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    podman = tmp_path / "podman"
    podman.write_text(
        f"#!{sys.executable}\n"
        "import json, os, sys, time\n"
        f"with open({str(calls)!r}, 'a') as f: f.write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "if sys.argv[1:3] == ['image', 'inspect']: sys.exit(1)\n"
        "if sys.argv[1] == 'pull': print('Copying blob'); sys.exit(0)\n"
        "if sys.argv[1] == 'run':\n"
        "    path = sys.argv[sys.argv.index('--env-file') + 1]\n"
        "    print('env:', open(path).read(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    podman.chmod(0o755)
    async with api(tmp_path) as home:
        await home.start_node(container_runtime=str(podman))
        env = {"env": [{"name": "TOKEN", "value": "hush"}]}
        pod = host_pod("a", "vllm", "serve", container=env | {"image": "ghcr.io/x/vllm:1"})
        pod["metadata"]["annotations"] = {}
        created = await home.create(pod)
        await home.pod_when("a", is_ready)

        async def printed() -> bool:
            return "TOKEN=hush" in await home.logs("a")

        await until(printed)
        events = await home.events("a")
        assert 'Pulled: Successfully pulled image "ghcr.io/x/vllm:1"' in events
        await home.delete("a")
        await home.gone("a")
        text = calls.read_text()
        assert "hush" not in text
        assert '"run"' in text
        assert f'["rm", "--force", "ome-{created["metadata"]["uid"]}-main-0"]' in text
