"""The corpus of real manifests, for tests that send it to API servers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ome.api import resources as ome
from ome.apimachinery import resources as core
from ome.apimachinery.objects import Resource

Object = dict[str, Any]

ROOT = Path(os.environ.get("OME_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
FOLDERS = ("models", "runtimes", "samples")


class CorpusMissing(RuntimeError):  # noqa: N818 - reads as the state it reports
    pass


@dataclass(frozen=True)
class Manifest:
    file: str
    object: Object

    @property
    def resource(self) -> Resource:
        kind = self.object["kind"]
        known = {"Namespace": core.NAMESPACES, "Secret": core.SECRETS}
        found = ome.by_kind(kind) or known.get(kind)
        assert found is not None, f"{self.file}: kind {kind}"
        return found

    @property
    def namespace(self) -> str:
        if not self.resource.namespaced:
            return ""
        return self.object["metadata"].get("namespace") or "default"

    @property
    def path(self) -> str:
        """Where the object is created."""
        return self.resource.path(self.namespace)

    def __str__(self) -> str:
        return f"{self.file} {self.object['kind']} {self.object['metadata']['name']}"


@cache
def manifests() -> tuple[Manifest, ...]:
    """Every object of the corpus. Raises where the corpus is not there: nothing is skipped."""
    found = [
        Manifest(str(path.relative_to(ROOT)), document)
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
        if document
    ]
    if not found:
        raise CorpusMissing(
            f"THE CORPUS WAS NOT TESTED: there are no manifests under {ROOT}. Set OME_CORPUS to "
            "the folder that holds models/, runtimes/ and samples/."
        )
    return tuple(found)


def namespaces() -> list[str]:
    return sorted({m.namespace for m in manifests() if m.namespace})
