"""Storage URIs: every published form is understood, nonsense is told the right form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.api.storage_uri import FORMS, StorageURIError, parse


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("hf://Qwen/Qwen3-0.6B", {"container": "Qwen/Qwen3-0.6B", "revision": "main"}),
        ("hf://Qwen/Qwen3@v1", {"container": "Qwen/Qwen3", "revision": "v1"}),
        ("hf://gpt2", {"container": "gpt2"}),
        ("hf://a/b@r/sub/dir", {"container": "a/b", "revision": "r", "path": "sub/dir"}),
        ("oci://n/ns/b/bk/o/pre/fix", {"namespace": "ns", "container": "bk", "path": "pre/fix"}),
        ("oci://ns@eu/bk/x", {"namespace": "ns", "region": "eu", "container": "bk", "path": "x"}),
        ("oci://bk/x", {"container": "bk", "path": "x"}),
        ("s3://bk@eu-1/x@y/z", {"container": "bk", "region": "eu-1", "path": "x@y/z"}),
        ("s3://bk/x@y", {"container": "bk", "region": "", "path": "x@y"}),
        ("gs://bk/a/b", {"container": "bk", "path": "a/b"}),
        ("az://acct.blob.core.windows.net/c/p", {"account": "acct", "container": "c", "path": "p"}),
        ("az://acct/c", {"account": "acct", "container": "c", "path": ""}),
        ("github://o/r@v2", {"container": "o/r", "revision": "v2"}),
        ("github://o/r", {"container": "o/r", "revision": "latest"}),
        ("pvc://claim/a/b", {"namespace": "", "container": "claim", "path": "a/b"}),
        ("pvc://ns:claim/a", {"namespace": "ns", "container": "claim", "path": "a"}),
        ("vendor://pypi/dist/in/wheel", {"container": "pypi", "path": "dist/in/wheel"}),
        ("local:///srv/models/x", {"path": "/srv/models/x"}),
        ("local://./x", {"path": "./x"}),
    ],
)
def test_published_forms(uri: str, expected: dict[str, str]) -> None:
    parsed = parse(uri)
    assert {name: getattr(parsed, name) for name in expected} == expected
    assert parsed.uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "", "x", "ftp://a/b", "HF://a/b", "hf://", "hf://a/b@", "hf://a//b", "hf://a/../b",
        "oci://n/ns/b//o/x", "oci://n/ns/b/bk/x/y", "oci://@r/b", "s3://", "s3:///x", "s3://b@/x",
        "az://acct", "github://o", "github://o/r/s", "github://o/r@", "pvc://claim", "pvc://claim/",
        "pvc://:c/x", "pvc://a:b:c/x", "pvc://UPPER:c/x", "vendor://v/t", "vendor://v//p",
        "local://", "local:///a/../b", "hf://a/b\n", "hf://" + "a" * 5000,
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_sentence(uri: str) -> None:
    with pytest.raises(StorageURIError) as caught:
        parse(uri)
    assert len(str(caught.value)) < 6000


@given(st.sampled_from(sorted(FORMS)), st.text(max_size=60))
def test_never_anything_but_a_uri_or_the_error(scheme: str, rest: str) -> None:
    try:
        parsed = parse(f"{scheme}://{rest}")
    except StorageURIError:
        return
    assert ".." not in parsed.path.split("/")
