"""A HorizontalPodAutoscaler is acted on by what pods really use."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.standalone.nodehome import Home, api, until
from tests.standalone.test_workloads import complete, deployment

from ome.apimachinery.objects import Object, condition
from ome.apimachinery.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, NODES

# Busy for as long as the file is there.
WORK = """
import os, sys, time
while True:
    if os.path.exists(sys.argv[1]):
        end = time.process_time() + 0.05
        while time.process_time() < end: pass
    time.sleep(0.05)
"""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with api(tmp_path) as home:
        agent = await home.start_node()
        await home.start_workloads(usage=agent.usage, autoscale_seconds=0.4)
        yield home


async def make(home: Home, flag: Path, *, request: str = "100m", **spec: Any) -> None:
    container = {"resources": {"requests": {"cpu": request}}}
    await home.client.create(
        DEPLOYMENTS,
        deployment("work", "python", "-c", WORK, str(flag), replicas=1, container=container),
        namespace="default",
    )
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
    }
    await home.client.create(
        HORIZONTAL_POD_AUTOSCALERS,
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "work", "namespace": "default"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "work"},
                "minReplicas": 1,
                "maxReplicas": 3,
                "metrics": [metric],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
                **spec,
            },
        },
        namespace="default",
    )


async def autoscaler(home: Home) -> Object:
    return await home.client.get(HORIZONTAL_POD_AUTOSCALERS, "work", "default")


async def when(home: Home, type_: str, reason: str) -> Object:
    async def look() -> Object | None:
        found = await autoscaler(home)
        entry = condition(found, type_) or {}
        return found if entry.get("reason") == reason else None

    found = await until(look, what=f"{type_} is {reason}", timeout=30)
    assert found is not None
    return found


async def test_busy_pods_get_company_and_idle_ones_lose_it(home: Home, tmp_path: Path) -> None:
    flag = tmp_path / "busy"
    flag.touch()
    await make(home, flag)
    await complete(home, "work", 3)
    found = await when(home, "ScalingActive", "ValidMetricFound")
    current = found["status"]["currentMetrics"][0]["resource"]["current"]
    assert current["averageUtilization"] > 0
    assert found["status"]["lastScaleTime"]
    assert any("New size: 3" in text for text in await home.events("work"))
    flag.unlink()
    await complete(home, "work", 1)
    assert (await autoscaler(home))["status"]["desiredReplicas"] == 1


async def test_a_target_at_zero_is_left_alone(home: Home, tmp_path: Path) -> None:
    await make(home, tmp_path / "never")
    await home.client.patch(
        DEPLOYMENTS, "work", {"spec": {"replicas": 0}}, namespace="default", subresource="scale"
    )
    found = await when(home, "ScalingActive", "ScalingDisabled")
    assert found["status"]["desiredReplicas"] == 0
    assert (await home.client.get(DEPLOYMENTS, "work", "default"))["spec"]["replicas"] == 0


async def test_a_metric_without_a_source_is_said_so(home: Home, tmp_path: Path) -> None:
    metric = {
        "type": "External",
        "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "1"}},
    }
    await make(home, tmp_path / "never", metrics=[metric])
    found = await when(home, "ScalingActive", "InvalidMetricSourceType")
    assert "have no source on this machine" in (condition(found, "ScalingActive") or {})["message"]
    missing = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"}
    await home.client.patch(
        HORIZONTAL_POD_AUTOSCALERS,
        "work",
        {"spec": {"scaleTargetRef": missing}},
        namespace="default",
    )
    await when(home, "AbleToScale", "FailedGetScale")


async def test_no_more_are_asked_for_than_find_a_place(home: Home, tmp_path: Path) -> None:
    node = (await home.client.list(NODES)).items[0]
    cores = int(node["status"]["allocatable"]["cpu"])
    flag = tmp_path / "busy"
    flag.touch()
    # Two of them never fit; a fraction of that share keeps one of them busy enough.
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "20m"}},
    }
    await make(home, flag, request=f"{cores * 1000 * 6 // 10}m", metrics=[metric])
    await when(home, "ScalingLimited", "NoPlace")
    await complete(home, "work", 1)


async def test_where_the_machine_is_busy_already_nothing_is_added(tmp_path: Path) -> None:
    async with api(tmp_path) as home:
        await home.start_node()
        node = (await home.client.list(NODES)).items[0]
        cores = int(node["status"]["allocatable"]["cpu"])

        def usage(uids: Sequence[str]) -> dict[str, tuple[float, int]]:
            """Every pod uses all of the machine."""
            return {uid: (time.monotonic() * cores, 1) for uid in uids}

        await home.start_workloads(usage=usage, autoscale_seconds=0.3)
        await make(home, tmp_path / "never")
        await when(home, "ScalingLimited", "MachineBusy")
        await complete(home, "work", 1)
