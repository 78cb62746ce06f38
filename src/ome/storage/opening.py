"""From a location to the source that serves it.

Schemes are looked up here; kinds of ``vendor://`` other than ``pypi`` come from installed packages
through the entry point group ``ome.storage_vendors`` (name: the vendor; value: a function from
:class:`SourceSpec` to :class:`Source`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ome.storage.errors import UnsupportedScheme
from ome.storage.source import Source, SourceSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

VENDOR_GROUP = "ome.storage_vendors"
_REMOTE = ("hf", "vendor")


def open_source(spec: SourceSpec) -> Source:
    """The source of a location. Raises ``UnsupportedScheme`` and ``InvalidLocation``."""
    if spec.scheme == "hf":
        from ome.storage.hf import open_hub

        return open_hub(spec)
    if spec.scheme == "vendor":
        return _vendor(spec)
    raise UnsupportedScheme(
        f"OME can't download from {spec.scheme}:// yet ({spec.uri})",
        remedy=f"use one of {', '.join(s + '://' for s in _REMOTE)}, or put the files on the node "
        "and use local://",
    )


def known_vendor(name: str) -> bool:
    """Whether anything is to be fetched for ``vendor://<name>/``."""
    return name == "pypi" or any(point.name == name for point in _vendors())


def _vendor(spec: SourceSpec) -> Source:
    if spec.container == "pypi":
        from ome.storage.pypi import open_pypi

        return open_pypi(spec)
    for point in _vendors():
        if point.name == spec.container:
            opener: Callable[[SourceSpec], Source] = point.load()
            return opener(spec)
    raise UnsupportedScheme(
        f"no installed package serves vendor://{spec.container}/ ({spec.uri})",
        remedy=f"install one that provides the entry point {spec.container!r} in the group "
        f"{VENDOR_GROUP}, or use vendor://pypi/",
    )


def _vendors() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=VENDOR_GROUP)
