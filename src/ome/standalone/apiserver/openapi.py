"""OpenAPI v3: an index of documents with hashes, and one document for each group and version.

kubectl caches documents by their hash, so a CRD's document must get a new hash when the CRD
changes. Documents are large and rarely asked for: they are made anew each time, in a thread.

OpenAPI v2 is an empty document. kubectl wants it for a manifest of the kind ``List``, and leaves
the checking of kinds that it does not find there to the server.
"""

from __future__ import annotations

import asyncio
import hashlib

from aiohttp import web

from ome.apimachinery import openapi
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.codec import encode
from ome.standalone.apiserver.discovery import subresources_of
from ome.standalone.apiserver.http import respond
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.registry import Registry

ROOT = "/openapi/v3"
V2 = "/openapi/v2"
_V2_MEDIA = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V2_PROTOBUF = b"\x0a\x032.0"
"""An OpenAPI v2 ``Document`` in protobuf, with only its ``swagger: "2.0"``."""


def version_2(accept: str, version: str) -> web.Response:
    if "proto-openapi" in accept:
        return web.Response(body=_V2_PROTOBUF, headers={"Content-Type": _V2_MEDIA})
    info = {"title": "OME", "version": version}
    return respond(encode({"swagger": "2.0", "info": info, "paths": {}}))


class OpenApi:
    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version

    async def find(self, path: str) -> bytes | None:
        """The index or a document; None if there is none at the path."""
        path = path.rstrip("/")
        if path == ROOT:
            return encode(self._index())
        if not path.startswith(ROOT + "/"):
            return None
        match path.removeprefix(ROOT + "/").split("/"):
            case ["api", version]:
                group = ""
            case ["apis", group, version]:
                pass
            case _:
                return None
        kinds = self._registry.group_versions().get(group, {}).get(version)
        if not kinds:
            return None
        served = [_served(kind) for kind in kinds]
        return await asyncio.to_thread(_render, group, version, served)

    def _index(self) -> Object:
        paths: Object = {}
        for group, versions in self._registry.group_versions().items():
            for version, kinds in versions.items():
                where = f"apis/{group}/{version}" if group else f"api/{version}"
                url = f"{ROOT}/{where}?hash={self._hash(kinds)}"
                paths[where] = {"serverRelativeURL": url}
        return {"paths": paths}

    def _hash(self, kinds: list[Kind]) -> str:
        text = repr([self._version, *((str(k.resource), k.schema_revision) for k in kinds)])
        return hashlib.sha256(text.encode()).hexdigest()[:32].upper()


def _served(kind: Kind) -> openapi.Served:
    return openapi.Served(
        kind.resource,
        (kind.raw_schema() or {"type": "object"}) if kind.custom else None,
        [name for name in subresources_of(kind) if name in ("status", "scale")],
    )


def _render(group: str, version: str, served: list[openapi.Served]) -> bytes:
    return encode(openapi.document(group, version, served))
