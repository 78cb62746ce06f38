"""Asking a service through OpenAI's API, streaming, with the standard library alone.

On one machine through the gateway; on a cluster through the API server's ``services/proxy``.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from ome.apimachinery.objects import Object
from ome.cli.api import Api
from ome.cli.errors import CliError
from ome.cli.serviceproxy import in_words, proxy_path

Message = dict[str, str]
SILENCE_SECONDS = 900.0


def ask(
    api: Api,
    service: Object,
    gateway: str,
    messages: Sequence[Message],
    *,
    max_tokens: int | None = None,
    temperature: float | None = None,
) -> Iterator[str]:
    """The answer, piece by piece. Raises CliError with what the service or the gateway said."""
    meta = service["metadata"]
    body: dict[str, Any] = {"messages": list(messages), "stream": True}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if temperature is not None:
        body["temperature"] = temperature
    if api.local:
        body["model"] = f"{meta['namespace']}/{meta['name']}"
        lines = _from_gateway(gateway, body)
    else:
        path = proxy_path(api, service)
        body["model"] = _served_name(api, service, path)
        lines = _from_proxy(api, service, path, body)
    return _pieces(lines)


def _pieces(lines: Iterator[bytes]) -> Iterator[str]:
    """The words out of a stream of server-sent events."""
    finished = False
    for line in lines:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            finished = True
            break
        event = json.loads(data)
        if "error" in event:
            raise CliError(f"the engine broke off: {_said(event)}")
        for choice in event.get("choices") or ():
            text = (choice.get("delta") or {}).get("content")
            if text:
                yield str(text)
            finished = finished or bool(choice.get("finish_reason"))
    if not finished:
        raise CliError(
            "the answer broke off before its end",
            remedy="The engine or the gateway ended meanwhile: 'ome get' shows how they are",
        )


def _from_gateway(gateway: str, body: dict[str, Any]) -> Iterator[bytes]:
    address = urlsplit(gateway)
    connection = http.client.HTTPConnection(
        address.hostname or "127.0.0.1", address.port, timeout=SILENCE_SECONDS
    )
    with contextlib.closing(connection):
        try:
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(body).encode(),
                {"Content-Type": "application/json", "Accept": "text/event-stream"},
            )
            answer = connection.getresponse()
            if answer.status != 200:
                raise _refused(answer.status, answer.read())
            yield from iter(answer.readline, b"")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise CliError(
                f"no answer from the gateway: {reason}",
                where=gateway,
                remedy="'ome -n ome logs pod/gateway' shows what it says",
            ) from error


def _from_proxy(api: Api, service: Object, path: str, body: dict[str, Any]) -> Iterator[bytes]:
    rest = b""
    data = json.dumps(body).encode()
    path = f"{path}/v1/chat/completions"
    with (
        in_words(service),
        api.transport.stream("POST", path, body=data, timeout=SILENCE_SECONDS) as chunks,
    ):
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
    if rest:
        yield rest


def _served_name(api: Api, service: Object, path: str) -> str:
    with in_words(service):
        models = api.read(f"{path}/v1/models").get("data") or [{}]
    return str(models[0].get("id") or service["metadata"]["name"])


def _refused(status: int, data: bytes) -> CliError:
    try:
        said = _said(json.loads(data))
    except ValueError:
        said = data[:300].decode(errors="replace").strip()
    return CliError(said.rstrip(".") or f"the service answered {status}")


def _said(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return str(error or body)
