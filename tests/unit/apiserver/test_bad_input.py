"""Whatever a client sends, the answer is a Status that says what is wrong, never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.apiserver.home import APPLY, CORE, JSON_PATCH, MERGE, STRATEGIC, Home, pod

from ome.apimachinery.errors import StatusError
from ome.standalone.apiserver.codec import MAX_BODY, decode_object, duplicate_fields
from ome.standalone.apiserver.requests import negotiate, parse_path

PODS = f"{CORE}/pods"
NESTED = b'{"a":' * 5000 + b"1" + b"}" * 5000


@pytest.mark.parametrize(
    ("raw", "type_", "status", "words"),
    [
        (b"", "application/json", 400, "empty"),
        (b"{", "application/json", 400, "not valid JSON"),
        (b"[]", "application/json", 400, "must be an object, not a list"),
        (b"nul", "application/json", 400, "not valid JSON"),
        (b'"\xff"', "application/json", 400, "not valid JSON"),
        (NESTED, "application/json", 400, "nested"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "application/json", 400, "nested more than 128"),
        (b"a: [", "application/yaml", 400, "not valid YAML"),
        (b"a: &x [1]\nb: *x", "application/yaml", 400, "aliases"),
        (b"[" * 1_000_000, "application/yaml", 400, "nested more than 128"),
        (b"a:\n  " + b"- " * 1_000_000, "application/yaml", 400, "nested more than 128"),
        (b"a: !!python/object:os.system x", "application/yaml", 400, "not valid YAML"),
        (b"? [a]\n: b", "application/yaml", 400, "YAML"),
        (b"a: .inf", "application/yaml", 400, "JSON can't carry"),
        (b"{}", "text/html", 415, "unknown format"),
        (b"{}", "application/json", 422, "name or generateName is required"),
        (b'{"metadata":3}', "application/json", 400, "metadata must be an object"),
        (b'{"metadata":{"name":3}}', "application/json", 400, "metadata.name must be a string"),
        (b'{"kind":"Node","metadata":{"name":"a"}}', "application/json", 400, "does not match"),
        (b'{"metadata":{"name":"a","namespace":"b"}}', "application/json", 400, "namespace"),
        (b'{"metadata":{"name":"a","resourceVersion":"7"}}', "application/json", 400,
         "must not be set"),
        (b'{"metadata":{"name":"A B"}}', "application/json", 422, "metadata.name"),
        (b'{"metadata":{"name":"a","labels":{"x":1}}}', "application/json", 422, "labels"),
        (b'{"metadata":{"name":"a","finalizers":7}}', "application/json", 422, "finalizers"),
        (b'{"metadata":{"name":"a"},"spec":[]}', "application/json", 422, "spec"),
        (b'{"metadata":{"name":"a"},"spec":{"containers":{}}}', "application/json", 422,
         "spec.containers"),
        (b"k8s\x00\x0a\xff", "application/vnd.kubernetes.protobuf", 400, "not valid protobuf"),
        (b"{}", "application/vnd.kubernetes.protobuf", 400, "not Kubernetes protobuf"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_named(
    api: Home, raw: bytes, type_: str, status: int, words: str
) -> None:
    answer = await api("POST", PODS, raw=raw, type=type_)
    assert answer.status == status, answer.body
    assert answer.body["kind"] == "Status"
    assert words in answer.message


async def test_a_body_beyond_the_limit_is_refused(api: Home) -> None:
    raw = b'{"metadata":{"name":"' + b"x" * MAX_BODY + b'"}}'
    answer = await api("POST", PODS, raw=raw)
    assert (answer.status, answer.body["reason"]) == (413, "RequestEntityTooLarge")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("GET", "/api/v2/pods", 404),
        ("GET", "/apis/none.example.com/v1/things", 404),
        ("GET", "/api/v1/namespaces/default/nothing", 404),
        ("GET", "/api/v1/namespaces/default/namespaces/x", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/y/z", 404),
        ("GET", "/api/v1/namespaces/default/pods//x", 404),
        ("GET", "/api/v1/namespaces/default/pods/x", 404),
        ("GET", "/api/v1/namespaces/default/pods/..%2f..%2fx", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/exec", 404),
        ("GET", "/api/v1/namespaces/default/pods/x/log", 404),
        ("POST", "/api/v1/pods", 405),
        ("PUT", PODS, 405),
        ("TRACE", PODS, 405),
        ("DELETE", "/api/v1/namespaces/default/pods/x", 404),
        ("POST", "/version", 405),
        ("GET", "/openapi/v2", 200),
        ("GET", "/openapi/v3/apis/none/v1", 404),
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/livez", 200),
        ("GET", "/version", 200),
    ],
)
async def test_paths_and_methods(api: Home, method: str, path: str, status: int) -> None:
    body = {"metadata": {"name": "a"}} if method in ("POST", "PUT") else None
    assert (await api(method, path, body)).status == status


@pytest.mark.parametrize("query", ["dryRun=Some", "fieldValidation=Loose", "force=true"])
async def test_bad_options_of_writes(api: Home, query: str) -> None:
    await api.ok("POST", PODS, pod("p"))
    assert (await api("PATCH", f"{PODS}/p?{query}", {}, type=MERGE)).status == 422


@pytest.mark.parametrize(
    ("type_", "patch", "status"),
    [
        (MERGE, [], 400),
        (MERGE, "x", 400),
        (MERGE, {"metadata": None}, 400),
        (MERGE, {"metadata": 5}, 400),
        (MERGE, {"spec": 5}, 422),
        (MERGE, {"kind": "Other"}, 400),
        (STRATEGIC, {"$patch": "nonsense"}, 400),
        (JSON_PATCH, {}, 400),
        (JSON_PATCH, [{"op": "remove", "path": ""}], 422),
        (JSON_PATCH, [{"op": "add", "path": "/metadata/uid", "value": "x"}], 409),
        (JSON_PATCH, [{"op": "remove", "path": "/nothing"}], 422),
        (APPLY, [], 400),
        (APPLY, {"metadata": {"name": "other"}}, 400),
    ],
)
async def test_bad_patches(api: Home, type_: str, patch: Any, status: int) -> None:
    await api.ok("POST", PODS, pod("p"))
    answer = await api("PATCH", f"{PODS}/p?fieldManager=x", patch, type=type_)
    assert answer.status == status, answer.body


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "name", "labels", "spec", "containers", "status", "finalizers",
                 "managedFields", "ownerReferences", "$patch", "conditions", "phase", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=_JSON, how=st.sampled_from(["POST", "PUT", MERGE, STRATEGIC, JSON_PATCH, APPLY, "DEL"]))
async def test_no_body_makes_the_server_fail(api: Home, body: Any, how: str) -> None:
    if (await api("GET", f"{PODS}/p")).status == 404:
        await api.ok("POST", PODS, pod("p"))
    if how == "POST":
        answer = await api("POST", PODS, body)
    elif how == "PUT":
        answer = await api("PUT", f"{PODS}/p", body)
    elif how == "DEL":
        answer = await api("DELETE", f"{PODS}/p", body)
    else:
        answer = await api("PATCH", f"{PODS}/p?fieldManager=m&force=true".replace(
            "&force=true", "&force=true" if how == APPLY else ""), body, type=how)  # fmt: skip
    assert answer.status < 500, (how, body, answer.body)


@given(st.binary(max_size=300))
def test_decoding_bytes_fails_only_with_a_status(data: bytes) -> None:
    for media in ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"):
        prefix = b"k8s\x00" if media.endswith("protobuf") else b""
        try:
            assert isinstance(decode_object(prefix + data, media), dict)
        except StatusError as error:
            assert error.code in (400, 413)


@given(st.text(max_size=60))
def test_paths_and_accept_headers_never_fail(text: str) -> None:
    parse_path("/" + text)
    parse_path("/api/v1/" + text)
    try:
        negotiate(text, ("Table",))
    except StatusError as error:
        assert error.code == 406


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('{"a":1,"a":2}', ["a"]),
        ('{"a":{"b":1,"b":2},"c":[{"d":1},{"d":1,"d":2}]}', ["a.b", "c[1].d"]),
        ('{"a":1,"b":{"a":1}}', []),
        ("not json", []),
    ],
)
def test_duplicate_fields_have_paths(text: str, paths: list[str]) -> None:
    assert duplicate_fields(text.encode()) == paths


def test_json_bodies_are_accepted_as_yaml() -> None:
    body = {"a": [1, "2", {"b": None}]}
    assert decode_object(json.dumps(body).encode(), "application/yaml") == body
    yaml = b"when: 2020-01-01\non: yes\n2: x\n"
    assert decode_object(yaml, "application/yaml") == {"when": "2020-01-01", "true": True, "2": "x"}


async def test_so_many_warnings_that_no_client_would_take_them_are_cut(api: Home) -> None:
    """Clients refuse answers with too many headers, and would not know that the write was done."""
    unknown = {f"unknown{number}": 1 for number in range(500)}
    answer = await api("POST", PODS, {**pod("many"), **unknown})
    assert answer.status == 201
    assert 10 < len(answer.warnings) < 500
    assert sum(map(len, answer.warnings)) < 10_000
