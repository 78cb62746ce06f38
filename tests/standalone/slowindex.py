"""A package index on loopback that holds a wheel back: the first part comes at once, then a trickle
until the gate is opened. So a test can look at OME in the middle of a download for as long as it
needs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PIECE = 64 * 1024
_PAUSE = 0.1
_LONGEST = 600
"""Pieces of the trickle, so that a forgotten gate ends."""


@dataclass
class SlowIndex:
    """``gate``: set it, and the rest comes at full speed. ``downloads``: how many were begun."""

    port: int
    gate: threading.Event = field(default_factory=threading.Event)
    downloads: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """pip's settings for this index alone."""
        url = f"http://127.0.0.1:{self.port}/simple/"
        return {
            "PIP_INDEX_URL": url,
            "PIP_NO_INDEX": "",
            "PIP_FIND_LINKS": "",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_NO_CACHE_DIR": "1",
        }


@contextlib.contextmanager
def slow_index(wheel: Path, first: int = 8_000_000) -> Iterator[SlowIndex]:
    index = SlowIndex(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.endswith(".whl"):
                self._page()
                return
            if self.headers.get("Range") is None:
                index.downloads += 1
            with contextlib.suppress(ConnectionError):
                self._wheel()

        def do_HEAD(self) -> None:
            self.send_response(405)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _page(self) -> None:
            body = f'<a href="/files/{wheel.name}">{wheel.name}</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _wheel(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(wheel.stat().st_size))
            self.end_headers()
            with wheel.open("rb") as source:
                self.wfile.write(source.read(first))
                for _ in range(_LONGEST):
                    if index.gate.wait(_PAUSE):
                        break
                    self.wfile.write(source.read(_PIECE))
                while piece := source.read(1 << 20):
                    self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: the test's output is for its own words."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield index
    finally:
        index.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
