"""From a location to the source that serves it.

Schemes are looked up here; each is imported when it is first used. Kinds of ``vendor://`` other
than ``pypi`` come from installed packages through the entry point group ``ome.storage`` (name: the
vendor; value: a function from :class:`SourceSpec` to :class:`Source`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final

from ome.storage.errors import UnsupportedScheme
from ome.storage.source import Source, SourceSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

VENDOR_GROUP: Final = "ome.storage"

_OPENERS: Final = {
    "hf": "ome.storage.hf:open_hub",
    "s3": "ome.storage.objectstore:open_objects",
    "gs": "ome.storage.objectstore:open_objects",
    "az": "ome.storage.objectstore:open_objects",
    "oci": "ome.storage.oci:open_oci",
    "github": "ome.storage.github:open_release",
    "pvc": "ome.storage.folder:open_claim",
    "local": "ome.storage.folder:open_local",
}
_OWN_VENDORS: Final = {"pypi": "ome.storage.pypi:open_pypi"}
"""Also declared as entry points; looked up here so that a source tree needs no installation."""


def open_source(spec: SourceSpec) -> Source:
    """The source of a location. Raises ``UnsupportedScheme`` and ``InvalidLocation``."""
    if spec.scheme == "vendor":
        return _vendor(spec)
    if spec.scheme in _OPENERS:
        return _load(_OPENERS[spec.scheme])(spec)
    raise UnsupportedScheme(
        f"OME can't download from {spec.scheme}:// ({spec.uri})",
        remedy=f"use one of {', '.join(s + '://' for s in (*_OPENERS, 'vendor'))}",
    )


def known_vendor(name: str) -> bool:
    """Whether anything is to be fetched for ``vendor://<name>/``."""
    return name in _OWN_VENDORS or any(point.name == name for point in _vendors())


def _vendor(spec: SourceSpec) -> Source:
    if spec.container in _OWN_VENDORS:
        return _load(_OWN_VENDORS[spec.container])(spec)
    for point in _vendors():
        if point.name == spec.container:
            opener: Callable[[SourceSpec], Source] = point.load()
            return opener(spec)
    raise UnsupportedScheme(
        f"no installed package serves vendor://{spec.container}/ ({spec.uri})",
        remedy=f"install one that provides the entry point {spec.container!r} in the group "
        f"{VENDOR_GROUP}, or use vendor://pypi/",
    )


def _load(name: str) -> Callable[[SourceSpec], Source]:
    module, _, function = name.partition(":")
    opener: Callable[[SourceSpec], Source] = getattr(import_module(module), function)
    return opener


def _vendors() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=VENDOR_GROUP)
