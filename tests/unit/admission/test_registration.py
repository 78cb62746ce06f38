"""The webhook configurations: names and paths that clusters know, and rules that can't deadlock."""

from __future__ import annotations

import base64
from typing import Any

from ome.admission.registration import HOOKS, Address, configuration_names, configurations
from ome.api import resources as o

Object = dict[str, Any]
KNOWN = {
    ("Mutating", "inferenceservice", "inferenceservice.ome-webhook-server.defaulter"): (
        "/mutate-ome-io-v1beta1-inferenceservice"
    ),
    ("Mutating", "inferenceservice", "inferenceservice.ome-webhook-server.pod-mutator"): (
        "/mutate-pods"
    ),
    **{
        ("Validating", kind, f"{kind}.ome-webhook-server.validator"): (
            f"/validate-ome-io-v1beta1-{kind}"
        )
        for kind in (
            "inferenceservice",
            "servingruntime",
            "clusterservingruntime",
            "benchmarkjob",
            "basemodel",
            "clusterbasemodel",
            "finetunedweight",
            "acceleratorclass",
        )
    },
}


def webhooks(*found: Object) -> dict[tuple[str, str, str], Object]:
    return {
        (
            configuration["kind"].removesuffix("WebhookConfiguration"),
            configuration["metadata"]["name"].removesuffix(".ome.io"),
            webhook["name"],
        ): webhook
        for configuration in found
        for webhook in configuration["webhooks"]
    }


def test_names_and_paths_are_those_that_clusters_know() -> None:
    found = webhooks(*configurations(Address("ome")))
    paths = {key: webhook["clientConfig"]["service"]["path"] for key, webhook in found.items()}
    assert paths == KNOWN


def test_all_fail_closed_and_speak_v1_first() -> None:
    for webhook in webhooks(*configurations(Address("ome"))).values():
        assert webhook["failurePolicy"] == "Fail"
        assert webhook["sideEffects"] == "None"
        assert webhook["matchPolicy"] == "Equivalent"
        assert webhook["timeoutSeconds"] == 10
        assert webhook["admissionReviewVersions"] == ["v1", "v1beta1"]
        (rule,) = webhook["rules"]
        assert rule["resources"] == [rule["resources"][0].partition("/")[0]]


def test_pods_of_the_operators_own_namespace_are_left_out() -> None:
    hook = webhooks(*configurations(Address("system")))[
        ("Mutating", "inferenceservice", "inferenceservice.ome-webhook-server.pod-mutator")
    ]
    assert hook["namespaceSelector"]["matchExpressions"] == [
        {"key": "control-plane", "operator": "DoesNotExist"},
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["system"]},
    ]
    assert hook["objectSelector"]["matchExpressions"] == [
        {"key": "ome.io/inferenceservice", "operator": "Exists"}
    ]
    assert hook["reinvocationPolicy"] == "IfNeeded"
    assert hook["rules"][0]["operations"] == ["CREATE"]


def test_the_form_with_a_url() -> None:
    found = webhooks(*configurations(Address("ome", url="https://127.0.0.1:9443/"), b"PEM"))
    for key, webhook in found.items():
        assert webhook["clientConfig"] == {
            "url": f"https://127.0.0.1:9443{KNOWN[key]}",
            "caBundle": base64.b64encode(b"PEM").decode(),
        }


def test_every_kind_has_a_validator_of_its_scope() -> None:
    rules = [
        webhook["rules"][0]
        for key, webhook in webhooks(*configurations(Address("ome"))).items()
        if key[0] == "Validating"
    ]
    scopes = {rule["resources"][0]: rule["scope"] for rule in rules}
    assert scopes == {r.plural: "Namespaced" if r.namespaced else "Cluster" for r in o.ALL}


def test_the_names_of_all_objects_are_known_without_making_them() -> None:
    listed = {
        (resource.kind, name) for resource, names in configuration_names().items() for name in names
    }
    assert listed == {(c["kind"], c["metadata"]["name"]) for c in configurations(Address("ome"))}
    assert len(HOOKS) == len(KNOWN)
