"""What people do with kubectl to their workloads, with the real kubectl."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from tests.standalone.nodehome import Home, api, host_pod, is_ready, until
from tests.standalone.test_workloads import complete, deployment, service, web
from tests.tools import kubectl
from tests.unit.kube.certificates import Authority

from ome.apimachinery.resources import DEPLOYMENTS, SERVICES
from ome.standalone.apiserver import TlsConfig

__all__ = ["kubectl"]


class Kubectl:
    def __init__(self, program: Path, config: Path, home: Home) -> None:
        self._argv = [str(program), "--kubeconfig", str(config)]
        self.home = home

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._argv,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *arguments: str, fails: bool = False) -> str:
        """What it printed; on stderr where it is expected to fail."""
        process = await self.start(*arguments)
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
        assert bool(process.returncode) is fails, errors.decode()
        return (errors if fails else output).decode()


@pytest.fixture
async def ctl(tmp_path: Path, kubectl: Path) -> AsyncIterator[Kubectl]:
    authority = Authority()
    pair = authority.issue("server", ip="127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "cert.pem").write_bytes(pair.certificate)
    (tmp_path / "key.pem").write_bytes(pair.key)
    tls = TlsConfig("127.0.0.1", 0, tmp_path / "cert.pem", tmp_path / "key.pem")
    async with api(tmp_path, tls) as home:
        await home.start_node()
        await home.start_workloads()
        cluster = {
            "server": f"https://127.0.0.1:{home.port}",
            "certificate-authority": str(tmp_path / "ca.pem"),
        }
        config = tmp_path / "kubeconfig"
        config.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "c", "user": {"token": "secret"}}],
                }
            )
        )
        yield Kubectl(kubectl, config, home)


async def test_a_rollout_is_watched_undone_restarted_and_scaled(ctl: Kubectl) -> None:
    home = ctl.home
    await home.client.create(SERVICES, service(), namespace="default")
    await home.client.create(DEPLOYMENTS, web(), namespace="default")
    said = await ctl("rollout", "status", "deployment/web", "--timeout=40s")
    assert "successfully rolled out" in said
    await ctl("rollout", "restart", "deployment/web")
    assert "successfully rolled out" in await ctl("rollout", "status", "deployment/web")
    history = await ctl("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["1", "2"]
    await ctl("rollout", "undo", "deployment/web")
    await ctl("rollout", "status", "deployment/web")
    live = await complete(home, "web", 2)
    assert "kubectl.kubernetes.io/restartedAt" not in (
        live["spec"]["template"]["metadata"].get("annotations") or {}
    )
    await ctl("scale", "deployment/web", "--replicas=3")
    await complete(home, "web", 3)
    await ctl("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
    listed = json.loads(await ctl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    assert len([p for p in listed if not p["metadata"].get("deletionTimestamp")]) == 3
    assert "web" in await ctl("get", "endpoints,endpointslices")
    await ctl("delete", "deployment", "web", "--wait")
    await ctl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=20s")


async def test_logs_are_shown_followed_and_refused(ctl: Kubectl) -> None:
    home = ctl.home
    await home.create(
        host_pod("a", "for i in 1 2 3; do echo $i; sleep 0.3; done", restartPolicy="Never")
    )
    await home.pod_when("a", lambda p: (p.get("status") or {}).get("phase") == "Running")
    assert await ctl("logs", "-f", "a") == "1\n2\n3\n"
    assert await ctl("logs", "a", "--tail=1") == "3\n"
    assert "previous terminated container" in await ctl("logs", "a", "-p", fails=True)
    blocked = host_pod("b", "true", nodeSelector={"no": "such"})
    del blocked["spec"]["nodeName"]
    await home.create(blocked)
    assert "waiting to start" in await ctl("logs", "b", fails=True)


async def test_a_reader_that_goes_away_leaves_the_server_in_peace(ctl: Kubectl) -> None:
    await ctl.home.create(host_pod("a", "while :; do echo x; sleep 0.02; done"))
    await ctl.home.pod_when("a", is_ready)
    for _ in range(3):
        process = await ctl.start("logs", "-f", "a")
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"x\n"
        process.kill()
        await process.communicate()
    assert (await ctl("logs", "a", "--tail=1")) == "x\n"


async def test_describe_tells_what_happened(ctl: Kubectl) -> None:
    await ctl.home.create(host_pod("a", "echo no weights >&2; exit 3"))

    async def told() -> bool:
        text = await ctl("describe", "pod", "a")
        return "BackOff" in text and "Exit Code:    3" in text and "no weights" in text

    await until(told)
    assert "Ready" in await ctl("get", "nodes")
    node = await ctl("describe", "node", "n1")
    assert "nvidia.com/gpu" in node


async def test_deleting_with_force_does_not_wait(ctl: Kubectl) -> None:
    pod = host_pod(
        "a", "trap '' TERM; while :; do sleep 0.1; done", terminationGracePeriodSeconds=300
    )
    await ctl.home.create(pod)
    await ctl.home.pod_when("a", is_ready)
    await ctl("delete", "pod", "a", "--grace-period=0", "--force")
    await ctl.home.gone("a")

    async def nothing_left() -> bool:
        return not list((ctl.home.data / "pods").iterdir())

    await until(nothing_left)


async def test_cordoning_a_node_keeps_pods_off_it(ctl: Kubectl) -> None:
    await ctl("cordon", "n1")
    await ctl.home.client.create(
        DEPLOYMENTS, deployment("d", "sleep 60", replicas=1), namespace="default"
    )

    async def refused() -> bool:
        listed = json.loads(await ctl("get", "pods", "-o", "json"))["items"]
        return any(
            "unschedulable" in c.get("message", "")
            for p in listed
            for c in (p.get("status") or {}).get("conditions") or ()
        )

    await until(refused)
    await ctl("uncordon", "n1")
    await complete(ctl.home, "d", 1)
