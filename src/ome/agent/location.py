"""From a storage URI to the pieces that the storage room understands.

Only the schemes that this node fetches itself are taken apart; for all others the scheme is enough.
"""

from __future__ import annotations

from collections.abc import Mapping

from ome.storage import SourceSpec
from ome.storage.errors import InvalidLocation

NOTHING_TO_FETCH = frozenset({"pvc"})
"""Schemes that no node has to bring: the claim is mounted by the pod."""


def parse(uri: str, parameters: Mapping[str, str]) -> SourceSpec:
    """Raises ``InvalidLocation`` with the form that would be right."""
    scheme, separator, rest = uri.partition("://")
    if not separator or not scheme or not rest:
        raise InvalidLocation(
            f"{uri!r} is not a storage URI",
            remedy="write for example hf://org/name, local:///path or vendor://pypi/<dist>/<file>",
        )
    if scheme == "hf":
        return _hub(uri, rest, parameters)
    if scheme == "vendor":
        vendor, _, path = rest.partition("/")
        if not vendor or path.count("/") < 1 or not path.strip("/"):
            raise InvalidLocation(
                f"{uri!r} is incomplete", remedy="write vendor://<vendor>/<type>/<path>"
            )
        return SourceSpec(scheme, uri, vendor, path, parameters=parameters)
    return SourceSpec(scheme, uri, path=rest, parameters=parameters)


def _hub(uri: str, rest: str, parameters: Mapping[str, str]) -> SourceSpec:
    """``org/name[/folder][@revision]``; a revision may contain slashes, a name has one or none."""
    name, _, revision = rest.partition("@")
    parts = name.strip("/").split("/")
    if not all(parts) or any(p in (".", "..") for p in parts):
        raise InvalidLocation(
            f"{uri!r} is not the name of a repository",
            remedy="write hf://org/name, hf://org/name@revision or hf://org/name/folder",
        )
    repository, folder = "/".join(parts[:2]), "/".join(parts[2:])
    return SourceSpec("hf", uri, repository, folder, revision or "main", parameters=parameters)
