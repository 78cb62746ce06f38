"""Jobs, endpoints, ReplicaSet status, expectations and pod ranking."""

from __future__ import annotations

from typing import Any

import pytest

from ome.apimachinery.objects import condition
from ome.standalone.workloads import endpoints, job
from ome.standalone.workloads.expectations import TIMEOUT, Expectations
from ome.standalone.workloads.pods import deletion_rank, timestamp
from ome.standalone.workloads.replicasets import status_of


def pod(name: str, *, phase: str = "Running", ready: bool = True, **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": f"u-{name}",
            "labels": {"app": "x"},
            **({"deletionTimestamp": "t"} if changes.get("deleting") else {}),
            **changes.get("meta", {}),
        },
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "c", "ports": changes.get("ports", [])}],
        },
        "status": {
            "phase": phase,
            "podIP": changes.get("ip", "127.64.0.1"),
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "lastTransitionTime": timestamp(changes.get("since", 100)),
                }
            ],
        },
    }


# -- jobs ----------------------------------------------------------------------------------


def make_job(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "n", "uid": "ju"},
        "spec": {"template": {"spec": {"containers": [{"name": "c"}]}}, **spec},
    }


def test_a_job_runs_to_its_completions_within_its_parallelism() -> None:
    wanted = make_job(completions=3, parallelism=2)
    assert job.plan(wanted, [], 10).create == 2
    pods = [pod("a", phase="Succeeded"), pod("b", phase="Succeeded"), pod("c")]
    plan = job.plan(wanted, pods, 10)
    assert plan.create == 0
    assert (plan.status["succeeded"], plan.status["active"]) == (2, 1)
    plan = job.plan(wanted, [pod(n, phase="Succeeded") for n in "abc"], 20)
    done = condition({"status": plan.status}, "Complete") or {}
    assert done["status"] == "True"
    assert plan.status["completionTime"] == timestamp(20)


def test_a_failing_job_backs_off_and_gives_up() -> None:
    wanted = make_job(backoffLimit=1)
    wanted["status"] = {"startTime": timestamp(0)}
    failed = pod("a", phase="Failed", ready=False)
    failed["status"]["containerStatuses"] = [
        {"state": {"terminated": {"finishedAt": timestamp(100)}}}
    ]
    plan = job.plan(wanted, [failed], 101)
    assert (plan.create, plan.look_again) == (0, 9)
    assert job.plan(wanted, [failed], 111).create == 1
    plan = job.plan(
        wanted, [failed, {**failed, "metadata": {**failed["metadata"], "name": "b"}}], 120
    )
    assert (condition({"status": plan.status}, "Failed") or {})["reason"] == "BackoffLimitExceeded"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"activeDeadlineSeconds": 5}, "DeadlineExceeded"),
        ({"completionMode": "Indexed", "completions": 1}, "NotSupported"),
    ],
)
def test_a_job_that_cannot_go_on_fails_with_a_reason_and_stops_its_pods(
    spec: dict[str, Any], reason: str
) -> None:
    wanted = make_job(**spec)
    wanted["status"] = {"startTime": timestamp(10)}
    plan = job.plan(wanted, [pod("a")], 20)
    assert (condition({"status": plan.status}, "Failed") or {})["reason"] == reason
    assert plan.delete == ("a",)


def test_a_suspended_job_has_no_pods_and_a_finished_one_goes_when_its_time_is_over() -> None:
    assert job.plan(make_job(suspend=True), [pod("a")], 0).delete == ("a",)
    ended = make_job(ttlSecondsAfterFinished=60)
    ended["status"] = {
        "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": timestamp(100)}]
    }
    assert job.plan(ended, [], 130).look_again == 30
    assert job.plan(ended, [], 160).remove


def test_a_pod_of_a_job_never_restarts_always_and_bears_its_labels() -> None:
    made = job.pod_of(make_job())
    assert made["spec"]["restartPolicy"] == "Never"
    assert made["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "ju"


# -- endpoints -----------------------------------------------------------------------------

SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "namespace": "n", "uid": "su", "labels": {"l": "1"}},
    "spec": {
        "selector": {"app": "x"},
        "ports": [{"name": "http", "port": 80, "targetPort": "web"}],
    },
}
PORTS = [{"name": "web", "containerPort": 8080}]


def test_ready_pods_are_addresses_and_named_ports_are_found() -> None:
    pods = [pod("a", ports=PORTS), pod("b", ports=PORTS, ready=False, ip="127.64.0.2")]
    (subset,) = endpoints.endpoints(SERVICE, pods)["subsets"]
    assert [a["ip"] for a in subset["addresses"]] == ["127.64.0.1"]
    assert [a["ip"] for a in subset["notReadyAddresses"]] == ["127.64.0.2"]
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    (slice_,) = endpoints.slices(SERVICE, pods)
    assert [e["conditions"]["ready"] for e in slice_["endpoints"]] == [True, False]
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "s"
    assert slice_["metadata"]["ownerReferences"][0]["uid"] == "su"


def test_a_pod_that_is_being_deleted_serves_nobody_new() -> None:
    pods = [pod("a", ports=PORTS, deleting=True)]
    assert endpoints.endpoints(SERVICE, pods)["subsets"] == []
    (slice_,) = endpoints.slices(SERVICE, pods)
    assert slice_["endpoints"][0]["conditions"] == {
        "ready": False,
        "serving": True,
        "terminating": True,
    }


def test_ended_pods_and_pods_without_an_address_or_port_are_left_out() -> None:
    no_address = pod("c", ports=PORTS)
    del no_address["status"]["podIP"]
    pods = [pod("a", phase="Succeeded", ports=PORTS), no_address, pod("d", ports=[])]
    assert endpoints.endpoints(SERVICE, pods)["subsets"] == []
    (slice_,) = endpoints.slices(SERVICE, pods)
    assert slice_["endpoints"] == []


def test_unready_pods_can_be_published() -> None:
    service = {**SERVICE, "spec": {**SERVICE["spec"], "publishNotReadyAddresses": True}}
    pods = [pod("a", ports=PORTS, ready=False)]
    assert endpoints.slices(service, pods)[0]["endpoints"][0]["conditions"]["ready"]


def test_pods_with_different_ports_go_to_different_slices_under_stable_names() -> None:
    pods = [pod("a", ports=PORTS), pod("b", ports=[{"name": "web", "containerPort": 9090}])]
    first, second = endpoints.slices(SERVICE, pods), endpoints.slices(SERVICE, pods[::-1])
    assert first == second
    assert len({s["metadata"]["name"] for s in first}) == 2


# -- ReplicaSets ---------------------------------------------------------------------------


def test_a_pod_is_available_only_after_min_ready_seconds() -> None:
    rs = {
        "metadata": {"name": "r", "generation": 3},
        "spec": {"minReadySeconds": 10, "template": {"metadata": {"labels": {"app": "x"}}}},
    }
    pods = [pod("a", since=100), pod("b", since=106), pod("c", ready=False)]
    status, later = status_of(rs, pods, "", 111)
    assert (status["replicas"], status["readyReplicas"], status["availableReplicas"]) == (3, 2, 1)
    assert (status["observedGeneration"], later) == (3, 5)


def test_the_least_missed_pod_is_deleted_first() -> None:
    unbound = pod("unbound", phase="Pending", ready=False)
    del unbound["spec"]["nodeName"]
    cheap = {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}
    pods = [
        pod("old", since=10),
        pod("young", since=90),
        pod("cheap", since=10, meta=cheap),
        pod("unready", ready=False),
        pod("pending", phase="Pending", ready=False),
        unbound,
    ]
    ranked = [p["metadata"]["name"] for p in sorted(pods, key=deletion_rank)]
    assert ranked == ["unbound", "pending", "unready", "cheap", "young", "old"]


def test_expectations_hold_until_the_cache_has_caught_up_or_time_is_up() -> None:
    now = [0.0]
    seen: set[str] = set()
    expectations = Expectations(lambda: now[0])

    def satisfied() -> bool:
        return expectations.satisfied("k", seen.__contains__, lambda uid: uid not in seen)

    assert satisfied()
    expectations.created("k", "a")
    assert not satisfied()
    seen.add("a")
    assert satisfied()
    expectations.deleted("k", "a")
    assert not satisfied()
    seen.clear()
    assert satisfied()
    expectations.created("k", "lost")
    now[0] = TIMEOUT + 1
    assert satisfied()
