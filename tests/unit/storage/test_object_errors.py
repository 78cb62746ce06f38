"""What the clouds' refusals mean, through the real client against a server with canned answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from ome.storage import FileEntry, SourceSpec, errors, open_source

SECRET = "kE7sEcReTkEyOfNoBoDy"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}


@dataclass
class Canned:
    """One answer to everything. ``seen`` are the headers of each request."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(dict(request.headers))
        return web.Response(
            status=self.status, text=self.body, headers=self.headers, content_type="application/xml"
        )


@pytest.fixture
async def canned(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Canned]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    server = Canned()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield server
    await runner.cleanup()


def s3(canned: Canned, **changes: object) -> SourceSpec:
    given = {"parameters": {"endpoint": canned.url}, "credentials": KEYS, **changes}
    return SourceSpec("s3", "s3://models/llama", "models", "llama", **given)


def code(name: str, more: str = "") -> str:
    """An S3 error that quotes what it should not."""
    return f"<Error><Code>{name}</Code><Message>key {SECRET}</Message>{more}</Error>"


@pytest.mark.parametrize(
    ("status", "body", "error", "words", "remedy"),
    [
        (403, code("AccessDenied"), errors.AccessDenied, "refuses access", "spec.storage.key"),
        (403, code("InvalidAccessKeyId"), errors.AccessDenied, "does not know the", "Secret"),
        (403, code("SignatureDoesNotMatch"), errors.AccessDenied, "secret key is not", "Secret"),
        (400, code("ExpiredToken"), errors.AccessDenied, "token has expired", "Secret"),
        (401, "", errors.AccessDenied, "401", "Secret"),
        (403, code("RequestTimeTooSkewed"), errors.ClockSkew, "clock", "NTP"),
        (404, code("NoSuchBucket"), errors.SourceNotFound, "no bucket", "URI"),
        (429, "", errors.RateLimited, "429", "tries again"),
        (503, code("SlowDown"), errors.RateLimited, "SlowDown", "tries again"),
        (500, "", errors.ServerFailed, "500", "tries again"),
        (501, "", errors.ServerFailed, "501", "tries again"),
        (418, "", errors.ServerFailed, "418", "endpoint"),
        (
            301,
            code("PermanentRedirect"),
            errors.InvalidLocation,
            "not in the region that was asked",
            "s3://models@REGION/llama",
        ),
        (
            400,
            code("AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>"),
            errors.InvalidLocation,
            "It is in eu-west-3",
            "s3://models@eu-west-3/llama",
        ),
    ],
)
async def test_a_refusal_has_a_cause_and_a_remedy_and_no_secret(
    canned: Canned,
    status: int,
    body: str,
    error: type[errors.StorageError],
    words: str,
    remedy: str,
) -> None:
    canned.status, canned.body = status, body
    with pytest.raises(errors.StorageError) as caught:
        await open_source(s3(canned)).list()
    assert type(caught.value) is error, str(caught.value)
    assert words in caught.value.message
    assert remedy in caught.value.remedy
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [412, 416])
async def test_an_object_that_is_not_what_was_listed_is_listed_again(
    canned: Canned, status: int
) -> None:
    canned.status = status
    entry = FileEntry("model.safetensors", 1000, version='"1"')
    with pytest.raises(errors.SourceChanged, match="changed at the source"):
        _ = [piece async for piece in open_source(s3(canned)).read(entry, 0, 10)]


async def test_a_circle_of_redirects_ends(canned: Canned) -> None:
    canned.status, canned.headers = 307, {"Location": f"{canned.url}/models?list-type=2"}
    with pytest.raises(errors.StorageError) as caught:
        await open_source(s3(canned)).list()
    assert caught.value.remedy
    assert len(canned.seen) < 30


async def test_an_endpoint_that_nobody_serves_is_unreachable(canned: Canned) -> None:
    spec = s3(canned, parameters={"endpoint": "http://127.0.0.1:1"})
    with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1:1 can't be reached"):
        await open_source(spec).list()


async def test_an_endpoint_of_the_model_never_sees_this_machines_identity(
    canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMACHINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-machine")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-of-the-machine")
    canned.status = 403
    for credentials in ({}, KEYS):
        with pytest.raises(errors.AccessDenied):
            await open_source(s3(canned, credentials=credentials)).list()
    assert canned.seen
    assert "AKIAMACHINE" not in str(canned.seen)
    assert "session-of-the-machine" not in str(canned.seen)
    assert "AKIAEXAMPLE" in str(canned.seen)


async def test_the_machines_identity_is_used_where_the_machine_chose_the_endpoint(
    canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAMACHINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-machine")
    monkeypatch.setenv("AWS_ENDPOINT_URL", canned.url)
    canned.status = 403
    with pytest.raises(errors.AccessDenied):
        await open_source(s3(canned, parameters={}, credentials={})).list()
    assert "AKIAMACHINE" in str(canned.seen)


async def test_without_any_credentials_the_missing_secret_is_named(
    canned: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", canned.url)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", canned.url + "/metadata/identity")
    canned.status = 404
    with pytest.raises(errors.AccessDenied, match="no credentials were found") as caught:
        await open_source(s3(canned, parameters={}, credentials={})).list()
    assert "auth: anonymous" in caught.value.remedy


@pytest.mark.parametrize(
    ("scheme", "changes", "words"),
    [
        ("s3", {"credentials": {"AWS_ACCESS_KEY_ID": "half"}}, "half of a key pair"),
        ("s3", {"parameters": {"endpoint": "s3.example.org"}}, "endpoint"),
        ("gs", {"credentials": {"GOOGLE_SERVICE_ACCOUNT_KEY": SECRET}}, "can't be opened"),
    ],
)
def test_settings_that_can_not_be_are_refused_before_any_request(
    scheme: str, changes: dict[str, object], words: str
) -> None:
    spec = SourceSpec(scheme, f"{scheme}://models/llama", "models", "llama", **changes)
    with pytest.raises(errors.InvalidLocation, match=words) as caught:
        open_source(spec)
    assert SECRET not in str(caught.value)


async def test_a_service_account_may_have_the_short_name(canned: Canned) -> None:
    """The key is used: its (broken) private key is what is refused, not its absence."""
    key = json.dumps({"client_email": "a@b", "private_key": SECRET, "private_key_id": "1"})
    spec = SourceSpec("gs", "gs://models/x", "models", "x", credentials={"key.json": key})
    with pytest.raises(errors.StorageError) as caught:
        await open_source(spec).list()
    assert SECRET not in str(caught.value)
