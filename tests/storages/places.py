"""Every kind of storage, running, with a way to put files into it: the rows of the table."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.fakes.github import FakeGitHub
from tests.fakes.hub import FakeHub, Repository
from tests.fakes.oci import FakeOci
from tests.storages import servers

from ome.agent import location
from ome.storage import Source, SourceSpec, open_source

Put = Callable[[Mapping[str, bytes]], Awaitable[None]]
BUCKET = "models"


@dataclass(frozen=True)
class Place:
    """A storage with an empty place for one model.

    ``put`` makes these the model's files. ``absent`` is a URI beside it where nothing is;
    ``wrong`` are credentials that don't open it (empty where everything is open to all).
    """

    uri: str
    put: Put
    absent: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    folders: bool = True
    mounted: str = ""
    hashes: bool = True
    """Whether the place itself knows hashes of what it holds."""

    def spec(self, uri: str = "") -> SourceSpec:
        found = location.parse(uri or self.uri, self.parameters)
        return replace(found, credentials=self.credentials, mounted=self.mounted)

    def open(self, uri: str = "") -> Source:
        return open_source(self.spec(uri))


Opener = Callable[[Path], "contextlib.AbstractAsyncContextManager[Place]"]


@contextlib.asynccontextmanager
async def hub(scratch: Path) -> AsyncIterator[Place]:
    fake = FakeHub({}, page_size=1000)
    url = await fake.start()

    async def put(files: Mapping[str, bytes]) -> None:
        content = repr(sorted((name, len(data)) for name, data in files.items()))
        commit = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        fake.repositories["org/model"] = Repository(dict(files), commit, private=True)

    try:
        yield Place(
            "hf://org/model",
            put,
            "hf://org/absent",
            {"endpoint": url},
            {"token": fake.token},
            {"token": "hf_wrongtoken"},
        )
    finally:
        await fake.stop()


@contextlib.asynccontextmanager
async def s3(scratch: Path) -> AsyncIterator[Place]:
    with servers.moto() as url:
        servers.make_s3_bucket(url, BUCKET)
        keys = {"AWS_ACCESS_KEY_ID": "AKIALOOPBACK", "AWS_SECRET_ACCESS_KEY": "s3cr3t-of-loopback"}
        config = {"endpoint": url, "region": "us-east-1", "access_key_id": "a"}
        store = _store("S3Store", BUCKET, config | {"secret_access_key": "b"})
        uri = f"s3://{BUCKET}/org/model"
        yield Place(
            uri, _putter(store), f"s3://{BUCKET}/nobody", {"endpoint": url}, keys, hashes=False
        )


@contextlib.asynccontextmanager
async def azure(scratch: Path) -> AsyncIterator[Place]:
    with servers.azurite() as url:
        servers.make_azure_container(url, BUCKET)
        config = {"account_name": servers.AZURE_ACCOUNT, "endpoint": url}
        store = _store("AzureStore", BUCKET, config | {"account_key": servers.AZURE_KEY})
        home = f"az://{servers.AZURE_ACCOUNT}/{BUCKET}"
        yield Place(
            f"{home}/org/model",
            _putter(store),
            f"{home}/nobody",
            {"endpoint": url},
            {"AZURE_STORAGE_ACCOUNT_KEY": servers.AZURE_KEY},
            {"AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmcta2V5LW9mLWxvb3BiYWNr"},
            hashes=False,
        )


@contextlib.asynccontextmanager
async def google(scratch: Path) -> AsyncIterator[Place]:
    with servers.fake_gcs() as url:
        servers.make_gcs_bucket(url, BUCKET)

        async def put(files: Mapping[str, bytes]) -> None:
            for name, data in files.items():
                servers.put_gcs_object(url, BUCKET, f"org/model/{name}", data)

        home = f"gs://{BUCKET}"
        parameters = {"endpoint": url, "auth": "anonymous"}
        yield Place(f"{home}/org/model", put, f"{home}/nobody", parameters, hashes=False)


@contextlib.asynccontextmanager
async def oci(scratch: Path) -> AsyncIterator[Place]:
    fake = FakeOci()
    url = await fake.start()

    async def put(files: Mapping[str, bytes]) -> None:
        fake.objects = {(BUCKET, f"org/model/{name}"): data for name, data in files.items()}

    home = f"oci://n/tenant/b/{BUCKET}/o"
    other = FakeOci().secret
    try:
        yield Place(
            f"{home}/org/model", put, f"{home}/nobody", {"endpoint": url}, fake.secret, other
        )
    finally:
        await fake.stop()


@contextlib.asynccontextmanager
async def github(scratch: Path) -> AsyncIterator[Place]:
    fake = FakeGitHub(private={"org/model"})
    url = await fake.start()

    async def put(files: Mapping[str, bytes]) -> None:
        fake.releases = {("org/model", f"v{len(files)}"): dict(files)}

    try:
        yield Place(
            "github://org/model",
            put,
            "github://org/absent",
            {"endpoint": url},
            {"token": fake.token},
            {"token": "ghp_wrongtoken"},
            folders=False,
        )
    finally:
        await fake.stop()


@contextlib.asynccontextmanager
async def claim(scratch: Path) -> AsyncIterator[Place]:
    put = _writer(scratch / "mounted" / "org" / "model")
    yield Place(
        "pvc://ns:store/org/model",
        put,
        "pvc://ns:store/nobody",
        mounted=str(scratch / "mounted"),
        hashes=False,
    )


@contextlib.asynccontextmanager
async def local(scratch: Path) -> AsyncIterator[Place]:
    folder = scratch / "there"
    yield Place(f"local://{folder}", _writer(folder), f"local://{scratch}/nobody", hashes=False)


PLACES: Mapping[str, Opener] = {
    "hf": hub,
    "s3": s3,
    "oci": oci,
    "github": github,
    "pvc": claim,
    "local": local,
}
EMULATED: Mapping[str, Opener] = {"az": azure, "gs": google}
"""Need programs that are not Python's."""


def _writer(folder: Path) -> Put:
    async def put(files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    return put


def _store(kind: str, bucket: str, config: Mapping[str, str]) -> Any:
    store = getattr(import_module("obstore.store"), kind)
    return store(bucket, config=dict(config), client_options={"allow_http": True})


def _putter(store: Any) -> Put:
    async def put(files: Mapping[str, bytes]) -> None:
        obstore = import_module("obstore")
        for name, data in files.items():
            await obstore.put_async(store, f"org/model/{name}", data)

    return put
