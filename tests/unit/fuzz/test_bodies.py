"""Bad bodies over real HTTP, to the embedded API server and to the webhook: one clear refusal."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fuzz.gates import LONGEST_MESSAGE, Gates, gates
from tests.unit.admission.test_webhook import SERVICE, Api, review, serving

from ome.admission.webhook import MAX_BODY as LARGEST_REVIEW
from ome.api import resources as o
from ome.standalone.apiserver.codec import MAX_BODY as LARGEST_OBJECT

PATH = o.INFERENCE_SERVICES.path("default")
GOOD = {
    "apiVersion": "ome.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "s", "namespace": "default"},
    "spec": {"model": {"name": "m"}, "engine": {}},
}
MARK = '"MARK"'
TEXT = json.dumps({**GOOD, "spec": {**GOOD["spec"], "engine": "MARK"}})  # type: ignore[dict-item]
DEEP = '{"a":' * 1000 + "1" + "}" * 1000
DEEP_LIST = "[" * 1000 + "]" * 1000


def holding(value: str, before: str = MARK) -> bytes:
    """The body of a service whose engine is that text of JSON."""
    return TEXT.replace(before, value).encode("utf-8", "surrogateescape")


BODIES: dict[str, tuple[bytes, int, str]] = {
    "deep objects": (holding(DEEP), 400, "nested"),
    "deep lists": (holding(DEEP_LIST), 400, "nested"),
    "NaN": (holding('{"minReplicas": NaN}'), 400, "JSON"),
    "Infinity": (holding('{"minReplicas": -Infinity}'), 400, "JSON"),
    "a number too large": (holding('{"minReplicas": 1e999}'), 400, "out of range"),
    "digits without end": (holding('{"minReplicas": 1' + "0" * 5000 + "}"), 400, "out of range"),
    "invalid UTF-8": (holding('{"serviceAccountName": "\udcff"}'), 400, "utf-8"),
    "a lone surrogate": (holding('{"serviceAccountName": "\\ud800"}'), 400, "JSON"),
    "a raw control character": (holding('{"serviceAccountName": "\x01"}'), 400, "JSON"),
    "cut off": (holding("{}")[:-5], 400, "JSON"),
    "something behind it": (holding("{}") + b"x", 400, "JSON"),
    "UTF-16": (TEXT.replace(MARK, "{}").encode("utf-16"), 400, "JSON"),
    "nothing": (b"", 400, "empty"),
    "null": (b"null", 400, "must be an object, not null"),
    "a control character in the name": (
        holding("{}").replace(b'"s"', b'"s\\u0000\\u001b[31m"'), 422, "metadata.name"),
    "a name of another script": (
        holding("{}").replace(b'"s"', '"模型"'.encode()), 422, "metadata.name"),
    "a path for a name": (holding("{}").replace(b'"s"', b'"../../x"'), 422, "metadata.name"),
    "an endless name": (holding("{}").replace(b'"s"', b'"%s"' % (b"s" * 9000)), 422, "metadata.na"),
    "a control character in a label": (
        holding("{}").replace(b'"s",', b'"s", "labels": {"a\\n": "b\\u0000"},'), 422, "labels"),
    "annotations without end": (
        holding("{}").replace(b'"s",', b'"s", "annotations": {"a": "%s"},' % (b"x" * 300_000)),
        422, "Too long"),
    "a long list of wrong things": (
        holding(json.dumps({"runner": {"name": "r", "args": [1] * 50_000}})), 422, "Too many"),
}  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Gates]:
    async with gates(tmp_path) as found:
        yield found


@pytest.fixture
async def webhook() -> AsyncIterator[Api]:
    async with serving() as found:
        yield found


async def posted(
    session: aiohttp.ClientSession, body: bytes, query: str = ""
) -> tuple[int, Any, list[str]]:
    headers = {"Content-Type": "application/json"}
    async with session.post(
        f"http://api{PATH}{query}", data=io.BytesIO(body), headers=headers
    ) as answer:
        told = json.loads(await answer.read())
        return answer.status, told, answer.headers.getall("Warning", [])


async def test_the_api_server_refuses_each_with_one_clear_status(server: Gates) -> None:
    for name, (body, status, said) in BODIES.items():
        found, told, _ = await posted(server.session, body)
        assert (found, told["kind"], told["status"]) == (status, "Status", "Failure"), (name, told)
        assert said in told["message"], (name, told["message"][:300])
        assert told["message"].isprintable(), name
        causes = (told.get("details") or {}).get("causes") or ()
        assert len(causes) <= 101, name
        assert all(len(cause["message"]) <= LONGEST_MESSAGE for cause in causes), name
    status, told, _ = await posted(server.session, holding("{}"))
    assert status == 201, "and goes on serving"


async def test_the_api_server_says_which_key_stands_twice(server: Gates) -> None:
    body = holding('{"minReplicas": 1, "minReplicas": 2}')
    status, told, _ = await posted(server.session, body, "?fieldValidation=Strict")
    assert (status, told["status"]) == (400, "Failure")
    assert 'duplicate field "spec.engine.minReplicas"' in told["message"]
    status, told, warnings = await posted(server.session, body, "?fieldValidation=Warn")
    assert (status, told["spec"]["engine"]["minReplicas"]) == (201, 2), "as Kubernetes does"
    assert any("duplicate field" in text and "minReplicas" in text for text in warnings)


async def test_the_api_server_refuses_what_is_too_large_before_it_reads_it(server: Gates) -> None:
    body = holding('{"serviceAccountName": "%s"}' % ("x" * LARGEST_OBJECT))
    status, told, _ = await posted(server.session, body)
    assert (status, told["reason"]) == (413, "RequestEntityTooLarge")
    assert str(LARGEST_OBJECT) in told["message"]


async def test_warnings_of_hostile_names_are_headers(server: Gates) -> None:
    text = json.dumps({**GOOD, "spec": {"model": {"name": "a\r\nX: y\x00模" * 300}, "engine": {}}})
    status, _, warnings = await posted(server.session, text.encode())
    assert status == 201
    assert len(warnings) == 1
    assert warnings[0].startswith("299 - ")
    assert warnings[0].isascii()
    assert warnings[0].isprintable()


UNREADABLE = [name for name, (_, status, _) in BODIES.items() if status == 400 and name != "null"]


async def test_the_webhook_refuses_what_it_cant_read_with_one_sentence(webhook: Api) -> None:
    envelope = json.dumps(review(SERVICE, None) | {"x": 1})
    for name in UNREADABLE:
        body = BODIES[name][0]
        whole = envelope.encode().replace(b'"object": null', b'"object": ' + body, 1)
        assert body in whole
        status, text = await webhook.post(SERVICE, whole)
        if name in ("deep objects", "deep lists") and status == 200:
            assert json.loads(text)["response"]["allowed"] is False, name
            continue
        if name == "digits without end" and status == 200:
            continue
        assert (status, len(text.splitlines())) == (400, 1), (name, text[:200])
        assert len(text) < LONGEST_MESSAGE, name


async def test_the_webhook_reviews_what_it_can_read(webhook: Api) -> None:
    for name, (body, status, said) in BODIES.items():
        if status != 422 or "label" in name or "annotations" in name or "endless" in name:
            continue  # for the API server alone to judge
        response = await webhook.ask(SERVICE, json.loads(body))
        if name == "a long list of wrong things":
            continue  # the schema's business, too
        assert response["allowed"] is False, name
        assert response["status"]["code"] == 422
        assert said in response["status"]["message"]
        assert response["status"]["message"].isprintable()


async def test_the_webhook_refuses_what_is_too_large(webhook: Api) -> None:
    status, text = await webhook.post(SERVICE, io.BytesIO(b" " * (LARGEST_REVIEW + 1)))
    assert status == 413
    assert text.strip()
    assert (await webhook.ask(SERVICE, GOOD))["allowed"] is True
