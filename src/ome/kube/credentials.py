"""Credential sources that change over time: token files and exec plugins."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ome.kube.endpoint import Credential, CredentialSource, bearer
from ome.kube.errors import ConfigError

log = logging.getLogger("ome.kube.credentials")

_REREAD = 60.0
_EXPIRY_MARGIN = 10.0
_EXEC_TIMEOUT = 60.0
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class TokenFile:
    """A token that somebody else renews in a file: read again every minute.

    While the file can't be read, the last token stays in use.
    """

    def __init__(self, path: Path, where: str) -> None:
        self._path = path
        self._where = where
        self._credential: Credential | None = None
        self._due = 0.0

    async def current(self) -> Credential:
        if self._credential is None or time.monotonic() >= self._due:
            self._credential = self._read()
            self._due = time.monotonic() + _REREAD
        return self._credential

    def invalidate(self) -> bool:
        self._due = 0.0
        return True

    def _read(self) -> Credential:
        try:
            token = self._path.read_text().strip()
            problem = "" if token else "is empty"
        except (OSError, UnicodeDecodeError) as error:
            token, problem = "", f"can't be read: {error}"
        if not problem:
            return bearer(token)
        if self._credential is None:
            raise ConfigError(f"{self._where}: the token file {self._path} {problem}")
        log.warning("the token file %s %s; using the last token", self._path, problem)
        return self._credential


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """``users[].user.exec`` of a kubeconfig."""

    command: str
    api_version: str
    where: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"
    cluster: Mapping[str, Any] | None = None


class ExecCredentials:
    """What an exec plugin prints; asked again when it expires or is refused.

    However many requests wait, the plugin runs once.
    """

    def __init__(self, plugin: ExecPlugin) -> None:
        self._plugin = plugin
        self._credential: Credential | None = None
        self._expires: float | None = None
        self._lock = asyncio.Lock()

    async def current(self) -> Credential:
        if self._credential is not None and not self._expired():
            return self._credential
        async with self._lock:
            if self._credential is None or self._expired():
                self._credential = await self._run()
            return self._credential

    def invalidate(self) -> bool:
        self._credential = None
        return True

    def _expired(self) -> bool:
        return self._expires is not None and time.time() >= self._expires - _EXPIRY_MARGIN

    async def _run(self) -> Credential:
        plugin = self._plugin
        interactive = plugin.interactive_mode != "Never" and sys.stdin.isatty()
        if plugin.interactive_mode == "Always" and not interactive:
            raise ConfigError(
                f"{plugin.where}: the plugin {plugin.command!r} wants a terminal "
                "(interactiveMode: Always) and there is none"
            )
        try:
            process = await asyncio.create_subprocess_exec(
                plugin.command,
                *plugin.args,
                env={**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": self._info(interactive)},
                stdin=None if interactive else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=None if interactive else asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f"\n{plugin.install_hint}" if plugin.install_hint else ""
            raise ConfigError(
                f"{plugin.where}.command: the plugin {plugin.command!r} can't be run: "
                f"{error.strerror or error}{hint}"
            ) from error
        try:
            async with asyncio.timeout(None if interactive else _EXEC_TIMEOUT):
                out, err = await process.communicate()
        except TimeoutError:
            raise ConfigError(
                f"{plugin.where}: the plugin {plugin.command!r} gave no answer "
                f"in {_EXEC_TIMEOUT:.0f} s"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            said = (err or b"").decode("utf-8", "replace").strip()[-500:]
            raise ConfigError(
                f"{plugin.where}: the plugin {plugin.command!r} failed with code "
                f"{process.returncode}" + (f": {said}" if said else "")
            )
        return self._parse(out)

    def _info(self, interactive: bool) -> str:
        spec: dict[str, Any] = {"interactive": interactive}
        if self._plugin.cluster is not None:
            spec["cluster"] = self._plugin.cluster
        return json.dumps(
            {"apiVersion": self._plugin.api_version, "kind": "ExecCredential", "spec": spec}
        )

    def _parse(self, out: bytes) -> Credential:
        plugin = self._plugin
        try:
            answer = json.loads(out)
            if answer["kind"] != "ExecCredential" or answer["apiVersion"] != plugin.api_version:
                raise ValueError(
                    f"it is {answer['apiVersion']} {answer['kind']}, "
                    f"not {plugin.api_version} ExecCredential"
                )
            status = answer["status"]
            token = status.get("token") or ""
            certificate = status.get("clientCertificateData") or ""
            key = status.get("clientKeyData") or ""
            expires = status.get("expirationTimestamp")
            self._expires = datetime.fromisoformat(expires).timestamp() if expires else None
            if bool(certificate) != bool(key):
                raise ValueError("clientCertificateData and clientKeyData come together")
            if not token and not certificate:
                raise ValueError("status has neither a token nor a client certificate")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ConfigError(
                f"{plugin.where}: what the plugin {plugin.command!r} printed can't be used: {what}"
            ) from error
        return Credential(bearer(token).headers, certificate.encode(), key.encode())


class Combined:
    """A fixed part (certificate, impersonation headers) with a token that changes."""

    def __init__(self, fixed: Credential, changing: CredentialSource) -> None:
        self._fixed = fixed
        self._changing = changing
        self._seen: Credential | None = None
        self._merged = fixed

    async def current(self) -> Credential:
        now = await self._changing.current()
        if now is not self._seen:
            self._seen = now
            self._merged = Credential(
                {**self._fixed.headers, **now.headers},
                now.certificate or self._fixed.certificate,
                now.key or self._fixed.key,
            )
        return self._merged

    def invalidate(self) -> bool:
        return self._changing.invalidate()


def exec_version(value: str, where: str) -> str:
    """Checks an exec plugin's apiVersion."""
    if value not in _EXEC_VERSIONS:
        raise ConfigError(
            f"{where}.apiVersion: {value or 'nothing'!r} is not one of {', '.join(_EXEC_VERSIONS)}"
        )
    return value
