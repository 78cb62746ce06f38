"""Answers."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.codec import JSON, decode_stored, encode
from ome.standalone.apiserver.requests import Accept


def respond(
    body: bytes, *, status: int = 200, accept: Accept | None = None, warnings: Iterable[str] = ()
) -> web.Response:
    """An answer from JSON bytes, in the media type that the client asked for."""
    media = accept.media if accept else JSON
    if media != JSON:
        from ome.standalone.apiserver import yamlbody  # late: PyYAML costs memory

        body = yamlbody.encode(decode_stored(body))
    response = web.Response(body=body, status=status, content_type=media)
    for text in warnings:
        response.headers.add("Warning", warning_header(text))
    return response


def warning_header(text: str) -> str:
    """RFC 7234 form of a warning; characters that a header can't carry are replaced."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    plain = printable.encode("ascii", "replace").decode()
    plain = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{" ".join(plain.split())[:2000]}"'


def respond_object(obj: Object, *, status: int = 200, warnings: Iterable[str] = ()) -> web.Response:
    return respond(encode(obj), status=status, warnings=warnings)


def error_response(error: StatusError) -> web.Response:
    response = respond_object(error.to_status(), status=error.code)
    if error.retry_after:
        response.headers["Retry-After"] = str(max(1, int(error.retry_after)))
    return response
