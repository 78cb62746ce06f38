"""Oracle's request signatures: RSA-SHA256 over chosen headers, as the API's documentation says.

The official SDK brings 500 MB for this; ``cryptography`` is here already, and a signature is
thirty lines. It is checked against the SDK's own signer (see the tests' fake object storage).
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from email.utils import formatdate

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from yarl import URL

from ome.storage.errors import AccessDenied

_PLAIN = ("date", "(request-target)", "host")
_BODY = ("content-length", "content-type", "x-content-sha256")


@dataclass(frozen=True, slots=True)
class Signer:
    """``key_id`` names the key to the other side: ``tenancy/user/fingerprint`` or ``ST$token``."""

    key_id: str
    key: rsa.RSAPrivateKey

    def __repr__(self) -> str:
        return "Signer(***)"

    def headers(
        self, method: str, url: URL, body: bytes | None = None, *, with_host: bool = True
    ) -> dict[str, str]:
        """What to send beside the request. ``body``: it is signed too (not for object contents)."""
        values = {"date": formatdate(usegmt=True)}
        names = [name for name in _PLAIN if name != "host" or with_host]
        if body is not None:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            values |= {
                "content-length": str(len(body)),
                "content-type": "application/json",
                "x-content-sha256": digest,
            }
            names += _BODY
        target = f"{method.lower()} {url.raw_path_qs}"
        host = url.raw_authority.rpartition("@")[2]
        known = values | {"(request-target)": target, "host": host}
        text = "\n".join(f"{name}: {known[name]}" for name in names)
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        encoded = base64.b64encode(signature).decode()
        values["authorization"] = (
            f'Signature algorithm="rsa-sha256",headers="{" ".join(names)}",keyId="{self.key_id}",'
            f'signature="{encoded}",version="1"'
        )
        return values


def load_key(pem: str, passphrase: str = "") -> rsa.RSAPrivateKey:
    """Raises ``AccessDenied`` for what is no RSA key; never quotes it."""
    secret = passphrase.encode() if passphrase else None
    try:
        try:
            key = serialization.load_pem_private_key(pem.encode(), secret)
        except TypeError:
            if secret is None:
                raise
            key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError) as error:
        raise AccessDenied(
            "the private key for Oracle's object storage can't be read",
            remedy="it must be a PEM file with an RSA key, and its pass phrase where it has one",
        ) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise AccessDenied(
            "the private key for Oracle's object storage is no RSA key", remedy="make an RSA key"
        )
    return key


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_text(key: rsa.RSAPrivateKey) -> str:
    """The public half without the lines around it."""
    encoded = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return bare(encoded.decode())


def bare(pem: str) -> str:
    """A PEM text without its first and last line, on one line."""
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))


def expiry(token: str) -> float:
    """When a token expires, in seconds since the epoch; in ten minutes where it doesn't say."""
    try:
        payload = token.split(".")[1]
        padded = payload + "=" * (-len(payload) % 4)
        return float(json.loads(base64.urlsafe_b64decode(padded))["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return time.time() + 600
