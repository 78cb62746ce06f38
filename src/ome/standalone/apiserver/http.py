"""Answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.codec import JSON, decode_stored, encode
from ome.standalone.apiserver.requests import Accept

_WARNINGS: Final = 100
_WARNINGS_LENGTH: Final = 4096
_WARNING_LENGTH: Final = 256
"""Of each, where there are too many."""
_LONGEST: Final = 2000
"""Of one alone."""


def respond(
    body: bytes, *, status: int = 200, accept: Accept | None = None, warnings: Iterable[str] = ()
) -> web.Response:
    """An answer from JSON bytes, in the media type that the client asked for."""
    media = accept.media if accept else JSON
    if media != JSON:
        from ome.standalone.apiserver import yamlbody  # late: PyYAML costs memory

        body = yamlbody.encode(decode_stored(body))
    response = web.Response(body=body, status=status, content_type=media)
    add_warnings(response, warnings)
    return response


def add_warnings(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """As many as fit, each once: clients refuse an answer with too many or too long headers. The
    limits of length are Kubernetes' own; aiohttp's clients take 128 headers."""
    texts = [text[:_LONGEST] for text in dict.fromkeys(warnings)][:_WARNINGS]
    if sum(map(len, texts)) > _WARNINGS_LENGTH:
        texts = [text[:_WARNING_LENGTH] for text in texts]
    left = _WARNINGS_LENGTH
    for text in texts:
        left -= len(text)
        if left < 0:
            break
        response.headers.add("Warning", warning_header(text))


def warning_header(text: str) -> str:
    """RFC 7234 form of a warning; characters that a header can't carry are replaced."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    plain = printable.encode("ascii", "replace").decode()
    plain = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{" ".join(plain.split())}"'


def respond_object(obj: Object, *, status: int = 200, warnings: Iterable[str] = ()) -> web.Response:
    return respond(encode(obj), status=status, warnings=warnings)


def error_response(error: StatusError) -> web.Response:
    response = respond_object(error.to_status(), status=error.code)
    if error.retry_after:
        response.headers["Retry-After"] = str(max(1, int(error.retry_after)))
    return response
