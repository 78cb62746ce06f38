"""Asking a service, through its own address, for one real answer.

What is asked depends on what the model can do: a chat completion of one token, an embedding, a
reranking; for anything else (images, audio) the engine's own health. The model's name comes from
the engine's ``/v1/models``, because engines answer only to the name they were started with.

Nothing is kept here: the outcome goes into the status, together with what it was an answer for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ome.apimachinery.objects import Object

if TYPE_CHECKING:
    from aiohttp import ClientSession

TIMEOUT = 60.0
"""Seconds for one answer; a first request may have to warm the engine up."""

_EMBEDDING = {"EMBEDDING", "TEXT_EMBEDDINGS"}
_RERANK = {"RERANK", "TEXT_RERANK"}
_CHAT = {"TEXT_TO_TEXT", "TEXT_GENERATION", "TEXT_SUMMARIZATION", "CHAT", "VISION"}


@dataclass(frozen=True)
class Probe:
    what: str
    path: str
    body: Mapping[str, Any] | None


def probe_for(model: Object | None, name: str) -> Probe:
    """What to ask a service that serves this model under that name."""
    spec = (model or {}).get("spec") or {}
    capabilities = set(spec.get("modelCapabilities") or _by_apis(spec.get("apiCapabilities") or ()))
    body: dict[str, Any]
    if capabilities & _EMBEDDING:
        return Probe("an embedding", "/v1/embeddings", {"model": name, "input": "ready?"})
    if capabilities & _RERANK:
        body = {"model": name, "query": "ready?", "documents": ["yes", "no"]}
        return Probe("a reranking", "/v1/rerank", body)
    texts = capabilities & _CHAT or any(item.endswith("_TEXT_TO_TEXT") for item in capabilities)
    if texts or not capabilities:
        body = {
            "model": name,
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 1,
            "temperature": 0,
        }
        return Probe("a chat completion of one token", "/v1/chat/completions", body)
    return Probe("the engine's health", "/health", None)


def _by_apis(apis: Sequence[str]) -> set[str]:
    """What a model can do that only says which APIs it is served with."""
    found = {_BY_API[api] for api in apis if api in _BY_API}
    return found or ({"OTHER"} if apis else set())


_BY_API = {
    "OPENAI_V1_CHAT_COMPLETIONS": "CHAT",
    "OPENAI_V1_RESPONSES": "CHAT",
    "OPENAI_V1_EMBEDDINGS": "EMBEDDING",
}


@dataclass(frozen=True)
class Outcome:
    ok: bool
    message: str


async def ask(session: ClientSession, url: str, model: Object | None, fallback: str) -> Outcome:
    """One question, one outcome. Never raises for what the other side does."""
    import aiohttp

    begin = time.monotonic()
    probe = probe_for(model, fallback)
    try:
        async with asyncio.timeout(TIMEOUT):
            if probe.body is not None:
                name = await _served_name(session, url) or fallback
                probe = probe_for(model, name)
            return await _ask(session, url, probe, begin)
    except TimeoutError:
        return Outcome(False, f"{url} gave no answer to {probe.what} within {TIMEOUT:.0f} s")
    except (aiohttp.ClientError, OSError) as error:
        detail = str(error) or type(error).__name__
        return Outcome(False, f"{url} can't be reached for {probe.what}: {detail}")


async def _served_name(session: ClientSession, url: str) -> str:
    """The first model that the address names; empty where it names none."""
    async with session.get(f"{url}/v1/models") as response:
        if response.status != 200:
            return ""
        try:
            listed = (await response.json(content_type=None)).get("data") or []
            return str(listed[0]["id"]) if listed else ""
        except (ValueError, AttributeError, KeyError, TypeError):
            return ""


async def _ask(session: ClientSession, url: str, probe: Probe, begin: float) -> Outcome:
    method = "GET" if probe.body is None else "POST"
    async with session.request(method, f"{url}{probe.path}", json=probe.body) as response:
        text = await response.text(errors="replace")
        if response.status != 200:
            return Outcome(
                False,
                f"{url}{probe.path} answered {response.status} to {probe.what}: "
                f"{text.strip()[:300] or 'no text'}",
            )
        if probe.body is not None and not _is_answer(text):
            return Outcome(
                False,
                f"{url}{probe.path} answered something that is not {probe.what}: {text[:200]}",
            )
    taken = time.monotonic() - begin
    return Outcome(True, f"{url} answered {probe.what} in {taken:.2f} s")


def _is_answer(text: str) -> bool:
    import json

    try:
        answer = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and any(
        answer.get(key) for key in ("choices", "data", "results")
    )
