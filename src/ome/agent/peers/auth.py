"""How agents prove themselves to each other: requests signed with a key that they share.

The key never goes over the wire. A signature holds for one method, path and range, and for a few
minutes, so whoever listens can at most ask for the same bytes again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from ome.apimachinery.errors import AlreadyExists, NotFound
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import SECRETS
from ome.kube import Client

SECRET = "ome-model-agent-peers"  # the name of an object, not a secret
FIELD = "key"
SCHEME = "OME-HMAC-SHA256"
MOST_SKEW = 300.0
"""Seconds that the clocks of two nodes may differ."""


def sign(key: bytes, method: str, path: str, content_range: str, now: float) -> str:
    """The value of the Authorization header."""
    stamp = str(int(now))
    return f"{SCHEME} {stamp}:{_mac(key, method, path, content_range, stamp)}"


def refuse(key: bytes, header: str, method: str, path: str, content_range: str, now: float) -> str:
    """Why a request is not let in; empty if it is."""
    scheme, _, value = header.partition(" ")
    stamp, colon, mac = value.partition(":")
    if scheme != SCHEME or not colon or not stamp.isdigit() or len(stamp) > 12:
        return "the request is not signed"
    if not hmac.compare_digest(mac, _mac(key, method, path, content_range, stamp)):
        return "the signature is wrong: the agents' keys differ"
    skew = now - float(stamp)
    if abs(skew) > MOST_SKEW:
        return f"the clocks of the two nodes differ by {abs(skew):.0f} s"
    return ""


def _mac(key: bytes, *parts: str) -> str:
    return hmac.new(key, "\n".join(parts).encode(), hashlib.sha256).hexdigest()


async def shared_key(client: Client, namespace: str, fresh: str) -> bytes:
    """The key of this fleet; the first agent that asks makes it from ``fresh``."""
    try:
        found = await client.get(SECRETS, SECRET, namespace)
    except NotFound:
        secret: Object = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": namespace},
            "type": "Opaque",
            "data": {FIELD: base64.b64encode(fresh.encode()).decode()},
        }
        try:
            found = await client.create(SECRETS, secret)
        except AlreadyExists:
            found = await client.get(SECRETS, SECRET, namespace)
    return base64.b64decode((found.get("data") or {}).get(FIELD) or "")
