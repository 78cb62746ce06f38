"""What ``ome`` and ``python -m ome.cli`` call: the command line, and Ctrl-C before it is there.

Python answers an interrupt between two imports with a traceback. Nothing has begun at that time,
so all there is to say is one word.
"""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def _stopped(*_: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(INTERRUPTED)


def main() -> None:
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stopped)
        from ome.cli import main as commands

        signal.signal(signal.SIGINT, signal.default_int_handler)
    else:  # who started us wants no interrupts, as a shell does for what runs in the background
        from ome.cli import main as commands
    commands.main()
