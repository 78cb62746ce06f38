"""How far a transfer is, in one line: bytes, share, rate, time left, and how long it stalls."""

from __future__ import annotations

import time

from ome.cli.output import Output, seconds, size
from ome.storage import Progress

_CELLS = 20


class Bar:
    """Shows progress on an output: a live line on a terminal, elsewhere a line a tenth."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def show(self, progress: Progress) -> None:
        if progress.phase == "scanning":
            self._output.status("looking what there is")
            return
        self._output.status(text(progress, time.time()), fact=_fact(progress))


def text(progress: Progress, now: float) -> str:
    """``downloading ██░░ 41.2 MB of 98.4 MB (42 %), 20.1 MB/s, 3 s left, model.safetensors``."""
    done, total = progress.completed_bytes, progress.total_bytes
    share = done / total if total else 0.0
    filled = int(share * _CELLS)
    shown = (
        f"{progress.phase} {'█' * filled}{'░' * (_CELLS - filled)} "
        f"{size(done)} of {size(total)} ({int(share * 100)} %)"
    )
    if progress.stalled_since is not None:
        return f"{shown}, no byte for {seconds(max(0.0, now - progress.stalled_since))}"
    if progress.rate and progress.phase == "downloading":
        shown += f", {size(progress.rate)}/s"
    if progress.eta_seconds is not None:
        shown += f", {seconds(progress.eta_seconds)} left"
    named = progress.phase == "downloading" and progress.current_file
    return f"{shown}, {progress.current_file}" if named else shown


def _fact(progress: Progress) -> str:
    tenth = progress.completed_bytes * 10 // progress.total_bytes if progress.total_bytes else 0
    return f"{progress.phase} {tenth} {progress.stalled_since is not None}"
