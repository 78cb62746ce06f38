"""Is the endpoint there, and does it answer to this key and this model?"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from .said import Failure, shorten

SILENCE = 60.0
"""Seconds for one answer: a first request may have to warm the engine up."""
LOST = (404, 502, 503, 504)
"""What an address answers whose service is gone."""
_PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    "text-to-text": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
    ),
    "text-to-embeddings": ("/v1/embeddings", {"input": "Hi"}),
    "text-to-rerank": ("/v1/rerank", {"query": "Hi", "documents": ["Hi"]}),
}
_PROBES["image-text-to-text"] = _PROBES["text-to-text"]


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's API, or (``backend``) another one."""

    base: str
    backend: str
    key: str

    @property
    def speaks_openai(self) -> bool:
        return self.backend in ("openai", "vllm", "sglang")

    def ask(self, path: str, body: dict[str, Any] | None, timeout: float) -> tuple[int, str]:
        """Status and text. Raises OSError (URLError, timeouts) where nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "ome-benchmark"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(f"{self.base}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read(1 << 20).decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read(4096).decode(errors="replace")
        except http.client.HTTPException as error:
            raise OSError(f"it breaks off: {error!r}") from error

    def models(self, patience: float) -> list[str]:
        """Names of the models that it serves; none where it does not say. Waits ``patience``
        seconds for it to answer at all."""
        until = time.monotonic() + patience
        while True:
            try:
                status, text = self.ask("/v1/models", None, SILENCE)
                if status not in (502, 503, 504) or time.monotonic() > until:
                    break
            except OSError as error:
                if time.monotonic() > until:
                    why = getattr(error, "reason", None) or error
                    said = f"{self.base} does not answer: {why}"
                    raise Failure("EndpointUnreachable", said) from error
            time.sleep(0.5)
        said = f"{self.base} answers {status}: {shorten(text, 300)}"
        if status in (401, 403):
            raise Failure("KeyRefused", said)
        if status >= 500:
            raise Failure("EndpointUnreachable", said)
        if status != 200:
            return []
        try:
            return [str(entry["id"]) for entry in json.loads(text)["data"]]
        except (ValueError, KeyError, TypeError):
            return []

    def try_model(self, model: str, task: str, known: list[str]) -> None:
        """One small request as the benchmark will send them. Raises Failure."""
        path, body = _PROBES.get(task, ("", {}))
        if not path:
            return
        try:
            status, text = self.ask(path, {"model": model, **body}, SILENCE)
        except OSError as error:
            why = getattr(error, "reason", None) or error
            raise Failure("EndpointUnreachable", f"{self.base}{path}: {why}") from error
        if status == 200:
            return
        said = f"{self.base}{path} answers {status} to model {model!r}: {shorten(text, 300)}"
        if status in (401, 403):
            raise Failure("KeyRefused", said)
        if status == 404 or ("model" in text.lower() and model not in known):
            names = f" It serves: {', '.join(known)}." if known else ""
            raise Failure("ModelUnknown", f"{said}.{names}")
        raise Failure("RequestRefused", said)

    def is_lost(self) -> str:
        """Why nobody is there any more; empty while somebody is, however slow."""
        try:
            status, _ = self.ask("/v1/models", None, 5)
        except TimeoutError:
            return ""
        except OSError as error:
            why = getattr(error, "reason", None) or error
            return "" if isinstance(why, TimeoutError) else str(why)
        return f"it answers {status}" if status in LOST else ""
