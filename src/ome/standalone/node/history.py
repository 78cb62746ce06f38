"""The runs of a pod's containers that are remembered: the newest of each and the one before."""

from __future__ import annotations

from ome.standalone.node import logs
from ome.standalone.node.lifecycle import NANO, BackOff
from ome.standalone.node.paths import PodFiles
from ome.standalone.node.shimclient import ContainerState


class History:
    """``crashes``: container -> (ends in a row, attempt that was counted last)."""

    def __init__(self) -> None:
        self._runs: dict[str, dict[int, ContainerState]] = {}
        self._texts: dict[str, str] = {}
        self.crashes: dict[str, tuple[int, int]] = {}

    def add(self, state: ContainerState) -> None:
        """A run that has ended stays ended, whoever says otherwise later."""
        runs = self._runs.setdefault(state.name, {})
        known = runs.get(state.attempt)
        if known is None or known.running:
            runs[state.attempt] = state

    def latest(self, name: str) -> ContainerState | None:
        runs = self._runs.get(name)
        return runs[max(runs)] if runs else None

    def previous(self, name: str) -> ContainerState | None:
        runs = self._runs.get(name)
        return runs.get(max(runs) - 1) if runs else None

    def newest(self) -> list[ContainerState]:
        return [runs[max(runs)] for runs in self._runs.values() if runs]

    def next_attempt(self, name: str) -> int:
        latest = self.latest(name)
        return latest.attempt + 1 if latest else 0

    def forget_before(self, name: str, attempt: int) -> list[str]:
        """Drops older runs; returns their ids."""
        runs = self._runs.get(name, {})
        old = [n for n in runs if n < attempt]
        ids = [runs.pop(n).id for n in old]
        for id_ in ids:
            self._texts.pop(id_, None)
        return ids

    def crash_count(self, name: str) -> int:
        return self.crashes.get(name, (0, -1))[0]

    def count_crash(self, state: ContainerState, back_off: BackOff) -> bool:
        """Counts the end of a run, once; a long healthy run begins anew."""
        count, counted = self.crashes.get(state.name, (0, -1))
        if state.attempt <= counted:
            return False
        healthy = (state.finished - state.started) / NANO >= back_off.healthy_after
        self.crashes[state.name] = (1 if healthy else count + 1, state.attempt)
        return True

    def text_of(self, state: ContainerState | None, files: PodFiles) -> str:
        """The end of a failed run's output; read once."""
        if state is None or state.running or state.code == 0:
            return ""
        if state.id not in self._texts:
            self._texts[state.id] = logs.last_text(files.log(state.name, state.attempt))
        return self._texts[state.id]
