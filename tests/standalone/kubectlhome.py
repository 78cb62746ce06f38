"""An API server on TLS, and kubectl pointed at it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ome.standalone.apiserver import Admission, ApiServer, PodLogs, Store, TlsConfig
from ome.standalone.apiserver.tls import ensure_certificates

SECONDS = 30.0
TOKEN = "a-token-for-tests"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


class Kubectl:
    """Runs kubectl with a kubeconfig and a home of its own."""

    def __init__(self, program: Path, folder: Path, server: ApiServer) -> None:
        self.server = server
        self.folder = folder
        self._program = program
        self._config = folder / "kubeconfig"

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(self._config),
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            self._program,
            *arguments,
            env=self.environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(
        self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None
    ) -> Result:
        """The end of one command, good or bad."""
        process = await asyncio.create_subprocess_exec(
            self._program,
            *arguments,
            env={**self.environment(), **(env or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Result(process.returncode, out.decode(), err.decode())

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        """The output of a command that must succeed."""
        result = await self.run(*arguments, stdin=stdin)
        assert result.code == 0, f"kubectl {' '.join(arguments)}: {result.err}{result.out}"
        return result.out

    async def refused(self, *arguments: str, stdin: str = "") -> str:
        """The complaint about a command that must fail."""
        result = await self.run(*arguments, stdin=stdin)
        assert result.code != 0, f"kubectl {' '.join(arguments)} succeeded: {result.out}"
        return result.err

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self(*arguments, "-o", "json"))

    async def apply(self, *objects: dict[str, Any], flags: Sequence[str] = ()) -> str:
        return await self("apply", *flags, "-f", "-", stdin=yaml.safe_dump_all(objects))


@asynccontextmanager
async def serving(
    program: Path,
    folder: Path,
    *,
    admission: Admission | None = None,
    logs: PodLogs | None = None,
) -> AsyncIterator[Kubectl]:
    certificates = ensure_certificates(folder / "tls")
    store = Store.open(folder / "store.db")
    server = ApiServer(store, admission, logs, version="test")
    tls = TlsConfig("127.0.0.1", 0, certificates.cert, certificates.key)
    try:
        await server.start(folder / "api.sock", tls, {TOKEN: "tester"})
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "t",
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            "clusters": [
                {
                    "name": "t",
                    "cluster": {
                        "server": f"https://127.0.0.1:{server.tls_port}",
                        "certificate-authority": str(certificates.ca),
                    },
                }
            ],
            "users": [{"name": "t", "user": {"token": TOKEN}}],
        }
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        yield Kubectl(program, folder, server)
    finally:
        await server.stop()
        store.close()


WIDGET_CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {
            "plural": "widgets",
            "kind": "Widget",
            "shortNames": ["wd"],
            "categories": ["all", "things"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "string", "jsonPath": ".spec.size"},
                    {
                        "name": "Ready",
                        "type": "string",
                        "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                    },
                    {
                        "name": "Replicas",
                        "type": "integer",
                        "jsonPath": ".spec.replicas",
                        "priority": 1,
                    },
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A thing that other things need.",
                        "required": ["spec"],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {
                                        "type": "string",
                                        "enum": ["small", "large"],
                                        "description": "How much room it takes.",
                                    },
                                    "replicas": {"type": "integer", "default": 1, "minimum": 0},
                                    "parts": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {
                                                "name": {"type": "string"},
                                                "count": {"type": "integer", "default": 3},
                                            },
                                        },
                                    },
                                },
                            },
                            "status": {
                                "type": "object",
                                "x-kubernetes-preserve-unknown-fields": True,
                            },
                        },
                    }
                },
            }
        ],
    },
}


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": "small", **spec},
    }


def pod(name: str, **meta: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **meta},
        "spec": {"containers": [{"name": "main", "image": "none"}]},
    }
