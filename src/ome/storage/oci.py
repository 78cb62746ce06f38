"""``oci://``: Oracle's object storage over signed requests, through the same ranged reader as hubs.

All three forms of the URI are understood; a namespace that the URI leaves out is asked for, a
region comes from the URI, ``parameters.region``, the identity, or ``OCI_REGION``. Objects that were
uploaded whole carry an MD5, which is checked; reads name the ETag that ``list`` saw.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from ome.storage.errors import (
    AccessDenied,
    InvalidLocation,
    RateLimited,
    SourceNotFound,
    StorageError,
)
from ome.storage.http import (
    RangeReader,
    clock_skew,
    error_for,
    new_session,
    retry_after,
    unreachable,
)
from ome.storage.objectstore import with_hashes
from ome.storage.ociauth import Identity, identify
from ome.storage.source import MANIFEST_NAME, FileEntry, SourceSpec

_PAGE = 1000
_MOST_PAGES = 10_000
_LARGEST_ANSWER = 64 * 1024 * 1024


def endpoint_of(region: str) -> str:
    return f"https://objectstorage.{region}.oraclecloud.com"


class Bucket:
    """Signed requests to one bucket. :meth:`open` must come first."""

    def __init__(self, spec: SourceSpec) -> None:
        self.uri = spec.uri
        self._spec = spec
        self.session = new_session()
        self._identity: Identity | None = None
        self._base = ""

    async def open(self) -> None:
        """Find out who we are, where the bucket is, and in whose namespace."""
        if self._identity is not None:
            return
        spec = self._spec
        identity = await identify(spec, self.session)
        endpoint = spec.parameters.get("endpoint", "").rstrip("/")
        if not endpoint:
            region = (
                spec.region
                or spec.parameters.get("region", "")
                or identity.region
                or os.environ.get("OCI_REGION", "")
            )
            if not region:
                raise InvalidLocation(
                    f"nobody says in which region {spec.uri} is",
                    remedy="set the parameter region, or write oci://NAMESPACE@REGION/BUCKET/PREFIX",
                )
            endpoint = endpoint_of(region)
        self._identity = identity
        namespace = spec.namespace or await self._namespace(endpoint)
        self._base = f"{endpoint}/n/{quote(namespace, safe='')}/b/{quote(spec.container, safe='')}"

    async def close(self) -> None:
        await self.session.close()

    def url(self, path: str) -> URL:
        """``path`` below the bucket, encoded."""
        return URL(f"{self._base}{path}", encoded=True)

    def object_url(self, key: str, *, kind: str = "o", query: str = "") -> URL:
        return self.url(f"/{kind}/{quote(key, safe='/')}{f'?{query}' if query else ''}")

    async def sign(self, method: str, url: URL, body: bytes | None = None) -> dict[str, str]:
        if self._identity is None:
            raise RuntimeError("open() must come first")
        return (await self._identity.sign()).headers(method, url, body)

    async def call(
        self,
        method: str,
        url: URL,
        name: str,
        *,
        body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        """One request: its JSON answer (None for none) and headers. Raises a ``StorageError``.

        ``body`` is JSON and signed; ``content`` is an object's bytes, which are not.
        """
        encoded = json.dumps(body).encode() if body is not None else None
        signed = await self.sign(method, url, encoded)
        sent = {"content-type": "application/octet-stream"} if content is not None else {}
        try:
            async with self.session.request(
                method,
                url,
                headers={**sent, **signed, **(headers or {})},
                data=encoded if encoded is not None else content,
                allow_redirects=False,
            ) as response:
                raw = await response.content.read(_LARGEST_ANSWER)
                if response.status not in (200, 201, 204):
                    raise self.explain(response.status, response.headers, name, raw)
                return (json.loads(raw) if raw else None), response.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(str(url), error) from error

    async def _namespace(self, endpoint: str) -> str:
        found, _ = await self.call("GET", URL(f"{endpoint}/n", encoded=True), "the namespace")
        return str(found)

    def explain(
        self, status: int, headers: Mapping[str, str], name: str, raw: bytes = b""
    ) -> StorageError:
        code = _code(raw)
        bucket = self._spec.container
        if status in (401, 403) and (skewed := clock_skew(headers, "Oracle's object storage")):
            return skewed
        if status == 401:
            return AccessDenied(
                f"Oracle's object storage does not accept the key or token (for bucket {bucket})",
                remedy="check the Secret that spec.storage.key names, or parameters.auth",
            )
        if code == "BucketNotFound":
            return SourceNotFound(
                f"Oracle's object storage has no bucket {bucket} that is visible here",
                remedy="check namespace, bucket and region in the storage URI, and the policies "
                "of the identity",
            )
        if status in (404, 403):
            return SourceNotFound(
                f"bucket {bucket} has no {name!r} that is visible here ({status})",
                remedy="check the storage URI, and the policies of the identity",
            )
        if status == 429:
            return RateLimited(
                "Oracle's object storage limits the rate of requests (429)",
                remedy="OME slows down and tries again by itself",
                retry_after=retry_after(headers),
            )
        return error_for(status, headers, "Oracle's object storage", name)


class OciSource:
    """What lies below a prefix of a bucket, or the one object of that name."""

    ranged = True
    revision = ""

    def __init__(self, spec: SourceSpec) -> None:
        self.uri = spec.uri
        self._prefix = spec.path.strip("/")
        self._bucket = Bucket(spec)
        self._keys: dict[str, str] = {}
        self._reader = RangeReader(
            self._bucket.session,
            authorize=lambda url: self._bucket.sign("GET", url),
            explain=self._explain,
        )

    async def list(self) -> Sequence[FileEntry]:
        await self._bucket.open()
        found: list[FileEntry] = []
        own: FileEntry | None = None
        for item in await listed(self._bucket, self._prefix):
            path = self._relative(item["name"])
            if not path or (path.endswith("/") and not item.get("size")):
                continue
            entry = _entry(path, item)
            self._keys[path] = item["name"]
            if path == MANIFEST_NAME:
                own = entry
            else:
                found.append(entry)
        if not found:
            raise SourceNotFound(
                f"{self.uri} has no objects", remedy="check the prefix in the storage URI"
            )
        if own is None:
            return found
        raw = b"".join([piece async for piece in self.read(own, 0, own.size)])
        return with_hashes(found, raw, self.uri)

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        await self._bucket.open()
        key = self._keys.get(entry.path) or f"{self._prefix}/{entry.path}".lstrip("/")
        url = str(self._bucket.object_url(key))
        extra = {"If-Match": entry.version} if entry.version else {}
        async for piece in self._reader.read(
            url, start, end, size=entry.size, name=entry.path, extra=extra
        ):
            yield piece

    async def close(self) -> None:
        await self._bucket.close()

    def _relative(self, key: str) -> str:
        """The path below the prefix; empty for what only begins with the same letters."""
        if not self._prefix:
            return key
        if key == self._prefix:
            return key.rpartition("/")[2]
        inside = key.startswith(self._prefix + "/")
        return key[len(self._prefix) + 1 :] if inside else ""

    def _explain(self, status: int, headers: Mapping[str, str]) -> StorageError | None:
        if status in (412, 416) or status < 400:
            return None
        return self._bucket.explain(status, headers, "object")


async def listed(bucket: Bucket, prefix: str) -> list[dict[str, Any]]:
    """All objects whose name begins with ``prefix``: name, size, md5, etag."""
    found: list[dict[str, Any]] = []
    start = ""
    for _ in range(_MOST_PAGES):
        query = f"prefix={quote(prefix, safe='')}&fields=name,size,md5,etag&limit={_PAGE}"
        if start:
            query += f"&start={quote(start, safe='')}"
        page, _headers = await bucket.call("GET", bucket.url(f"/o?{query}"), prefix)
        found += page["objects"]
        start = page.get("nextStartWith") or ""
        if not start:
            break
    return found


def _entry(path: str, item: Mapping[str, Any]) -> FileEntry:
    return FileEntry(
        path,
        int(item.get("size") or 0),
        version=item.get("etag") or "",
        md5=_md5(item.get("md5") or ""),
    )


def _md5(text: str) -> str:
    """Hex; empty for objects that were uploaded in parts (their hash is not that of the whole)."""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return ""
    return raw.hex() if len(raw) == 16 else ""


def _code(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def open_oci(spec: SourceSpec) -> OciSource:
    """``container`` is the bucket, ``path`` the prefix; ``namespace`` and ``region`` may be ''."""
    return OciSource(spec)
