"""``hf://``: a repository on a Hugging Face hub, pinned to one commit.

The hub's own library lists and builds URLs; it is imported when a source is opened, never before,
because it is heavy (so: in the worker process only). The bytes go through OME's engine. Weights
carry a sha256, small files git's blob hash, so everything is verified. Large files that the hub
keeps in Xet storage come from there (:mod:`ome.storage.xet`); where that fails, over HTTP like all
others. ``HF_HUB_DISABLE_XET=1`` turns it off.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ome.storage.credentials import Secrets
from ome.storage.errors import (
    AccessDenied,
    Gated,
    InvalidLocation,
    RateLimited,
    ServerFailed,
    SourceNotFound,
    StorageError,
    Unreachable,
    redact,
)
from ome.storage.http import RangeReader, new_session, retry_after
from ome.storage.source import FileEntry, SourceSpec
from ome.storage.xet import SMALLEST, XetFailed, XetReader

log = logging.getLogger("ome.storage.hf")

DEFAULT_ENDPOINT = "https://huggingface.co"
_XET_HASH = re.compile(r"[0-9a-f]{64}")


class HubSource:
    """One repository at one revision; ``folder`` restricts it to a part of the repository.

    ``ambient``: without ``token``, the token that this user is logged in with may be used.
    """

    ranged = True

    def __init__(
        self,
        uri: str,
        repository: str,
        *,
        revision: str = "main",
        folder: str = "",
        endpoint: str = DEFAULT_ENDPOINT,
        token: str | None = None,
        ambient: bool = True,
    ) -> None:
        if not repository:
            raise InvalidLocation(f"{uri} names no repository", remedy="write hf://org/name")
        self.uri = uri
        self._repository = repository
        self._asked = revision or "main"
        self._folder = folder.strip("/")
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._ambient = ambient
        self._commit = ""
        self._session = new_session()
        self._reader: RangeReader | None = None
        self._headers: dict[str, str] = {}
        self._xet_hashes: dict[str, str] = {}
        self._xet: XetReader | None = None
        self._xet_opening = asyncio.Lock()

    @property
    def revision(self) -> str:
        return self._commit

    async def list(self) -> Sequence[FileEntry]:
        return await asyncio.to_thread(self._list)

    async def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        reader = self._reader
        if reader is None:
            raise RuntimeError("list() must come before read()")
        if end - start >= SMALLEST and entry.path in self._xet_hashes:
            async for piece in self._read_xet(entry, start, end):
                start += len(piece)
                yield piece
        url = self._url(entry.path)
        async for piece in reader.read(url, start, end, size=entry.size, name=entry.path):
            yield piece

    async def _read_xet(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        """What Xet storage gives of it; after a failure nothing more, for no file."""
        digest = self._xet_hashes[entry.path]
        try:
            async with self._xet_opening:
                if not self._xet_hashes:
                    return
                if self._xet is None:
                    self._xet = await XetReader.open(
                        self._session, self._xet_token_url(), self._headers
                    )
            if self._xet.takes(digest, start, end):
                async for piece in self._xet.read(digest, entry.size, start, end):
                    yield piece
        except XetFailed as error:
            if self._xet_hashes:
                log.warning("%s: not from Xet storage but over HTTP: %s", self.uri, error)
            self._xet_hashes = {}

    async def close(self) -> None:
        if self._xet is not None:
            await self._xet.close()
        await self._session.close()

    def _list(self) -> Sequence[FileEntry]:
        from huggingface_hub import HfApi, constants, get_token
        from huggingface_hub.hf_api import RepoFile

        token = self._token or (get_token() if self._ambient else None)
        api = HfApi(endpoint=self._endpoint, token=token or False)
        try:
            info = api.model_info(self._repository, revision=self._asked, timeout=20)
            self._commit = info.sha or ""
            tree = tuple(
                api.list_repo_tree(
                    self._repository,
                    path_in_repo=self._folder or None,
                    recursive=True,
                    revision=self._commit or self._asked,
                )
            )
        except Exception as error:
            raise self._translate(error) from error
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._reader = RangeReader(self._session, headers=self._headers, explain=self._explain)
        files = [item for item in tree if isinstance(item, RepoFile)]
        if not constants.HF_HUB_DISABLE_XET:
            self._xet_hashes = {
                self._relative(item.path): item.xet_hash
                for item in files
                if isinstance(item.xet_hash, str) and _XET_HASH.fullmatch(item.xet_hash)
            }
        return [self._entry(item) for item in files]

    def _entry(self, item: Any) -> FileEntry:
        path = self._relative(item.path)
        lfs = item.lfs
        if lfs:
            return FileEntry(path, lfs.size, sha256=lfs.sha256)
        return FileEntry(path, item.size, git_sha1=item.blob_id or "")

    def _relative(self, path: str) -> str:
        return path.removeprefix(self._folder + "/") if self._folder else path

    def _xet_token_url(self) -> str:
        revision = quote(self._commit or self._asked, safe="")
        return f"{self._endpoint}/api/models/{self._repository}/xet-read-token/{revision}"

    def _url(self, path: str) -> str:
        from huggingface_hub import hf_hub_url

        name = f"{self._folder}/{path}" if self._folder else path
        return hf_hub_url(
            self._repository,
            name,
            revision=self._commit or self._asked,
            endpoint=self._endpoint,
        )

    def _translate(self, error: Exception) -> StorageError:
        """An exception of the hub's library, whatever HTTP library it uses underneath."""
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            OfflineModeIsEnabled,
        )

        if isinstance(error, StorageError):
            return error
        if isinstance(error, HFValidationError):
            return InvalidLocation(
                f"{self.uri} is not the name of a repository: {redact(str(error))}",
                remedy="write hf://org/name or hf://org/name@revision",
            )
        if isinstance(error, OfflineModeIsEnabled):
            return Unreachable(
                "the hub's library is in offline mode", remedy="unset HF_HUB_OFFLINE"
            )
        if isinstance(error, HfHubHTTPError) and error.response is not None:
            status = error.response.status_code
            known = self._explain(status, error.response.headers)
            return known or ServerFailed(
                f"{self._endpoint} answered {status} for {self._repository}",
                remedy="OME tries again by itself",
            )
        cause = redact(str(error)) or type(error).__name__
        return Unreachable(
            f"the hub {self._endpoint} can't be reached: {cause}",
            remedy="check the network and HF_ENDPOINT; OME tries again by itself",
        )

    def _explain(self, status: int, headers: Mapping[str, str]) -> StorageError | None:
        code = headers.get("X-Error-Code", "")
        with_token = "the token" if self._token else "no token was given, and it"
        if code == "GatedRepo":
            return Gated(
                f"{self._repository} is gated and {with_token} has not been granted access",
                remedy=f"accept the conditions at {self._endpoint}/{self._repository}, then name "
                "a Secret with a token of that account in spec.storage.key (or set HF_TOKEN)",
            )
        if code == "RevisionNotFound":
            return SourceNotFound(
                f"{self._repository} has no revision {self._asked!r}",
                remedy="check what follows @ in the storage URI",
            )
        if code == "EntryNotFound":
            return SourceNotFound(
                f"{self._repository} has no file or folder of that name at {self._asked!r}"
                + (f" ({self._folder})" if self._folder else ""),
                remedy="check the storage URI",
            )
        if status in (401, 403, 404) and (code == "RepoNotFound" or status != 404):
            return self._hidden(status)
        if status == 404:
            return SourceNotFound(
                f"{self._endpoint} has no model {self._repository}", remedy="check the storage URI"
            )
        if status == 429:
            return RateLimited(
                f"{self._endpoint} limits the rate of requests (429)",
                remedy="OME waits and tries again; a token (spec.storage.key) raises the limit",
                retry_after=retry_after(headers),
            )
        if status >= 500:
            return ServerFailed(
                f"{self._endpoint} failed with status {status}",
                remedy="OME tries again by itself",
                retry_after=retry_after(headers),
            )
        return None

    def _hidden(self, status: int) -> StorageError:
        """Hubs answer 401 both for what does not exist and for what is private."""
        if status == 404 or not self._token:
            return SourceNotFound(
                f"{self._endpoint} has no model {self._repository} that is visible "
                + ("with this token" if self._token else "without a token"),
                remedy="check the name; for a private model name a Secret with a token in "
                "spec.storage.key (or set HF_TOKEN)",
            )
        return AccessDenied(
            f"{self._endpoint} refuses the token for {self._repository} ({status})",
            remedy="put a valid token into the Secret that spec.storage.key names",
        )


def open_hub(spec: SourceSpec) -> HubSource:
    """``container`` is the repository, ``path`` a folder in it.

    ``parameters.endpoint`` wins over the environment's ``HF_ENDPOINT``. An endpoint that whoever
    wrote the model chose gets the model's own token only, never this machine's.
    """
    chosen = spec.parameters.get("endpoint", "")
    own = Secrets(spec.credentials).first("token", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    token = own or ("" if chosen else os.environ.get("HF_TOKEN"))
    return HubSource(
        spec.uri,
        spec.container,
        revision=spec.revision,
        folder=spec.path,
        endpoint=chosen or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT,
        token=token or None,
        ambient=not chosen,
    )
