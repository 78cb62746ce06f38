"""Protobuf bodies: what kubectl and helm send, built here by hand from the wire format."""

from __future__ import annotations

import pytest

from ome.apimachinery.errors import BadRequest
from ome.standalone.apiserver.protobody import decode


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, raw: bytes, media: str = "") -> bytes:
    meta = field(1, api_version) + field(2, kind)
    return b"k8s\x00" + field(1, meta) + field(2, raw) + field(3, "") + field(4, media)


META = field(1, "x") + field(2, "") + field(8, b"")


def test_zero_values_are_left_out_and_maps_are_maps() -> None:
    entry = field(1, "k") + field(2, "v")
    raw = field(1, META) + field(2, entry) + field(2, field(1, "empty"))
    assert decode(envelope("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x"},
        "data": {"k": "v", "empty": ""},
    }


def test_bytes_become_base64() -> None:
    raw = field(1, META) + field(2, field(1, "k") + field(2, b"\x00\xff"))
    assert decode(envelope("v1", "Secret", raw))["data"] == {"k": "AP8="}


def test_pointers_keep_their_zero_and_negative_numbers_their_sign() -> None:
    spec = field(1, 0) + field(5, 0)
    raw = field(1, META) + field(2, spec)
    decoded = decode(envelope("apps/v1", "Deployment", raw))
    assert decoded["spec"] == {"replicas": 0}
    toleration = field(1, "k") + field(5, -1)
    pod = field(1, META) + field(2, field(22, toleration))
    decoded = decode(envelope("v1", "Pod", pod))
    assert decoded["spec"]["tolerations"] == [{"key": "k", "tolerationSeconds": -1}]


def test_inlined_members_and_special_types_take_their_json_form() -> None:
    quantity = field(1, field(1, "cpu") + field(2, field(1, "250m")))
    get = field(1, "/healthz") + field(2, field(1, 1) + field(3, "http"))
    probe = field(1, field(2, get)) + field(4, 5)
    container = field(1, "c") + field(8, field(1, quantity)[2:]) + field(10, probe)
    source = field(2, field(1, ""))  # emptyDir
    volume = field(1, "v") + field(2, source)
    spec = field(1, volume) + field(2, container)
    created = field(8, field(1, 1_700_000_000))
    raw = field(1, field(1, "x") + created) + field(2, spec)
    decoded = decode(envelope("v1", "Pod", raw))
    assert decoded["metadata"]["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert decoded["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    (main,) = decoded["spec"]["containers"]
    assert main["resources"] == {"limits": {"cpu": "250m"}}
    assert main["livenessProbe"] == {
        "httpGet": {"path": "/healthz", "port": "http"},
        "periodSeconds": 5,
    }


def test_deletion_options_are_known_in_every_group() -> None:
    raw = field(1, 5) + field(4, "Foreground")
    for version in ("v1", "apps/v1", "meta.k8s.io/v1"):
        decoded = decode(envelope(version, "DeleteOptions", raw))
        assert decoded["gracePeriodSeconds"] == 5
        assert decoded["propagationPolicy"] == "Foreground"


def test_json_inside_the_envelope_is_taken_as_json() -> None:
    raw = b'{"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"a"}}'
    decoded = decode(envelope("example.com/v1", "Widget", raw, "application/json"))
    assert decoded["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nothing", "no k8s prefix"),
        (envelope("example.com/v1", "Widget", b""), "not known in protobuf"),
        (envelope("v1", "ConfigMap", b"\x0a\x7f"), "in the middle"),
        (envelope("v1", "ConfigMap", b"\x0b"), "wire type 3"),
        (envelope("v1", "ConfigMap", field(1, 7)), "a number stands"),
        (b"k8s\x00" + b"\xff" * 12, "too long"),
        (b"k8s\x00\xff", "not valid protobuf"),
    ],
)
def test_broken_bodies_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        decode(data)
