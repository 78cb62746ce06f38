"""What all pods of a node share: settings, connections and the pools they draw from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from ome.kube import Client, Events
from ome.standalone.node import addresses, images
from ome.standalone.node.lifecycle import BackOff
from ome.standalone.node.paths import HostPathMap

HOST_PROCESS = "ome.io/host-process"
DEFAULT_HINT = f'a pod with the annotation {HOST_PROCESS}: "true" runs here without an image'


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. ``host_environment`` is added to every host process's environment."""

    back_off: BackOff = field(default_factory=BackOff)
    max_log_bytes: int = 10 * 1024 * 1024
    max_log_files: int = 3
    config_retry: float = 2.0
    refresh_volumes: float = 60.0
    heartbeat: float = 10.0
    runtime_check: float = 60.0
    host_environment: Mapping[str, str] = field(default_factory=dict)
    missing_runtime_hint: Callable[[], str] = lambda: DEFAULT_HINT


class Devices:
    """GPUs by index, each lent to one container at a time."""

    def __init__(self, available: Sequence[str]) -> None:
        self.available = list(available)
        self._lent: dict[str, tuple[str, str]] = {}

    def claim(self, uid: str, container: str, count: int, known: Sequence[str] = ()) -> list[str]:
        """``count`` devices for a container, the ``known`` ones where it has them already. Raises
        LookupError where there are not enough."""
        owner = (uid, container)
        held = [d for d, o in self._lent.items() if o == owner]
        if not held:
            held = [d for d in known if self._lent.get(d, owner) == owner]
        free = [d for d in self.available if d not in self._lent and d not in held]
        if len(held) + len(free) < count:
            raise LookupError(
                f"{count} of nvidia.com/gpu asked for, {len(free)} of {len(self.available)} free"
            )
        held = (held + free)[:count]
        self._lent |= dict.fromkeys(held, owner)
        return held

    def release(self, uid: str) -> None:
        self._lent = {d: o for d, o in self._lent.items() if o[0] != uid}


class NodeContext:
    def __init__(
        self,
        client: Client,
        events: Events,
        node_name: str,
        pods_dir: Path,
        script: Path,
        host_paths: HostPathMap,
        devices: Devices,
        allocatable: Mapping[str, str],
        settings: Settings,
        runtime: images.ContainerRuntime | str | None,
    ) -> None:
        self.client, self.events = client, events
        self.node_name, self.pods_dir, self.script = node_name, pods_dir, script
        self.host_paths, self.devices, self.allocatable = host_paths, devices, allocatable
        self.settings = settings
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        self.addresses: dict[str, str] = {}
        self._runtime = runtime
        self._detected: images.Detection | None = None
        self._detected_at = 0.0
        self._detecting = asyncio.Lock()

    def address_for(self, uid: str, known: str = "") -> str:
        """The pod's loopback address; ``known`` is the one it had before."""
        if uid in self.addresses:
            return self.addresses[uid]
        taken = set(self.addresses.values())
        address = known if known and known not in taken else addresses.allocate(uid, taken)
        self.addresses[uid] = address
        return address

    def release(self, uid: str) -> None:
        self.addresses.pop(uid, None)
        self.devices.release(uid)

    async def container_runtime(self) -> images.Detection:
        """The working runtime. A missing one is looked for again after a while."""
        if isinstance(self._runtime, images.ContainerRuntime):
            return images.Detection(self._runtime)
        async with self._detecting:
            known = self._detected
            age = time.monotonic() - self._detected_at
            if known is None or (known.runtime is None and age > self.settings.runtime_check):
                self._detected = await images.detect(self._runtime)
                self._detected_at = time.monotonic()
            assert self._detected is not None
            return self._detected
