"""The CRDs under a real kube-apiserver: taken, established, and judging as our own code judges.

The rules in the CRDs are for the API server; :mod:`ome.admission` is authoritative. Each case below
is put to both, and they have to agree.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.cluster.conftest import Kubectl

from ome.admission import OmeAdmission
from ome.api import resources as o
from ome.api.crds import all_crds, crd
from ome.apimachinery.objects import Resource

Object = dict[str, Any]


class Nothing:
    """A view in which there is no other object."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return None

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return []


@pytest.fixture(scope="session")
def with_crds(cluster: Kubectl) -> Kubectl:
    cluster.apply(*all_crds())
    for definition in all_crds():
        cluster.wait(f"crd/{definition['metadata']['name']}", "condition=Established")
    return cluster


@pytest.fixture
def space(with_crds: Kubectl, ns: Kubectl) -> Kubectl:
    return ns


@pytest.mark.parametrize("resource", o.ALL, ids=str)
def test_a_crd_is_structural_and_has_its_names(with_crds: Kubectl, resource: Resource) -> None:
    live = with_crds.get("crd", f"{resource.plural}.{resource.group}")
    conditions = {c["type"]: c["status"] for c in live["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions
    assert len(json.dumps(live)) < 1_500_000


def test_applying_again_changes_nothing(with_crds: Kubectl) -> None:
    name = "inferenceservices.ome.io"
    before = with_crds.get("crd", name)["metadata"]["resourceVersion"]
    with_crds.apply(crd(o.INFERENCE_SERVICES))
    assert with_crds.get("crd", name)["metadata"]["resourceVersion"] == before


def service(**spec: Any) -> Object:
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "svc"},
        "spec": {"model": {"name": "m"}, **spec},
    }


def benchmark(endpoint: Object) -> Object:
    storage = {"storageUri": "oci://n/a/b/c/o/d"}
    return {
        "apiVersion": "ome.io/v1beta1",
        "kind": "BenchmarkJob",
        "metadata": {"name": "job"},
        "spec": {
            "endpoint": endpoint,
            "task": "text-to-text",
            "maxTimePerIteration": 5,
            "maxRequestsPerIteration": 10,
            "outputLocation": storage,
        },
    }


DEBUG = [{"name": "debug", "image": "busybox:1"}]
URL = {"url": "http://a", "apiFormat": "openai", "modelName": "m"}
REFERENCE = {"name": "a", "namespace": "b"}
CASES: dict[str, tuple[Object, bool]] = {
    "plain": (service(engine={}), True),
    "decoder without engine": (service(decoder={}), False),
    "decoder and engine": (service(engine={}, decoder={}), True),
    "min above max": (service(engine={"minReplicas": 5, "maxReplicas": 2}), False),
    "min is max": (service(engine={"minReplicas": 2, "maxReplicas": 2}), True),
    "max 0 is unset": (service(engine={"minReplicas": 5, "maxReplicas": 0}), True),
    "min 0": (service(engine={"minReplicas": 0, "maxReplicas": 2}), True),
    "negative": (service(engine={"minReplicas": -1}), False),
    "router, min above max": (
        service(engine={}, router={"minReplicas": 5, "maxReplicas": 2}),
        False,
    ),
    "canary 101": (service(engine={"canaryTrafficPercent": 101}), False),
    "canary 100": (service(engine={"canaryTrafficPercent": 100}), True),
    "one bound of disruption": (service(engine={"maxUnavailable": "25%"}), True),
    "two bounds of disruption": (service(engine={"minAvailable": 1, "maxUnavailable": 1}), False),
    "no workers": (service(engine={"leader": {}, "worker": {"size": 0}}), True),
    "an empty list of debug containers": (service(engine={"ephemeralContainers": []}), False),
    "debug container": (service(engine={"ephemeralContainers": DEBUG}), False),
    "debug container in a leader": (
        service(engine={"leader": {"ephemeralContainers": DEBUG}}),
        False,
    ),
    "one endpoint": (benchmark({"endpoint": URL}), True),
    "one service": (benchmark({"inferenceService": REFERENCE}), True),
    "two endpoints": (benchmark({"endpoint": URL, "inferenceService": REFERENCE}), False),
    "no endpoint": (benchmark({}), False),
}


def server_accepts(kubectl: Kubectl, obj: Object) -> bool:
    done = kubectl.try_("create", "--dry-run=server", "-f", "-", stdin=json.dumps(obj))
    assert done.returncode == 0 or "is invalid" in done.stderr, done.stderr
    return done.returncode == 0


def admission_accepts(obj: Object) -> bool:
    resource = o.by_kind(obj["kind"])
    assert resource is not None
    review = OmeAdmission().review("CREATE", resource, copy.deepcopy(obj), None, Nothing())
    return not review.errors


@pytest.mark.parametrize("case", CASES)
def test_server_and_admission_agree(space: Kubectl, case: str) -> None:
    obj, right = CASES[case]
    assert (server_accepts(space, obj), admission_accepts(obj)) == (right, right)


def test_scale_sets_the_fewest_engine_replicas_and_never_above_the_most(space: Kubectl) -> None:
    space.apply(service(engine={"minReplicas": 1, "maxReplicas": 3}))
    space.run("scale", "isvc/svc", "--replicas=2")
    assert space.get("isvc", "svc")["spec"]["engine"]["minReplicas"] == 2
    refused = space.try_("scale", "isvc/svc", "--replicas=4")
    assert "minReplicas must not be greater than maxReplicas" in refused.stderr


def test_kubectl_shows_why_and_the_category_lists_all(space: Kubectl) -> None:
    space.apply(service(engine={}))
    status = {
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "X", "message": "because of that"}
        ]
    }
    patch = json.dumps({"status": status})
    space.run("patch", "isvc/svc", "--subresource=status", "--type=merge", "-p", patch)
    listed = space.run("get", "ome")
    assert "WHY" in listed
    assert "because of that" in listed


def test_defaults_are_filled_in_and_pod_fields_are_kept(space: Kubectl) -> None:
    pod = {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]}
    space.apply(service(engine={**pod, "runner": {"ports": [{"containerPort": 80}]}}))
    spec = space.get("isvc", "svc")["spec"]
    assert spec["model"] == {"name": "m", "kind": "ClusterBaseModel", "apiGroup": "ome.io"}
    assert spec["engine"]["nodeSelector"] == {"a": "b"}
    assert spec["engine"]["runner"]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
