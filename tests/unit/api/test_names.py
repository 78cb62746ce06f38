"""Derived names match the contract's vectors bit for bit, and stay legal for any input."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.api import names

MAVERICK = "llama-4-maverick-17b-128e-instruct-fp8"
META_MAVERICK = f"meta-llama-{MAVERICK}"
objects = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,120}[a-z0-9])?", fullmatch=True)
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [
        ("", MAVERICK, "models.ome.io/clusterbasemodel.321a5921-k-17b-128e-instruct-fp8"),
        ("prod", MAVERICK, "models.ome.io/prod.basemodel.321a5921-ick-17b-128e-instruct-fp8"),
        (
            "a-long-namespace-name",
            MAVERICK,
            "models.ome.io/8d4c7d03.basemodel.321a5921-17b-128e-instruct-fp8",
        ),
        ("default", "llama-3-8b", "models.ome.io/default.basemodel.llama-3-8b"),
        ("", META_MAVERICK, "models.ome.io/clusterbasemodel.d837a571-k-17b-128e-instruct-fp8"),
        (
            "very-long-namespace-name",
            META_MAVERICK,
            "models.ome.io/2a1e5a1f.basemodel.d837a571-17b-128e-instruct-fp8",
        ),
    ],
)
def test_node_labels_match_the_contract(namespace: str, name: str, expected: str) -> None:
    assert names.model_label(namespace, name) == expected


def test_config_map_keys_are_cut_only_beyond_their_longer_limit() -> None:
    assert names.model_config_map_key("", "m" * 236) == f"clusterbasemodel.{'m' * 236}"
    assert len(names.model_config_map_key("", "m" * 237)) == 253
    assert names.model_config_map_key("n" * 40, "m" * 202) == f"{'n' * 40}.basemodel.{'m' * 202}"
    assert len(names.model_config_map_key("n" * 40, "m" * 203)) == 8 + len(".basemodel.") + 203


@given(labels, objects)
def test_a_short_key_is_read_back(namespace: str, name: str) -> None:
    if namespace == "clusterbasemodel":
        return
    key = names.model_config_map_key(namespace, name)
    assert names.parse_model_config_map_key(key) == (namespace, name)
    cluster = names.parse_model_config_map_key(names.model_config_map_key("", name))
    assert cluster == ("", name)
    assert cluster is not None and cluster.kind == "ClusterBaseModel"


@pytest.mark.parametrize("key", ["", "clusterbasemodel.", ".basemodel.x", "ns.basemodel.", "other"])
def test_other_keys_name_no_model(key: str) -> None:
    assert names.parse_model_config_map_key(key) is None


@given(st.text(min_size=1, max_size=120), st.integers(1, 80))
def test_truncation_keeps_what_fits_and_never_exceeds_the_limit(text: str, limit: int) -> None:
    shortened = names.truncate(text, limit)
    if len(text.encode()) <= limit:
        assert shortened == text
    assert len(shortened.encode()) <= limit or shortened == text


@given(objects)
def test_the_dns_rule_never_starts_a_shortened_name_with_a_digit(name: str) -> None:
    long = f"{name}{'x' * 64}"
    assert names.truncate_dns(long)[0].isalpha()
    assert len(names.truncate_dns(long)) == 63


@given(objects)
def test_volumes_are_dns_labels_and_keep_the_model_name_where_it_is_one(name: str) -> None:
    volume = names.volume_name(name)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", volume)
    assert len(volume) <= 63
    if len(name) <= 63 and "." not in name:
        assert volume == name


@given(st.text(max_size=200))
def test_label_values_are_legal(text: str) -> None:
    value = names.label_value(text)
    assert len(value) <= 63
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", value)


def test_legacy_names_cut_and_new_ones_hash_only_where_the_old_would_cut() -> None:
    short, long = "svc-engine", f"{'a' * 60}-engine"
    assert names.lws_name(short) == names.legacy_lws_name(short) == "lws-svc-engine"
    assert names.legacy_lws_name(long) == f"lws-{long[-50:]}"
    assert names.lws_name(long) != names.lws_name(f"b{long[1:]}")
    assert names.legacy_lws_name(long) == names.legacy_lws_name(f"b{long[1:]}")
    assert names.model_config_name("svc") == names.legacy_model_config_name("svc")
    assert len(names.scaled_object_name(long)) == 63


def test_a_child_keeps_its_legacy_name() -> None:
    assert names.keep_or_rename("new", "old", {"old"}) == "old"
    assert names.keep_or_rename("new", "old", ()) == "new"


def test_default_model_paths() -> None:
    path = names.default_model_path("BaseModel", "prod", "m")
    assert path == "/raid/models/basemodel/prod/m"
    assert names.default_model_path("ClusterBaseModel", "", "m", "/x/") == "/x/clusterbasemodel/m"


@given(objects, objects)
def test_children_of_two_services_never_have_the_same_name(one: str, other: str) -> None:
    if one == other:
        return
    for component in ("engine", "decoder", "router"):
        first, second = (names.component_name(name, component) for name in (one, other))
        for made in (names.lws_name, names.scaled_object_name, names.truncate_dns):
            assert made(first) != made(second)
            assert len(made(first)) <= 63
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", made(first))
    assert names.model_config_name(one) != names.model_config_name(other)
