"""What a pod does next, and what its status says."""

from __future__ import annotations

from typing import Any

import pytest

from ome.standalone.node import status
from ome.standalone.node.history import History
from ome.standalone.node.lifecycle import BackOff, Decision, Run, decide
from ome.standalone.node.shimclient import ContainerState
from ome.standalone.node.status import ContainerView, PodView, Waiting

S = 1_000_000_000
BACK_OFF = BackOff(base=10, limit=300)


def ran(name: str, code: int, *, at: float = 100, attempt: int = 0) -> ContainerState:
    return ContainerState(
        name, attempt, pid=1, started=int((at - 1) * S), finished=int(at * S), code=code
    )


def runs_now(name: str, attempt: int = 0) -> ContainerState:
    return ContainerState(name, attempt, pid=1, started=50 * S)


def spec(
    policy: str = "Always", inits: tuple[Any, ...] = (), mains: tuple[str, ...] = ("a",)
) -> Any:
    return {
        "restartPolicy": policy,
        "initContainers": [i if isinstance(i, dict) else {"name": i} for i in inits],
        "containers": [{"name": m} for m in mains],
    }


def test_all_main_containers_start_together() -> None:
    decision = decide(spec(mains=("a", "b")), {"a": Run(), "b": Run()}, 0, BACK_OFF)
    assert decision == Decision(start=("a", "b"), initialized=True)


def test_init_containers_run_one_after_the_other_before_the_rest() -> None:
    wanted = spec(inits=("i", "j"))
    runs = {"i": Run(), "j": Run(), "a": Run()}
    assert decide(wanted, runs, 0, BACK_OFF).start == ("i",)
    runs["i"] = Run(runs_now("i"), started=True)
    assert decide(wanted, runs, 0, BACK_OFF) == Decision()
    runs["i"] = Run(ran("i", 0))
    assert decide(wanted, runs, 200, BACK_OFF).start == ("j",)
    runs["j"] = Run(ran("j", 0))
    decision = decide(wanted, runs, 200, BACK_OFF)
    assert decision.start == ("a",)
    assert decision.initialized


@pytest.mark.parametrize(
    ("policy", "phase", "start"), [("Never", "Failed", ()), ("OnFailure", "", ("i",))]
)
def test_a_failed_init_container_follows_the_restart_policy(
    policy: str, phase: str, start: tuple[str, ...]
) -> None:
    runs = {"i": Run(ran("i", 1), crashes=1), "a": Run()}
    decision = decide(spec(policy, inits=("i",)), runs, 200, BACK_OFF)
    assert (decision.phase, decision.start) == (phase, start)


def test_a_sidecar_must_have_started_and_then_runs_beside_the_rest() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always"}
    wanted = spec("Never", inits=(sidecar,))
    runs = {"s": Run(runs_now("s"), started=False), "a": Run()}
    assert decide(wanted, runs, 0, BACK_OFF).start == ()
    runs["s"] = Run(runs_now("s"), started=True)
    assert decide(wanted, runs, 0, BACK_OFF).start == ("a",)
    runs["a"] = Run(ran("a", 0))
    decision = decide(wanted, runs, 200, BACK_OFF)
    assert (decision.stop, decision.phase) == (("s",), "Succeeded")


def test_init_containers_do_not_run_again_once_the_pod_has_begun() -> None:
    runs = {"i": Run(), "a": Run(ran("a", 1), crashes=1)}
    assert decide(spec(inits=("i",)), runs, 200, BACK_OFF).start == ("a",)


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 3), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 3), ""),
        ("Always", (0, 0), ""),
    ],
)
def test_a_pod_ends_when_nothing_will_be_restarted(
    policy: str, codes: tuple[int, int], phase: str
) -> None:
    runs = {n: Run(ran(n, c), crashes=1) for n, c in zip("ab", codes, strict=True)}
    decision = decide(spec(policy, mains=("a", "b")), runs, 200, BACK_OFF)
    assert decision.phase == phase
    assert bool(decision.start) == (not phase)


def test_the_back_off_doubles_up_to_its_limit_and_the_first_restart_is_immediate() -> None:
    assert [BACK_OFF.delay(n) for n in range(8)] == [0, 0, 10, 20, 40, 80, 160, 300]
    runs = {"a": Run(ran("a", 1, at=100), crashes=3)}
    decision = decide(spec(), runs, 105, BACK_OFF)
    assert (decision.start, decision.delayed) == ((), {"a": 120.0})
    assert decide(spec(), runs, 120, BACK_OFF).start == ("a",)


def test_a_long_healthy_run_clears_the_record_of_crashes() -> None:
    history = History()
    back_off = BackOff(healthy_after=600)
    for attempt in range(3):
        assert history.count_crash(ran("a", 1, attempt=attempt), back_off)
    assert not history.count_crash(ran("a", 1, attempt=2), back_off)
    assert history.crash_count("a") == 3
    healthy = ContainerState("a", 3, started=0, finished=700 * S, code=1)
    history.count_crash(healthy, back_off)
    assert history.crash_count("a") == 1


def test_a_run_that_ended_stays_ended() -> None:
    history = History()
    history.add(ran("a", 7))
    history.add(runs_now("a"))
    latest = history.latest("a")
    assert latest is not None
    assert latest.code == 7
    assert history.next_attempt("a") == 1
    assert history.next_attempt("other") == 0


POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u"},
    "spec": {"containers": [{"name": "a", "image": "img"}]},
}


def view(container: ContainerView, **changes: Any) -> PodView:
    values: dict[str, Any] = {
        "containers": {"a": container},
        "pod_ip": "127.70.0.1",
        "host_ip": "127.0.0.1",
        "start_time": "t0",
        "initialized": True,
        "sandbox": True,
    }
    return PodView(**(values | changes))


def conditions(result: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in result["conditions"]}


def test_a_running_and_ready_pod_says_so() -> None:
    result = status.compute(POD, view(ContainerView(runs_now("a"), None, True, True)), "now")
    assert result["phase"] == "Running"
    assert set(conditions(result).values()) == {"True"}
    (entry,) = result["containerStatuses"]
    assert entry["ready"]
    assert entry["started"]
    assert entry["state"] == {"running": {"startedAt": "1970-01-01T00:00:50Z"}}


def test_a_crash_shows_its_code_its_signal_and_its_last_words() -> None:
    dead = ContainerState("a", 2, started=S, finished=2 * S, code=139, signal=11)
    shown = ContainerView(dead, text="boom", waiting=Waiting("CrashLoopBackOff", "back-off"))
    result = status.compute(POD, view(shown), "now")
    (entry,) = result["containerStatuses"]
    assert entry["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    last = entry["lastState"]["terminated"]
    assert (last["exitCode"], last["signal"], last["reason"], last["message"]) == (
        139,
        11,
        "Error",
        "boom",
    )
    assert entry["restartCount"] == 2
    assert result["phase"] == "Running"
    assert conditions(result)["Ready"] == "False"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ContainerState("a", 0, finished=1), "Completed"),
        (ContainerState("a", 0, finished=1, code=1), "Error"),
        (ContainerState("a", 0, finished=1, code=137, signal=9, oom=True), "OOMKilled"),
        (ContainerState("a", 0, finished=1, code=128, reason="StartError"), "StartError"),
    ],
)
def test_ends_have_kubernetes_reasons(state: ContainerState, reason: str) -> None:
    assert status.terminated(POD, state, "")["reason"] == reason


def test_before_and_after_its_life_a_pod_is_pending_and_ended() -> None:
    waiting = ContainerView(
        waiting=Waiting("CreateContainerConfigError", 'configmap "x" not found')
    )
    result = status.compute(POD, view(waiting, sandbox=False), "now")
    assert result["phase"] == "Pending"
    assert (
        result["containerStatuses"][0]["state"]["waiting"]["message"] == 'configmap "x" not found'
    )
    result = status.compute(POD, view(ContainerView(ran("a", 0)), phase="Succeeded"), "now")
    assert result["phase"] == "Succeeded"
    ready = next(c for c in result["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_transition_times_change_only_with_the_status_and_foreign_conditions_stay() -> None:
    first = status.compute(POD, view(ContainerView(runs_now("a"), None, True, True)), "t1")
    first["conditions"].append({"type": "example.com/gate", "status": "False"})
    pod = {**POD, "status": first}
    second = status.compute(pod, view(ContainerView(runs_now("a"), None, True, False)), "t2")
    times = {c["type"]: c.get("lastTransitionTime") for c in second["conditions"]}
    assert times["Initialized"] == "t1"
    assert times["Ready"] == "t2"
    assert "example.com/gate" in times


def test_a_readiness_gate_holds_a_pod_back() -> None:
    pod = {**POD, "spec": {**POD["spec"], "readinessGates": [{"conditionType": "g"}]}}
    ready = ContainerView(runs_now("a"), None, True, True)
    result = status.compute(pod, view(ready), "now")
    assert conditions(result)["Ready"] == "False"
    assert conditions(result)["ContainersReady"] == "True"
    pod["status"] = {"conditions": [{"type": "g", "status": "True"}]}
    assert conditions(status.compute(pod, view(ready), "now"))["Ready"] == "True"


def test_quality_of_service_classes() -> None:
    def qos(*resources: dict[str, Any]) -> str:
        return status.qos_class({"containers": [{"resources": r} for r in resources]})

    both = {"cpu": "1", "memory": "1Gi"}
    assert qos({}) == "BestEffort"
    assert qos({"requests": {"cpu": "1"}}) == "Burstable"
    assert qos({"limits": both, "requests": both}) == "Guaranteed"
    assert qos({"limits": both}, {}) == "Burstable"
