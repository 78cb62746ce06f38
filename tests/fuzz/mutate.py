"""Breaking an object: one to three things go wrong at random places, at any level."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object

TEXTS: Final = (
    "", " ", "a b", "UPPER", "ünïcödé", "模型", "\u202eltr", "👩‍🚀", "\x00", "a\nb",
    "a\r\nx: y", "\x1b[31m",
    "\ufeff", "\u2028", "\x7f", "-", ".", "..", "a..b", "/", "//", "a" * 64, "a" * 254, "a" * 5000,
    "../../etc/passwd", "/raid/models/../../etc", "/a/./b", "/a/\x00b", "~/x", "C:\\x",
    "/proc/self/environ",
    "{{ .Name }}", "{{ .Values.x | quote }}", "{{", "}}", "{{ range . }}", "{{ .Name.Name.Name }}",
    "{{ if }}", "$(POD_IP)", "$(", "$$(X)", "${X}", "%s%n", "%(x)s", "{0}", "{}",
    "'; DROP TABLE x; --",
    "true", "null", "0", "-1", "1e400", "NaN", "Infinity", "0x10", "1_000",
    "7B", "1.5T", "500M", "7 B", "B", "-7B", "1e3B", "7BB", "٣B", "0B", "9" * 400 + "B", "∞",
    "1Gi", "1.5Gi", "-1Gi", "1gi", "1 Gi", "1e9Gi", "0.1m", "1Ei", "9999999999999999999Ei", ".",
    "1.1.1",
    "ftp://host/x", "file:///etc/passwd", "http://x", "hf://", "hf:///", "hf://a", "hf://a/b/c/d@e@f",
    "hf://a/..", "pvc://", "pvc://:/", "pvc://a:b:c/d", "oci://n//b//o/", "s3://@/x", "vendor://", "://",
    "local://../x", "hf://a/b?x#y", "HF://A/B", "az://a/b/../c", "github://a/b@",
    "2026-13-45T99:99:99Z", "now", "1h30m", "-5s", "10", "sha256:zz", "a@b@c", "image:tag:tag",
    "ome-container", "default", "kubernetes.io/x", "ome.io/", "/x", "a/b/c", "x" * 63 + "/y",
)  # fmt: skip
NUMBERS: Final = (
    0, -1, 1, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64,
    10**30, 10**400, 0.5, -0.0, 1e21, 1e308, 5e-324, 1.0, 65536,
)  # fmt: skip
_OTHERS: Final = (None, True, False, [], {}, [None], [[]], {"": None}, {"a": {}}, [{}])
_DEPTHS: Final = (5, 40, 90)

Place = tuple[Any, Any]
"""A container and the key or index of one of its members."""


def places(value: Any) -> list[Place]:
    found: list[Place] = []
    pending = [value]
    while pending:
        part = pending.pop()
        keys: Any = list(part) if isinstance(part, dict) else range(len(part))
        for key in keys:
            found.append((part, key))
            if isinstance(part[key], dict | list) and part[key]:
                pending.append(part[key])
    return found


def mutate(obj: Object, pick: random.Random) -> tuple[Object, list[str]]:
    """A broken copy, and the names of what was done to it."""
    broken: Object = copy_json(obj)
    done = []
    for _ in range(pick.choice((1, 1, 1, 2, 3))):
        spots = places(broken)
        if not spots:
            break
        how = pick.choice(WAYS)
        how(broken, *pick.choice(spots), pick)
        done.append(how.__name__.strip("_"))
    return broken, done


def _text(_: Object, holder: Any, key: Any, pick: random.Random) -> None:
    holder[key] = pick.choice(TEXTS)


def _number(_: Object, holder: Any, key: Any, pick: random.Random) -> None:
    holder[key] = pick.choice(NUMBERS)


def _other(_: Object, holder: Any, key: Any, pick: random.Random) -> None:
    holder[key] = copy_json(pick.choice(_OTHERS))


def _glued(_: Object, holder: Any, key: Any, pick: random.Random) -> None:
    """A text that was right, with something at its end or its beginning."""
    if isinstance(holder[key], str):
        more = pick.choice(TEXTS)
        holder[key] = holder[key] + more if pick.random() < 0.5 else more + holder[key]


def _deep(_: Object, holder: Any, key: Any, pick: random.Random) -> None:
    for _level in range(pick.choice(_DEPTHS)):
        holder[key] = [holder[key]] if pick.random() < 0.5 else {"a": holder[key]}


def _gone(_: Object, holder: Any, key: Any, _pick: random.Random) -> None:
    del holder[key]


def _twice(_: Object, holder: Any, key: Any, _pick: random.Random) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy_json(holder[key]))
    elif isinstance(holder[key], list):
        holder[key] += copy_json(holder[key])


def _many(_: Object, holder: Any, key: Any, pick: random.Random) -> None:
    if pick.random() < 0.1 and isinstance(holder[key], list) and holder[key]:
        holder[key] = [copy_json(holder[key][0]) for _ in range(500)]
    elif isinstance(holder[key], str):
        holder[key] = holder[key][:50] * 200


def _unknown(_: Object, holder: Any, key: Any, pick: random.Random) -> None:
    if isinstance(holder, dict):
        holder[pick.choice(TEXTS)] = copy_json(holder[key])


def _swapped(whole: Object, holder: Any, key: Any, pick: random.Random) -> None:
    """A part of the object where another one belongs."""
    other, name = pick.choice(places(whole))
    holder[key] = copy_json(other[name])


def _metadata(whole: Object, _holder: Any, _key: Any, pick: random.Random) -> None:
    """Names, labels and annotations are where people write."""
    meta = whole.get("metadata")
    if not isinstance(meta, dict):
        return
    field = pick.choice(("name", "namespace", "generateName", "labels", "annotations", "uid"))
    if field in ("labels", "annotations"):
        if not isinstance(meta.get(field), dict):
            meta[field] = {}
        meta[field][pick.choice(TEXTS)] = pick.choice(TEXTS)
        if meta[field] and pick.random() < 0.5:
            meta[field][pick.choice(sorted(meta[field]))] = pick.choice(TEXTS)
    else:
        meta[field] = pick.choice(TEXTS)


Way = Callable[[Object, Any, Any, random.Random], None]
WAYS: Final[tuple[Way, ...]] = (
    _text, _text, _text, _number, _number, _other, _other, _glued, _glued, _deep, _gone, _twice,
    _many, _unknown, _swapped, _metadata, _metadata,
)  # fmt: skip
