"""Events tell a service's story: one when something starts, one when it ends or fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.fakes.home import Home, running_home
from tests.fakes.kubelet import crashing, running
from tests.fakes.objects import model, runtime, service

from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    monkeypatch.setattr("ome.controllers.telling.DOUBT_SECONDS", 1.0)
    async with running_home() as found:
        await found.start_operator()
        yield found


Event = tuple[str, str, str]


class Story:
    """(type, reason, message) of every event about a service, as they come; repeated ones, too."""

    def __init__(self, home: Home) -> None:
        self.told: list[Event] = []
        self._home = home
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for change in self._home.client.watch(r.EVENTS, "default"):
            event = change.object
            if event["involvedObject"]["kind"] == "InferenceService":
                self.told.append((event["type"], event["reason"], event["message"]))

    async def until(self, reason: str, times: int = 1) -> None:
        async def told() -> bool:
            return [event[1] for event in self.told].count(reason) >= times

        await self._home.until(f"an event {reason}", told)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def story(home: Home) -> AsyncIterator[Story]:
    made = Story(home)
    yield made
    await made.close()


def engine(image: str) -> Object:
    runner = {"runner": {"name": "ome-container", "image": image}}
    return service(runtime={"name": "rt"}, engine=runner)


ROLL = "bring Deployment chat-engine to what the service says"
CREATED = (
    "create ConfigMap modelconfig-chat; create Service chat; create Service chat-engine; "
    "create Deployment chat-engine; create HorizontalPodAutoscaler chat-engine; "
    "create PodDisruptionBudget chat-engine"
)


async def test_a_service_from_beginning_to_end_in_exactly_these_events(
    home: Home, story: Story
) -> None:
    def ends_where_new(pod: Object) -> Object | None:
        old = pod["spec"]["containers"][0]["image"] == "engine:1"
        return running(pod) if old else crashing(1, "boom")(pod)

    await home.apply(runtime(), engine("engine:1"))
    await home.until_condition("chat", "Ready", "False", "BaseModelNotFound")
    await home.apply(model())
    await home.until_condition("chat", "Ready", "False", "ModelNotReady")
    await home.report("tiny", "Ready")
    await home.until_condition("chat", "Ready", "True", "Serving")

    home.kubelet.behaviour = ends_where_new
    await home.apply(engine("engine:2"))
    await home.until_condition("chat", "Ready", "True", "UpdateFailing")
    await story.until("UpdateFailing")
    home.kubelet.behaviour = running
    await home.apply(engine("engine:3"))
    await home.until_condition("chat", "Ready", "True", "Serving")

    home.kubelet.behaviour = crashing(3, "CUDA out of memory")
    home.kubelet.look_again()
    await home.until_condition("chat", "Ready", "False", "GpuOutOfMemory")
    home.kubelet.behaviour = running
    home.kubelet.look_again()
    await home.until_condition("chat", "Ready", "True", "Serving")

    await story.until("InferenceServiceReady", 2)
    await home.client.delete(o.INFERENCE_SERVICES, "chat", "default")

    async def gone() -> bool:
        return await home.names(r.DEPLOYMENTS) == []

    await home.until("all is gone", gone)
    assert [(type_, reason) for type_, reason, _ in story.told] == [
        ("Warning", "BaseModelNotFound"),
        ("Normal", "Created"),
        ("Normal", "InferenceServiceReady"),
        ("Normal", "Updated"),
        ("Warning", "UpdateFailing"),
        ("Normal", "Updated"),
        ("Normal", "UpdateFinished"),
        ("Warning", "InferenceServiceNotReady"),
        ("Normal", "InferenceServiceReady"),
    ]
    messages = [message for _, _, message in story.told]
    assert messages[1] == CREATED
    assert messages[3] == messages[5] == ROLL
    assert "boom" in messages[4]
    assert messages[6] == "the update is through: 1 of 1 engine replicas are available"
    assert "CUDA out of memory" in messages[7]
    assert "What to do: give it more or larger GPUs" in messages[7]


async def test_a_restart_of_the_operator_tells_nothing_again(home: Home, story: Story) -> None:
    await home.apply(model(), runtime(), service(), service("lost", model="nowhere"))
    await home.report("tiny", "Ready")
    for reason in ("BaseModelNotFound", "Created", "InferenceServiceReady"):
        await story.until(reason)
    await home.stop_operator()
    await home.start_operator()
    await home.apply(service("third", model="nowhere"))
    await story.until("BaseModelNotFound", 2)
    assert len(story.told) == 4
