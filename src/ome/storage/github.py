"""``github://OWNER/REPOSITORY[@TAG]``: the files of a release.

The release is resolved once; ``latest`` is pinned to the tag that it was. Assets carry a sha256
where GitHub has computed one (all since 2025). The token goes to the API only, never to where it
redirects. Works against GitHub Enterprise through ``parameters.endpoint`` or ``GITHUB_API_URL``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from ome.storage.credentials import Secrets
from ome.storage.errors import (
    AccessDenied,
    RateLimited,
    SourceChanged,
    SourceNotFound,
    StorageError,
)
from ome.storage.http import RangeReader, error_for, new_session, retry_after, unreachable
from ome.storage.source import FileEntry, SourceSpec

DEFAULT_API = "https://api.github.com"
_PER_PAGE = 100
_MOST_PAGES = 20


class ReleaseSource:
    """The uploaded assets of one release."""

    ranged = True

    def __init__(
        self, uri: str, repository: str, tag: str, *, api: str = DEFAULT_API, token: str = ""
    ) -> None:
        self.uri = uri
        self._repository = repository
        self._tag = tag or "latest"
        self._api = api.rstrip("/")
        self._token = token
        self._found = ""
        self._urls: dict[str, str] = {}
        self._session = new_session()
        headers = {"Accept": "application/octet-stream", **self._headers()}
        self._reader = RangeReader(self._session, headers=headers, explain=self._explain)

    @property
    def revision(self) -> str:
        return self._found

    async def list(self) -> Sequence[FileEntry]:
        base = f"{self._api}/repos/{self._repository}/releases"
        tag = "latest" if self._tag == "latest" else f"tags/{quote(self._tag, safe='')}"
        release = await self._get(f"{base}/{tag}")
        self._found = str(release["tag_name"])
        entries = []
        for page in range(1, _MOST_PAGES + 1):
            assets = await self._get(
                f"{base}/{release['id']}/assets?per_page={_PER_PAGE}&page={page}"
            )
            for asset in assets:
                if asset.get("state", "uploaded") == "uploaded":
                    entries.append(_entry(asset))
                    self._urls[asset["name"]] = asset["url"]
            if not assets:
                break
        if not entries:
            raise SourceNotFound(
                f"release {self._found} of {self._repository} has no files",
                remedy="name another release: github://OWNER/REPOSITORY@TAG",
            )
        return entries

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        url = self._urls.get(entry.path)
        if url is None:
            raise SourceChanged(
                f"release {self._found} has no {entry.path} any more", remedy="list it again"
            )
        async for piece in self._reader.read(url, start, end, size=entry.size, name=entry.path):
            yield piece

    async def close(self) -> None:
        await self._session.close()

    def _headers(self) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"X-GitHub-Api-Version": "2022-11-28", "User-Agent": "ome", **token}

    async def _get(self, url: str) -> Any:
        headers = {"Accept": "application/vnd.github+json", **self._headers()}
        try:
            async with self._session.get(url, headers=headers, max_redirects=5) as response:
                if response.status != 200:
                    known = self._explain(response.status, response.headers)
                    raise known or error_for(
                        response.status, response.headers, self._api, self._repository
                    )
                return json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(url, error) from error

    def _explain(self, status: int, headers: Mapping[str, str]) -> StorageError | None:
        if status == 429 or (status == 403 and headers.get("X-RateLimit-Remaining") == "0"):
            return RateLimited(
                f"{self._api} limits the rate of requests ({status})",
                remedy="OME waits and tries again; a token (spec.storage.key) raises the limit",
                retry_after=retry_after(headers) or _until_reset(headers),
            )
        if status == 401:
            return AccessDenied(
                f"{self._api} refuses the token for {self._repository}",
                remedy="put a valid token into the Secret that spec.storage.key names",
            )
        if status in (403, 404):
            what = "" if self._tag == "latest" else f" or no release {self._tag}"
            return SourceNotFound(
                f"{self._api} has no repository {self._repository} with releases{what} that is "
                + ("visible with this token" if self._token else "visible without a token"),
                remedy="check the storage URI; for a private one name a Secret with a token in "
                "spec.storage.key",
            )
        return None


def _entry(asset: Mapping[str, Any]) -> FileEntry:
    digest = str(asset.get("digest") or "")
    sha256 = digest.removeprefix("sha256:") if digest.startswith("sha256:") else ""
    return FileEntry(asset["name"], int(asset["size"]), sha256, version=str(asset.get("id", "")))


def _until_reset(headers: Mapping[str, str]) -> float | None:
    reset = headers.get("X-RateLimit-Reset", "")
    return max(0.0, float(reset) - time.time()) if reset.isdigit() else None


def open_release(spec: SourceSpec) -> ReleaseSource:
    """An endpoint that the model's author chose gets the model's own token only."""
    chosen = spec.parameters.get("endpoint", "")
    own = Secrets(spec.credentials).first("token", "GITHUB_TOKEN", "GH_TOKEN")
    token = own or spec.parameters.get("token", "")
    if not token and not chosen:
        token = os.environ.get("GITHUB_TOKEN", "")
    api = chosen or os.environ.get("GITHUB_API_URL") or DEFAULT_API
    return ReleaseSource(spec.uri, spec.container, spec.revision, api=api, token=token)
