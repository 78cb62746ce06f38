"""What the model commands share: looking at a model, its object, and which object a name means."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ome.api import resources as ours
from ome.apimachinery.objects import Object, Resource
from ome.artifacts import ArtifactError, ModelMetadata, inspect
from ome.cli.api import Api
from ome.cli.commands.get import not_found
from ome.cli.errors import CliError, usage
from ome.storage import FileEntry, Source, SourceSpec, StorageError

WEIGHTS = ours.FINE_TUNED_WEIGHTS
KINDS: tuple[Resource, ...] = (ours.BASE_MODELS, ours.CLUSTER_BASE_MODELS)
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Look:
    """What was found. ``size_bytes`` and ``files`` are of all that a download would bring."""

    where: str
    metadata: ModelMetadata
    revision: str = ""
    files: int = 0
    size_bytes: int = 0


def is_uri(text: str) -> bool:
    return "://" in text


def spec_of(uri: str) -> SourceSpec:
    """The pieces of a storage URI, as a command takes it. Raises CliError."""
    from ome.agent.location import parse

    try:
        spec = parse(uri, {})
    except StorageError as error:
        raise CliError(error.message, remedy="See 'ome model --help' for the forms") from error
    return spec


def look(place: str) -> Look:
    """What is known of the model at a storage URI or in a folder. Raises CliError."""
    if not is_uri(place):
        return _look_here(Path(place).expanduser(), place)
    spec = spec_of(place)
    if spec.scheme == "local":
        return _look_here(Path(spec.path), place)
    if spec.scheme == "pvc":
        raise CliError(
            "a volume claim can only be looked at where it is mounted",
            where=place,
            remedy="Make the model with 'ome model add': OME then looks with a Job",
        )
    try:
        return asyncio.run(_look_there(spec))
    except (StorageError, ArtifactError) as error:
        raise CliError(error.message, where=place, remedy=error.remedy) from error


def _look_here(folder: Path, place: str) -> Look:
    from ome.storage import manifest

    if folder.is_file():
        raise CliError(
            "that is a file; a model is a folder", where=place, remedy=f"Name {folder.parent}"
        )
    try:
        found = inspect(folder)
    except ArtifactError as error:
        raise CliError(error.message, where=place, remedy=error.remedy) from error
    except OSError as error:
        raise CliError(f"it can't be read: {error.strerror}", where=place) from error
    listed = manifest.read(folder)
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
    return Look(place, found, listed.revision if listed else "", len(sizes), sum(sizes))


async def _look_there(spec: SourceSpec) -> Look:
    """Reads headers and small files by their ranges; the weights stay where they are."""
    from ome.agent.remote import inspect_remote
    from ome.storage import open_source

    source = _Listed(open_source(spec))
    try:
        found = await inspect_remote(source, name=spec.container if spec.scheme == "hf" else "")
        sizes = [entry.size for entry in await source.list()]
        return Look(spec.uri, found, source.revision, len(sizes), sum(sizes))
    finally:
        await source.close()


class _Listed:
    """A source that is listed once, however often it is asked."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._files: Sequence[FileEntry] | None = None
        self.uri = source.uri
        self.ranged = source.ranged

    @property
    def revision(self) -> str:
        return self._source.revision

    async def list(self) -> Sequence[FileEntry]:
        if self._files is None:
            self._files = await self._source.list()
        return self._files

    def read(self, entry: FileEntry, start: int, end: int) -> AsyncIterator[bytes]:
        return self._source.read(entry, start, end)

    async def close(self) -> None:
        await self._source.close()


def fields(found: ModelMetadata) -> dict[str, Any]:
    """The fields of a model's spec, by their names, as far as the files say them."""
    from ome.agent.describing import config_of

    config = config_of(found)
    decoded = config.pop("decodedModelConfiguration", None)
    for other in ("license", "parametersFrom"):
        config.pop(other, None)
    return {**config, **({"modelConfiguration": decoded} if decoded else {})}


def as_json(seen: Look) -> dict[str, Any]:
    """For machines: the spec's fields, and what has no field there."""
    found = seen.metadata
    exact = found.parameters_from == "headers"
    shown: dict[str, Any] = {
        **fields(found),
        "parameterCount": found.parameter_count or None,
        "parameterCountExact": exact if found.parameter_count else None,
        "parameterCountFrom": found.parameters_from or None,
        "dtype": found.dtype or None,
        "license": found.license or None,
        "weightBytes": found.size_bytes or None,
        "source": {
            "uri": seen.where,
            "revision": seen.revision or None,
            "files": seen.files,
            "sizeBytes": seen.size_bytes,
        },
        "notes": list(found.notes) or None,
    }
    shown["source"] = {k: v for k, v in shown["source"].items() if v is not None}
    return {k: v for k, v in shown.items() if v is not None}


def name_for(spec: SourceSpec) -> str:
    """A name for the object, from the last part of where the files are."""
    last = (spec.path or spec.container) if spec.scheme != "hf" else spec.container
    plain = _NOT_A_NAME.sub("-", last.rstrip("/").rpartition("/")[2].lower())
    plain = plain.strip("-")[:63].strip("-")
    if not plain:
        raise usage(f"{spec.uri} gives no name", "Give one with --name")
    return plain


def model_object(
    uri: str, name: str, namespace: str, seen: Look | None, storage: Mapping[str, Any]
) -> Object:
    """The object to create. ``namespace`` is empty for a ClusterBaseModel."""
    resource = ours.BASE_MODELS if namespace else ours.CLUSTER_BASE_MODELS
    spec: Object = {}
    parsed = spec_of(uri)
    if parsed.scheme in ("hf", "github"):
        owner, _, repository = parsed.container.partition("/")
        spec |= {"displayName": repository or owner, "vendor": owner.lower()}
    if seen is not None:
        spec |= fields(seen.metadata)
        if seen.metadata.license:
            spec["additionalMetadata"] = {"license": seen.metadata.license}
    spec["storage"] = {"storageUri": uri, **storage}
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": meta,
        "spec": spec,
    }


def find(api: Api, name: str, namespace: str | None, *, cluster: bool) -> tuple[Resource, Object]:
    """The model that a name means. ``namespace`` is the one that was asked for, if any."""
    asked, slash, rest = name.partition("/")
    if slash:
        namespace, name = asked, rest
    wanted = KINDS[1:] if cluster else KINDS[:1] if namespace else KINDS
    where = namespace or api.namespace
    hits = [
        (resource, {"apiVersion": resource.api_version, "kind": resource.kind, **found})
        for resource in wanted
        if (found := api.find(resource, name, where if resource.namespaced else "")) is not None
    ]
    if len(hits) > 1:
        raise CliError(
            f"there is both a BaseModel '{name}' in namespace {where} and a ClusterBaseModel "
            f"'{name}'",
            remedy=f"Say which: {where}/{name}, or --cluster",
        )
    if not hits:
        there = [o["metadata"]["name"] for r in wanted for o in api.list(r, where)]
        raise not_found(wanted[-1], name, where, there)
    return hits[0]
