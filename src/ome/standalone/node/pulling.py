"""Pulls images in the background and says meanwhile how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ome.standalone.node.images import ContainerRuntime, ImageError, pull_policy
from ome.standalone.node.status import Waiting

if TYPE_CHECKING:
    from ome.standalone.node.context import NodeContext

Report = Callable[[str, str, str], None]


class ImagePuller:
    """The images of one pod. :meth:`ensure` is asked again whenever ``wake`` was called."""

    BASE, LIMIT = 10.0, 300.0

    def __init__(self, context: NodeContext, wake: Callable[[], None]) -> None:
        self._context, self._wake = context, wake
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._present: set[str] = set()
        self._progress: dict[str, str] = {}
        self._failures: dict[str, tuple[int, float, str]] = {}

    def ensure(
        self, runtime: ContainerRuntime, container: Mapping[str, Any], report: Report
    ) -> Waiting | None:
        """None when the image is there; else what is being waited for."""
        image = container.get("image") or ""
        if image in self._present:
            return None
        if image in self._tasks:
            line = self._progress.get(image, "")
            return Waiting(
                "ContainerCreating", f"pulling image {image}{': ' if line else ''}{line}"
            )
        if image in self._failures:
            count, at, why = self._failures[image]
            delay = min(self.BASE * 2 ** (count - 1), self.LIMIT)
            if pull_policy(container) == "Never":
                return Waiting("ErrImageNeverPull", why)
            if time.monotonic() < at + delay:
                return Waiting("ImagePullBackOff", f'Back-off pulling image "{image}": {why}')
        self._tasks[image] = asyncio.create_task(
            self._pull(runtime, image, pull_policy(container), report)
        )
        return Waiting("ContainerCreating", f"looking for image {image}")

    async def _pull(
        self, runtime: ContainerRuntime, image: str, policy: str, report: Report
    ) -> None:
        try:
            if policy != "Always" and await runtime.has_image(image):
                self._present.add(image)
                return
            if policy == "Never":
                raise ImageError(f'image "{image}" is not here and its pull policy is Never')
            report("Normal", "Pulling", f'Pulling image "{image}"')
            shown = 0.0
            async for line in runtime.pull(image):
                self._progress[image] = line
                if time.monotonic() > shown + 5:
                    shown = time.monotonic()
                    self._wake()
            self._present.add(image)
            report("Normal", "Pulled", f'Successfully pulled image "{image}"')
        except (ImageError, OSError, TimeoutError) as error:
            count = self._failures.get(image, (0, 0.0, ""))[0] + 1
            self._failures[image] = (count, time.monotonic(), str(error))
            report("Warning", "Failed", f'Failed to pull image "{image}": {error}')
        finally:
            self._tasks.pop(image, None)
            self._progress.pop(image, None)
            self._wake()

    async def stop(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
