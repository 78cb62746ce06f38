"""Oracle's object storage: identities, forms of the URI, and what its refusals mean."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.oci import FINGERPRINT, TENANCY, USER, FakeOci, make_key, pem

from ome.agent import location
from ome.storage import FileEntry, SourceSpec, errors, open_source
from ome.storage.ocisign import load_key

URI = "oci://n/tenant/b/models/o/llama"
OBJECTS = {
    ("models", "llama/config.json"): b"{}",
    ("models", "llama/a b/weights.bin"): b"w" * 5000,
    ("models", "llama/"): b"",
    ("models", "llama-2/config.json"): b"not mine",
}


@pytest.fixture
async def oci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeOci]:
    monkeypatch.setenv("OCI_CONFIG_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:1/opc/v2")
    fake = FakeOci(objects=dict(OBJECTS))
    await fake.start()
    yield fake
    await fake.stop()


def spec_of(fake: FakeOci, uri: str = URI, **changes: object) -> SourceSpec:
    spec = location.parse(uri, {"endpoint": fake.url})
    return replace(spec, **{"credentials": fake.secret, **changes})


async def read(spec: SourceSpec) -> dict[str, bytes]:
    source = open_source(spec)
    try:
        return {
            entry.path: b"".join([p async for p in source.read(entry, 0, entry.size)])
            for entry in await source.list()
        }
    finally:
        await source.close()


WANTED = {"config.json": b"{}", "a b/weights.bin": b"w" * 5000}


@pytest.mark.parametrize(
    "uri", [URI, "oci://models/llama", "oci://tenant@eu-zurich-1/models/llama", f"{URI}/"]
)
async def test_every_form_of_the_uri_reads_what_is_below_the_prefix_and_nothing_else(
    oci: FakeOci, uri: str
) -> None:
    assert await read(spec_of(oci, uri)) == WANTED
    assert oci.requests["list"] == 2  # pages
    assert oci.requests["namespace"] == (uri == "oci://models/llama")


async def test_one_object_may_be_named(oci: FakeOci) -> None:
    found = await read(spec_of(oci, f"{URI}/config.json"))
    assert found == {"config.json": b"{}"}


async def test_the_hash_of_an_object_in_parts_is_not_taken_for_its_own(oci: FakeOci) -> None:
    oci.multipart_only.add("llama/config.json")
    source = open_source(spec_of(oci))
    by_path = {entry.path: entry.md5 for entry in await source.list()}
    await source.close()
    assert by_path["config.json"] == ""
    assert len(by_path["a b/weights.bin"]) == 32


async def test_a_session_token_goes_with_its_own_key(oci: FakeOci) -> None:
    key = make_key()
    secret = {"security_token": oci.issue(key.public_key()), "key_content": pem(key)}
    assert await read(spec_of(oci, credentials=secret)) == WANTED


async def test_the_configuration_file_of_the_machine_serves_where_the_machine_chose_the_region(
    oci: FakeOci, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = tmp_path / "key.pem"
    key_file.write_text(pem(oci.user_key))
    (tmp_path / "config").write_text(
        f"[DEFAULT]\ntenancy={TENANCY}\nuser={USER}\nfingerprint={FINGERPRINT}\n"
        f"key_file={key_file}\nregion=eu-zurich-1\n"
    )
    monkeypatch.setenv("OCI_CONFIG_PATH", str(tmp_path / "config"))
    monkeypatch.setattr("ome.storage.oci.endpoint_of", lambda region: oci.url)
    spec = replace(location.parse(URI, {"auth": "UserPrincipal"}))
    assert await read(spec) == WANTED
    with pytest.raises(errors.InvalidLocation, match="not shown to"):
        await read(location.parse(URI, {"auth": "UserPrincipal", "endpoint": oci.url}))


async def test_an_instance_logs_in_with_its_certificate_and_again_before_the_token_expires(
    oci: FakeOci, monkeypatch: pytest.MonkeyPatch
) -> None:
    oci.make_instance()
    oci.token_seconds = 60  # always about to expire
    monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{oci.url}/opc/v2")
    monkeypatch.setenv("OCI_SDK_AUTH_CLIENT_REGION_URL", oci.url)
    regions: list[str] = []

    def endpoint(region: str) -> str:
        regions.append(region)
        return oci.url

    monkeypatch.setattr("ome.storage.oci.endpoint_of", endpoint)
    assert await read(location.parse(URI, {})) == WANTED
    assert oci.requests["login"] > 1
    assert regions == ["eu-zurich-1"]
    logins = oci.requests["login"]
    oci.token_seconds = 3600
    assert await read(location.parse(URI, {})) == WANTED
    assert oci.requests["login"] == logins + 1


async def test_a_resource_principal_comes_from_the_files_that_the_service_writes(
    oci: FakeOci, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key()
    (tmp_path / "token").write_text(oci.issue(key.public_key()))
    (tmp_path / "key").write_text(pem(key))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_RPST", str(tmp_path / "token"))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", str(tmp_path / "key"))
    monkeypatch.setenv("OCI_RESOURCE_PRINCIPAL_REGION", "eu-zurich-1")
    monkeypatch.setattr("ome.storage.oci.endpoint_of", lambda region: oci.url)
    assert await read(location.parse(URI, {"auth": "ResourcePrincipal"})) == WANTED


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({}, errors.AccessDenied, "no instance of Oracle's cloud"),
        ({"auth": "UserPrincipal"}, errors.AccessDenied, "no API key"),
        ({"auth": "ResourcePrincipal"}, errors.AccessDenied, "no resource principal"),
        ({"auth": "OkeWorkloadIdentity"}, errors.AccessDenied, "in a pod only"),
        ({"auth": "Magic"}, errors.InvalidLocation, "'Magic', which OME doesn't know"),
        ({"endpoint": "http://127.0.0.1:1"}, errors.InvalidLocation, "not shown to"),
    ],
)
async def test_an_identity_that_is_not_there_is_said(
    oci: FakeOci,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, str],
    error: type[errors.StorageError],
    words: str,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(error, match=words) as caught:
        await read(location.parse(URI, parameters))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("missing", "words"), [("user", "incomplete"), ("key_content", "no instance|not shown to")]
)
async def test_half_a_secret_is_said(oci: FakeOci, missing: str, words: str) -> None:
    secret = {name: value for name, value in oci.secret.items() if name != missing}
    with pytest.raises(errors.StorageError, match=words):
        await read(spec_of(oci, credentials=secret))


def test_a_key_that_is_none_is_never_quoted() -> None:
    for text in ("secret-key-text", base64.b64encode(b"secret-key-text").decode()):
        with pytest.raises(errors.AccessDenied) as caught:
            load_key(text)
        assert text not in str(caught.value)


async def test_a_wrong_clock_is_told_from_a_wrong_key(oci: FakeOci) -> None:
    oci.skew = 3600
    with pytest.raises(errors.ClockSkew, match="60 minutes behind"):
        await read(spec_of(oci))
    oci.skew = 0
    with pytest.raises(errors.AccessDenied, match="does not accept the key"):
        await read(spec_of(oci, credentials=FakeOci().secret))


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("oci://n/tenant/b/absent/o/x", "no bucket absent"),
        ("oci://n/tenant/b/models/o/absent", "has no objects"),
        ("oci://n/tenant/b/models/o/llam", "has no objects"),
    ],
)
async def test_what_is_not_there_is_said(oci: FakeOci, uri: str, words: str) -> None:
    with pytest.raises(errors.SourceNotFound, match=words):
        await read(spec_of(oci, uri))


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, errors.RateLimited), (503, errors.ServerFailed), (500, errors.ServerFailed)],
)
async def test_trouble_of_the_server_can_be_waited_out(
    oci: FakeOci, status: int, error: type[errors.StorageError]
) -> None:
    oci.fail_with = [(status, {"Retry-After": "7"})]
    with pytest.raises(error) as caught:
        await read(spec_of(oci))
    assert caught.value.retryable and caught.value.retry_after == 7


async def test_an_object_that_was_replaced_is_not_read_on(oci: FakeOci) -> None:
    source = open_source(spec_of(oci))
    entry = next(e for e in await source.list() if e.path == "a b/weights.bin")
    oci.objects["models", "llama/a b/weights.bin"] = b"x" * 5000
    with pytest.raises(errors.SourceChanged):
        _ = [piece async for piece in source.read(entry, 0, 100)]
    gone = FileEntry("gone.bin", 5)
    with pytest.raises(errors.SourceNotFound):
        _ = [piece async for piece in source.read(gone, 0, 5)]
    await source.close()
