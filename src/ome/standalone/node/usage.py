"""What pods use of the machine: processor time and memory of everything that they started.

A process's time includes that of children it has waited for, so that the sum over a pod's living
processes never goes back while its containers run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from ome.standalone.node import processes, shimclient
from ome.standalone.node.paths import PodFiles
from ome.standalone.node.record import PodRecord


def of_pods(pods_dir: Path, uids: Sequence[str]) -> Mapping[str, tuple[float, int]]:
    """By uid: (seconds of processor time, bytes). Left out: pods without a running container, and
    containers of images, which run beside our processes and not below them."""
    found = {}
    for uid in uids:
        directory = pods_dir / uid
        record = PodRecord.load(PodFiles(directory).record)
        if record is None or record.images:
            continue
        leaders = [
            state.pid
            for state in shimclient.saved_states(directory)
            if state.running and processes.alive(state.pid, state.birth)
        ]
        if leaders:
            found[uid] = _sum(leaders)
    return found


def _sum(leaders: Sequence[int]) -> tuple[float, int]:
    seconds, size = 0.0, 0
    for leader in leaders:
        try:
            root = psutil.Process(leader)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
        for process in tree:
            try:
                with process.oneshot():
                    times, memory = process.cpu_times(), process.memory_info().rss
            except psutil.Error:
                continue
            seconds += times.user + times.system
            seconds += getattr(times, "children_user", 0) + getattr(times, "children_system", 0)
            size += memory
    return seconds, size
