"""A model's credentials: from the Secret that it names, read when they are needed.

They go to the worker through its standard input and to nobody else. The version of the Secret is
remembered, so that a model which was refused is tried again when the Secret changes.
"""

from __future__ import annotations

import base64
import binascii

from ome.agent.identity import WEIGHTS
from ome.agent.target import Target
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Key, metadata
from ome.apimachinery.resources import SECRETS
from ome.kube import Client

_ABSENT = "absent"


class Credentials:
    """``namespace`` is the operator's: models without a namespace have their Secrets there."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._versions: dict[Key, str] = {}

    def version(self, key: Key) -> str:
        """Of the Secret as it was last read."""
        return self._versions.get(key, "")

    async def read(self, target: Target) -> dict[str, str]:
        """Everything in the Secret; ``token`` is what ``parameters.secretKey`` names."""
        fallback = target.spec.parameters.get("token", "")
        found = {"token": fallback} if fallback else {}
        if not target.secret:
            return found
        spaced = target.key.namespace not in ("", WEIGHTS)
        namespace = target.key.namespace if spaced else self._namespace
        try:
            secret = await self._client.get(SECRETS, target.secret, namespace)
        except NotFound:
            self._versions[target.key] = _ABSENT
            return found
        self._versions[target.key] = metadata(secret).get("resourceVersion") or ""
        for name, value in (secret.get("data") or {}).items():
            try:
                found[name] = base64.b64decode(value or "").decode().strip()
            except (binascii.Error, UnicodeDecodeError):
                continue  # something binary that no storage asks for
        if found.get(target.secret_key):
            found["token"] = found[target.secret_key]
        return found
