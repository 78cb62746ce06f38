"""Requests to an API server, one after the other, as a command needs them.

Two transports, one face. The local one speaks HTTP over the unix socket of ``ome up`` with the
standard library alone, because importing the asynchronous client takes longer than ``ome get`` may.
The remote one (``remote.py``) is that client, with kubeconfig, TLS and exec plugins.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from ome.apimachinery.errors import NotFound, StatusError
from ome.apimachinery.objects import Object, Resource
from ome.cli.errors import CliError

JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MANAGER = "ome-cli"


class Transport(Protocol):
    """One request at a time. Raises StatusError for what the server refused, CliError for what
    never arrived."""

    where: str

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> bytes: ...

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        """The answer in chunks as they come. TimeoutError after ``timeout`` seconds of silence."""
        ...

    def warnings(self) -> list[str]:
        """Warning headers since the last call."""
        ...

    def close(self) -> None: ...


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class LocalTransport:
    """The API server of ``ome up``, through its socket."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self.where = str(path)
        self._path = path
        self._timeout = timeout
        self._connection: http.client.HTTPConnection | None = None
        self._warnings: list[str] = []

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> bytes:
        kept = self._connection is not None
        if self._connection is None:
            self._connection = _UnixConnection(self._path, self._timeout)
        try:
            self._connection.request(
                method, _url(path, params), body, _headers(body, content_type, accept)
            )
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if kept and method == "GET":
                return self.request(method, path, params=params, accept=accept)
            raise self._gone(error) from error
        if answer.will_close:
            self.close()
        for value in answer.headers.get_all("Warning") or ():
            self._warnings.append(value.split('"')[1] if '"' in value else value)
        if answer.status >= 400:
            raise _status_error(data, answer.status)
        return data

    @contextlib.contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> Iterator[Iterator[bytes]]:
        connection = _UnixConnection(self._path, timeout)
        try:
            try:
                connection.request(method, _url(path, params), body, _headers(body, JSON, "*/*"))
                answer = connection.getresponse()
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException) as error:
                raise self._gone(error) from error
            if answer.status >= 400:
                raise _status_error(answer.read(), answer.status)
            yield iter(lambda: answer.read1(65536), b"")
        finally:
            connection.close()

    def warnings(self) -> list[str]:
        found, self._warnings = self._warnings, []
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _gone(self, error: Exception) -> CliError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return CliError(
            f"no answer from OME: {reason}", where=self.where, remedy="Start it with 'ome up'"
        )


def _url(path: str, params: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(params)}" if params else path


def _headers(body: bytes | None, content_type: str, accept: str) -> dict[str, str]:
    headers = {"Accept": accept, "User-Agent": "ome-cli"}
    if body is not None:
        headers["Content-Type"] = content_type
    return headers


def _status_error(data: bytes, code: int) -> StatusError:
    try:
        status = json.loads(data)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return StatusError.from_status(status, code)
    text = data[:200].decode(errors="replace").strip() or f"the server answered {code}"
    return StatusError.from_status({"message": text}, code)


class Api:
    """The verbs that commands use."""

    def __init__(self, transport: Transport, namespace: str, *, local: bool) -> None:
        self.transport = transport
        self.namespace = namespace
        self.local = local

    @property
    def where(self) -> str:
        return self.transport.where

    def read(self, path: str, **params: str) -> Any:
        return json.loads(self.transport.request("GET", path, params=params))

    def get(self, resource: Resource, name: str, namespace: str = "") -> Object:
        found: Object = self.read(resource.path(namespace, name))
        return found

    def find(self, resource: Resource, name: str, namespace: str = "") -> Object | None:
        try:
            return self.get(resource, name, namespace)
        except NotFound:
            return None

    def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """All items, with kind and apiVersion filled in."""
        items: list[Object] = []
        params = {"limit": "500"}
        if labels:
            params["labelSelector"] = labels
        if fields:
            params["fieldSelector"] = fields
        while True:
            page = self.read(resource.path(namespace), **params)
            for item in page.get("items") or ():
                items.append({"apiVersion": resource.api_version, "kind": resource.kind, **item})
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return items
            params["continue"] = token

    def table(
        self, resource: Resource, namespace: str = "", *, name: str = "", labels: str = ""
    ) -> Object:
        params = {"labelSelector": labels} if labels else {}
        path = resource.path(namespace, name)
        answer = self.transport.request("GET", path, params=params, accept=f"{TABLE},{JSON}")
        table: Object = json.loads(answer)
        return table

    def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        force: bool,
        dry_run: bool,
        manager: str = MANAGER,
    ) -> Object:
        """Server-side apply with strict checks of fields."""
        meta = obj["metadata"]
        params = {"fieldManager": manager, "fieldValidation": "Strict"}
        params["force"] = "true" if force else "false"
        if dry_run:
            params["dryRun"] = "All"
        answer = self.transport.request(
            "PATCH",
            resource.path(meta.get("namespace") or "", meta["name"]),
            params=params,
            body=json.dumps(obj).encode(),
            content_type=APPLY,
        )
        applied: Object = json.loads(answer)
        return applied

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        self.transport.request(
            "DELETE", resource.path(namespace, name), body=json.dumps(options).encode()
        )

    def patch(self, resource: Resource, name: str, patch: Object, namespace: str = "") -> Object:
        answer = self.transport.request(
            "PATCH",
            resource.path(namespace, name),
            params={"fieldManager": MANAGER},
            body=json.dumps(patch).encode(),
            content_type=MERGE,
        )
        patched: Object = json.loads(answer)
        return patched

    def close(self) -> None:
        self.transport.close()
