"""What an HTTP request asks for: path, verb, query and media types, checked and typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from ome.apimachinery.errors import BadRequest, NotFound, StatusError, UnsupportedMediaType
from ome.apimachinery.objects import Object
from ome.standalone.apiserver import failures
from ome.standalone.apiserver.codec import JSON, MAX_BODY, PROTOBUF, YAML, TooLarge, decode_object

MAX_MANAGER = 128
_OPTIONS = {
    "POST": "CreateOptions",
    "PUT": "UpdateOptions",
    "PATCH": "PatchOptions",
    "DELETE": "DeleteOptions",
}
TRUE = frozenset({"true", "1", "t", "True", "TRUE", "T", ""})
FALSE = frozenset({"false", "0", "f", "False", "FALSE", "F"})


class NotAcceptable(StatusError):  # noqa: N818 - reads as the state it reports
    code = 406
    reason = "NotAcceptable"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a resource request points. ``namespace`` and ``name`` may be empty."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse_path(path: str) -> Target | None:
    """The target of a resource path; None if the path is not one."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        group, parts = "", parts[1:]
    elif parts[0] == "apis" and len(parts) > 1:
        group, parts = parts[1], parts[2:]
    else:
        return None
    if len(parts) < 2:
        return None
    version, parts = parts[0], parts[1:]
    if "" in parts:
        return None
    namespace = ""
    inner = parts[0] == "namespaces" and not group and len(parts) > 2
    if inner and parts[2] in ("status", "finalize") and len(parts) == 3:
        inner = False
    if inner or (parts[0] == "namespaces" and group):
        if len(parts) < 3:
            return None
        namespace, parts = parts[1], parts[2:]
    if len(parts) > 3:
        return None
    return Target(group, version, parts[0], namespace, *parts[1:])


class Query:
    """The query string. Getters raise BadRequest where a value makes no sense."""

    __slots__ = ("_values", "options")

    def __init__(self, values: Mapping[str, str], method: str = "GET") -> None:
        self._values = values
        self.options = _OPTIONS.get(method, "ListOptions")
        """The kind that stands for the parameters of this method in refusals."""

    def text(self, name: str) -> str:
        return self._values.get(name, "")

    def has(self, name: str) -> bool:
        return name in self._values

    def flag(self, name: str) -> bool:
        if name not in self._values:
            return False
        value = self._values[name]
        if value in TRUE:
            return True
        if value in FALSE:
            return False
        raise BadRequest(f'{name} must be "true" or "false", not "{value[:40]}"')

    def number(self, name: str, *, least: int = 0, most: int = 2**53) -> int | None:
        value = self._values.get(name, "")
        if not value:
            return None
        if not (value.isascii() and value.lstrip("-").isdigit() and len(value) < 18):
            raise BadRequest(f'{name} must be a whole number, not "{value[:40]}"')
        number = int(value)
        if not least <= number <= most:
            raise BadRequest(f"{name} must be at least {least}, not {number}")
        return number

    def dry_run(self) -> bool:
        value = self._values.get("dryRun", "")
        if value not in ("", "All"):
            raise failures.unsupported_option(self.options, "dryRun", value, ("All",))
        return value == "All"

    def validation(self) -> str:
        value = self._values.get("fieldValidation", "")
        supported = ("", "Ignore", "Strict", "Warn")
        if value not in supported:
            raise failures.unsupported_option(self.options, "fieldValidation", value, supported)
        return value

    def manager(self) -> str:
        """The field manager that the client names, if it does."""
        value = self._values.get("fieldManager", "")
        if len(value.encode()) > MAX_MANAGER:
            text = f"Too long: may not be more than {MAX_MANAGER} bytes"
            raise failures.bad_option(self.options, "fieldManager", text, "FieldValueTooLong")
        return value

    def limit(self) -> int:
        """How many objects a list may have; 0 is no limit, and so is a negative number."""
        return max(0, self.number("limit", least=-(2**53)) or 0)


@dataclass(frozen=True, slots=True)
class Accept:
    """How the client wants the answer. ``form`` is "", ``Table``, ``PartialObjectMetadata`` (also
    for its list) or another ``as``; ``media`` is JSON or YAML."""

    media: str = JSON
    form: str = ""


def negotiate(header: str, forms: tuple[str, ...] = ()) -> Accept:
    """The first offer of the client that the server can fulfil.

    ``forms`` are the values of ``as`` that this endpoint can produce besides the plain form.
    """
    if not header:
        return Accept()
    for offer in header.split(","):
        media, *parameters = (part.strip() for part in offer.split(";"))
        values = dict(p.split("=", 1) for p in parameters if "=" in p)
        form = values.get("as", "").removesuffix("List") if "as" in values else ""
        if form and form not in forms:
            continue
        if media in (JSON, "*/*", "application/*"):
            return Accept(JSON, form)
        if media in (YAML, "application/x-yaml", "text/yaml") and not form:
            return Accept(YAML)
    raise NotAcceptable(
        f"only {JSON} and {YAML} can be served here, and the client accepts only: {header[:200]}"
    )


async def read_body(request: web.BaseRequest) -> bytes:
    """The whole body; 413 if it is larger than the limit."""
    too_large = TooLarge(f"Request entity too large: limit is {MAX_BODY}")
    if (request.content_length or 0) > MAX_BODY:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def body_media(request: web.BaseRequest) -> str:
    """Whether a create or update body is JSON, YAML or protobuf. Raises 415 for anything else."""
    media = media_type(request)
    if media in ("", JSON, "application/octet-stream"):
        return JSON
    if media in (YAML, "application/x-yaml", "text/yaml"):
        return YAML
    if media == PROTOBUF:
        return PROTOBUF
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format ({media}); accepted media types "
        f"include: {JSON}, {YAML}, {PROTOBUF}"
    )


async def read_any_object(request: web.BaseRequest) -> Object:
    """The object in a body, in any form that the server reads."""
    media = body_media(request)
    return decode_object(await read_body(request), media)


def media_type(request: web.BaseRequest) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def unknown_path() -> NotFound:
    return NotFound("the server could not find the requested resource")
