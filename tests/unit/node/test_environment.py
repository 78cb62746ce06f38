"""The environment of containers."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from ome.standalone.node.environment import (
    Lookup,
    Missing,
    PodFacts,
    base_environment,
    expand,
    references,
    resolve,
)

FACTS = PodFacts("127.70.0.1", "127.0.0.1", "n1", {"cpu": "8", "memory": "16Gi"})
POD: dict[str, Any] = {
    "metadata": {
        "name": "p",
        "namespace": "ns",
        "uid": "u1",
        "labels": {"app": "x", "b": 'q"\n'},
        "annotations": {"a/b": "v"},
    },
    "spec": {"containers": [], "serviceAccountName": "sa"},
}


def env_of(container: dict[str, Any], lookup: Lookup | None = None) -> dict[str, str]:
    return resolve(POD, container, FACTS, lookup or Lookup(), {"POD_IP": FACTS.pod_ip})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(MISSING)", "$(MISSING)"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
    ],
)
def test_references_expand_as_in_kubernetes(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_later_variables_see_earlier_ones_only() -> None:
    container = {
        "env": [
            {"name": "A", "value": "$(B)"},
            {"name": "B", "value": "$(POD_IP):80"},
            {"name": "C", "value": "http://$(B)"},
            {"name": "D"},
        ]
    }
    env = env_of(container)
    assert env["A"] == "$(B)"
    assert env["C"] == "http://127.70.0.1:80"
    assert env["D"] == ""


def test_values_come_from_config_maps_secrets_fields_and_resources() -> None:
    lookup = Lookup(
        {"cm": {"data": {"k": "v", "n": "1"}, "binaryData": {"bin": "AAE="}}},
        {"s": {"data": {"pw": base64.b64encode(b"hush").decode()}}},
    )
    container = {
        "envFrom": [
            {"configMapRef": {"name": "cm"}, "prefix": "CM_"},
            {"secretRef": {"name": "absent", "optional": True}},
        ],
        "resources": {"requests": {"cpu": "1500m"}, "limits": {"memory": "1Gi"}},
        "env": [
            {"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}},
            {"name": "PW", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pw"}}},
            {
                "name": "OPT",
                "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": True}},
            },
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "SA", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}},
            {
                "name": "CPU_M",
                "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}},
            },
            {
                "name": "MEM",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
            {"name": "LCPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    }
    env = env_of(container, lookup)
    assert env["CM_k"] == "v"
    assert (env["K"], env["PW"]) == ("v", "hush")
    assert "OPT" not in env
    assert (env["APP"], env["IP"], env["SA"]) == ("x", "127.70.0.1", "sa")
    assert (env["CPU"], env["CPU_M"], env["MEM"], env["LCPU"]) == ("2", "1500", "1024", "8")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, 'configmap "cm" not found'),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "couldn't find key k in Secret ns/s"),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "spec.nope"),
        ({"resourceFieldRef": {"resource": "memory"}}, "limits"),
        ({}, "no known source"),
        ({"fileKeyRef": {"path": "x"}}, "fileKeyRef"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], words: str) -> None:
    lookup = Lookup({}, {"s": {"data": {}}})
    container = {"env": [{"name": "X", "valueFrom": source or {"": None}}]}
    if not source:
        container = {"env": [{"name": "X", "valueFrom": {"x": {}}}]}
    with pytest.raises(Missing, match=words):
        env_of(container, lookup)


def test_a_required_env_from_that_is_missing_is_named() -> None:
    with pytest.raises(Missing, match='secret "gone" not found'):
        env_of({"envFrom": [{"secretRef": {"name": "gone"}}]})


def test_nothing_of_our_own_environment_leaks_into_a_host_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    env = base_environment(POD, FACTS, tmp_path / "home", tmp_path / "tmp")
    assert set(env) == {"PATH", "HOME", "TMPDIR", "LANG", "HOSTNAME", "POD_IP"}


def test_all_references_of_a_pod_are_found() -> None:
    pod = {
        "spec": {
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s1"}}]}],
            "containers": [
                {
                    "name": "c",
                    "env": [
                        {"name": "x", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}}
                    ],
                }
            ],
            "volumes": [
                {"name": "a", "configMap": {"name": "c2"}},
                {"name": "b", "secret": {"secretName": "s2"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "s3"}}]}},
                {"name": "d", "emptyDir": {}},
            ],
        }
    }
    assert references(pod) == {
        ("secret", "s1"),
        ("configmap", "c1"),
        ("configmap", "c2"),
        ("secret", "s2"),
        ("secret", "s3"),
    }
