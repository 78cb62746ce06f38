"""A smaller Python for the gateway's process: one without TLS.

The gateway speaks plain HTTP on this machine's loopback, and JSON over a unix socket. The standard
library and aiohttp work on a Python that was built without ``ssl``, and are told that this is one:
OpenSSL and what belongs to it are 5 MB of a process that every machine with OME has to carry.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import cast

_TLS = ("ssl", "_ssl")
_ASKED_FOR_TLS = ("http.client", "urllib.request")
_HASHES = ("_md5", "_sha1", "_sha3", "_blake2")
_SHA2 = (("_sha2",), ("_sha256", "_sha512"))


def forbid_tls() -> None:
    """From now on ``import ssl`` fails as where it was left out, unless it has been imported."""
    modules = cast(dict[str, object], sys.modules)
    for name in (*_TLS, *(("_hashlib",) if _hashes_of_its_own() else ())):
        modules.setdefault(name, None)


def forbid_nothing() -> None:
    """Takes that back for what is imported later, also by parts of the standard library."""
    for name in (*_TLS, "_hashlib"):
        if name in sys.modules and cast(object, sys.modules[name]) is None:
            del sys.modules[name]
            for other in _ASKED_FOR_TLS:
                sys.modules.pop(other, None)


def _hashes_of_its_own() -> bool:
    """Whether hashlib does without OpenSSL; some distributions leave its own modules out."""
    there = all(find_spec(name) for name in _HASHES)
    return there and any(all(find_spec(name) for name in names) for names in _SHA2)
