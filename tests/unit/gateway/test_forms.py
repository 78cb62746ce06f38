"""Forms are routed by their field ``model`` and passed on as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.engine import FakeEngine
from tests.unit.gateway.test_server import Bed, bed, engines, running, until

from ome.standalone.gateway import server
from ome.standalone.gateway.forms import BadForm, ModelFinder, boundary_of

__all__ = ["bed", "engines"]

TRANSCRIBE = "/v1/audio/transcriptions"
SOUND = b"RIFF" + bytes(256 * 2000)


def form(*, model_last: bool = False, model: str = "a") -> aiohttp.FormData:
    made = aiohttp.FormData()
    if not model_last:
        made.add_field("model", model)
    made.add_field("language", "en")
    made.add_field("file", SOUND, filename="model.wav", content_type="audio/wav")
    if model_last:
        made.add_field("model", model)
    return made


@pytest.mark.parametrize("model_last", [False, True])
async def test_a_form_reaches_the_engine_under_the_engines_own_model_name(
    bed: Bed, engines: list[FakeEngine], model_last: bool
) -> None:
    bed.serve("a", engines[0])
    async with bed.http.post(TRANSCRIBE, data=form(model_last=model_last)) as response:
        assert response.status == 200
        assert (await response.json())["text"] == f"{len(SOUND)} bytes of sound"
    assert engines[0].requests[-1].body == {
        "model": "engine-name",
        "language": "en",
        "file": len(SOUND),
    }
    assert bed.gateway._body_bytes == 0


async def test_a_large_file_is_passed_on_while_it_is_sent(
    bed: Bed, engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_BODY", 1000)
    bed.serve("a", engines[0])
    half_sent, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield SOUND
        half_sent.set()
        await go_on.wait()
        yield SOUND

    made = aiohttp.FormData({"model": "a"})
    made.add_field("file", slowly(), filename="a.wav")
    asking = asyncio.create_task(bed.http.post(TRANSCRIBE, data=made).__aenter__())
    await half_sent.wait()
    await until(lambda: engines[0].uploaded > len(SOUND) // 2)
    go_on.set()
    response = await asking
    assert response.status == 200
    assert (await response.json())["text"] == f"{2 * len(SOUND)} bytes of sound"


async def test_an_upload_has_a_limit(engines: list[FakeEngine]) -> None:
    async with running(max_upload=100_000) as bed:
        bed.serve("a", engines[0])
        for path in (TRANSCRIBE, f"/services/default/a{TRANSCRIBE}"):
            async with bed.http.post(path, data=form()) as response:
                assert response.status == 413
                assert (await response.json())["error"]["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"x", "multipart/form-data", 400, "invalid_form"),
        (b"x" * 20_000, "multipart/form-data; boundary=b", 400, "invalid_form"),
        (b"--b\r\n" + b"h" * 20_000, "multipart/form-data; boundary=b", 400, "invalid_form"),
        (b"", "multipart/form-data; boundary=b", 400, "model_missing"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 400, "model_missing"),
        (
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nnobody\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            404,
            "model_not_found",
        ),
    ],
)
async def test_a_bad_form_is_refused_with_the_reason(
    bed: Bed, data: bytes, content_type: str, status: int, code: str
) -> None:
    headers = {"Content-Type": content_type}
    async with bed.http.post(TRANSCRIBE, data=data, headers=headers) as response:
        assert response.status == status
        assert (await response.json())["error"]["code"] == code
    assert bed.gateway._body_bytes == 0


async def test_a_model_behind_too_large_a_file_is_told_to_go_first(
    bed: Bed, engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_BODY", 100_000)
    bed.serve("a", engines[0])
    async with bed.http.post(TRANSCRIBE, data=form(model_last=True)) as response:
        assert response.status == 413
        assert "before the file" in (await response.json())["error"]["message"]


# --- finding the field ----------------------------------------------------------------------------


def part(name: str, content: bytes, filename: str = "") -> bytes:
    extra = f'; filename="{filename}"' if filename else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + content + b"\r\n"


@given(
    st.binary(max_size=40),
    st.sampled_from(["m", "default/chat", "ü"]),
    st.integers(1, 17),
    st.booleans(),
)
def test_the_field_is_found_however_the_form_is_cut(
    other: bytes, model: str, step: int, last: bool
) -> None:
    first = part("file", other.replace(b"--b", b""), "model")
    named = part("model", model.encode())
    body = (first + named if last else named + first) + b"--b--\r\n"
    finder = ModelFinder(b"b")
    for start in range(0, len(body), step):
        if finder.feed(body[start : start + step]):
            break
    assert finder.model == model
    changed = finder.with_model("x" * 9) + body[len(finder.read) :]
    assert changed == body.replace(named, part("model", b"x" * 9))


@given(st.lists(st.sampled_from([b"--b", b"\r\n", b"--", b'name="model"', b"x", b"\r\n\r\n"])))
def test_anything_can_be_fed(pieces: list[bytes]) -> None:
    finder = ModelFinder(b"b")
    for piece in pieces:
        if finder.feed(piece):
            break
    assert isinstance(finder.model, str)


def test_an_empty_model_is_no_model() -> None:
    finder = ModelFinder(b"b")
    assert finder.feed(part("model", b"") + b"--b--\r\n")
    assert finder.model == ""


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", f"multipart/form-data; boundary={'b' * 71}"]
)
def test_a_form_needs_a_boundary(kind: str) -> None:
    with pytest.raises(BadForm):
        boundary_of(kind)
