"""From a client's request to the call that an engine gets: the body's model, and the headers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from ome.standalone.gateway.errors import ApiError
from ome.standalone.gateway.upstream import Call

# RFC 9110 7.6.1, and what belongs to this hop alone.
_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_FORWARDED = _HOP | {"host", "content-length", "authorization", "expect", "accept-encoding"}


def is_json(request: web.BaseRequest) -> bool:
    # Plain ``curl -d`` says it sends a form; that no OpenAI path takes one makes it JSON.
    kind = request.content_type
    return kind.endswith("json") or kind in (
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "text/plain",
    )


def parse(raw: bytes) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise ApiError(400, "invalid_json", f"The body is not a JSON object: {error}.") from None


def model_of(fields: dict[str, msgspec.Raw]) -> str:
    if "model" not in fields:
        return ""
    try:
        return msgspec.json.decode(fields["model"], type=str)
    except msgspec.DecodeError:
        raise ApiError(
            400, "model_not_a_string", "The body's 'model' is not a string.", param="model"
        ) from None


def rewriter(
    fields: dict[str, msgspec.Raw], model: str
) -> Callable[[Sequence[str]], bytes | AsyncIterator[bytes] | None]:
    """The body with the engine's own name for the model. A name it knows (an adapter's, say) is
    left, and so are all other fields, byte for byte."""

    def body(names: Sequence[str]) -> bytes:
        if not names or model in names:
            return msgspec.json.encode(fields)
        return msgspec.json.encode({**fields, "model": names[0]})

    return body


def call(
    request: web.BaseRequest,
    path: str,
    body: Callable[[Sequence[str]], bytes | AsyncIterator[bytes] | None],
    *,
    repeatable: bool = True,
) -> Call:
    named = {n.strip().lower() for n in request.headers.get("Connection", "").split(",")}
    # The body was unpacked when it was read.
    dropped = _NOT_FORWARDED | named | {"content-encoding"}
    headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in dropped)
    if request.body_exists and is_json(request):
        headers["Content-Type"] = "application/json"
    headers["X-Forwarded-For"] = request.remote or ""
    return Call(request.method, path, headers, body, repeatable)


def without_hop(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    named = {n.strip().lower() for n in headers.get("Connection", "").split(",")}
    dropped = _HOP | named
    return [(k, v) for k, v in headers.items() if k.lower() not in dropped]
