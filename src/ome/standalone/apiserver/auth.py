"""Who is asking over TLS: fixed tokens, and signed tokens of service accounts.

A service account's token is a JWT (HS256). Its key is in the store, in a bucket that no path
serves, so tokens outlive a restart; a token ends when it expires or its service account goes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from ome.apimachinery.errors import Unauthorized
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.codec import decode_stored
from ome.standalone.apiserver.store import Entry, Store

_BUCKET = "~/keys"  # no API group can have this name
_NAME = "service-account-tokens"


class Authenticator:
    """Turns an ``Authorization`` header into a user name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fixed: Mapping[str, str] = {}

    def user(self, header: str) -> str | None:
        """None without a header. Raises 401 for a token that is not good."""
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token.isascii():
            for known, user in self.fixed.items():
                if hmac.compare_digest(known.encode(), token.encode()):
                    return user
            subject = self._verify(token)
            if subject is not None:
                return subject
        raise Unauthorized("Unauthorized")

    def _verify(self, token: str) -> str | None:
        key = self._key()
        signed, _, signature = token.rpartition(".")
        if key is None or not hmac.compare_digest(_sign(key, signed), signature):
            return None
        try:
            claims: Any = json.loads(_unbase64(signed.partition(".")[2]))
        except (ValueError, binascii.Error):
            return None
        if claims["exp"] < time.time():
            return None
        account = claims["kubernetes.io"]
        entry = self._store.get(
            "/serviceaccounts", account["namespace"], account["serviceaccount"]["name"]
        )
        if entry is None:
            return None
        if decode_stored(entry.data)["metadata"]["uid"] != account["serviceaccount"]["uid"]:
            return None
        return str(claims["sub"])

    def _key(self) -> bytes | None:
        entry = self._store.get(_BUCKET, "", _NAME)
        return entry.data if entry else None

    async def issue(self, account: Object, seconds: int, audiences: list[str]) -> str:
        """A new token of a service account."""
        async with self._store.lock(_BUCKET, "", _NAME):
            key = self._key()
            if key is None:
                key = secrets.token_bytes(32)
                entry = Entry.of("", _NAME, self._store.next_revision(), key)
                await self._store.write(_BUCKET, entry, expected=0)
        meta, now = account["metadata"], int(time.time())
        claims = {
            "iss": "ome",
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
            "aud": audiences,
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "kubernetes.io": {
                "namespace": meta["namespace"],
                "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
            },
        }
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (_HEADER, claims))
        return f"{signed}.{_sign(key, signed)}"


_HEADER = {"alg": "HS256", "typ": "JWT"}


def _sign(key: bytes, text: str) -> str:
    return _base64(hmac.new(key, text.encode(), hashlib.sha256).digest())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
