"""Properties of the status: Ready covers every component, every reason is of the closed list."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.kubelet import crashing, running, starting, waiting
from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import live, made
from tests.unit.rendering.modes import settings as configured

from ome.api.conditions import component_ready
from ome.api.reasons import KUBERNETES, REASONS
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, condition
from ome.rendering import Observed
from ome.rendering import ingress as ingress_rules
from ome.rendering.status import StatusInput, build
from ome.rendering.workload import Model

COMPONENTS = ("engine", "decoder", "router")
BOTH = runtime()
BOTH["spec"]["decoderConfig"] = BOTH["spec"]["engineConfig"]
BOTH["spec"]["routerConfig"] = {"runner": {"name": "router", "image": "router:1"}}
SERVICE = service(decoder={}, router={})
SERVICE["metadata"]["generation"] = 7
RENDERED = made(SERVICE, runtime=BOTH)
BEHAVIOURS = st.sampled_from(
    [
        running,
        starting,
        crashing(1, "boom"),
        crashing(137, "CUDA out of memory"),
        waiting("ImagePullBackOff", "no such image"),
        waiting("CreateContainerConfigError", "secret not found"),
        waiting("SomethingNew", "nobody knows"),
        None,
    ]
)
WORKLOADS = st.fixed_dictionaries(
    {
        "there": st.booleans(),
        "available": st.integers(0, 1),
        "updated": st.integers(0, 1),
        "seen": st.booleans(),
        "refused": st.booleans(),
        "overdue": st.booleans(),
        "pods": st.lists(BEHAVIOURS, max_size=2),
    }
)
MODELS = st.sampled_from(
    [
        Model(),
        Model("model tiny: being fetched on 1 node", "ModelDownloading"),
        Model("model tiny: it could not be fetched on node n: gated", "ModelFailed"),
    ]
)


def _deployment_status(state: Any) -> Object:
    conditions = [{"type": "Available", "status": "True" if state["available"] else "False"}]
    if state["refused"]:
        conditions.append(
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": "exceeded quota",
            }
        )
    if state["overdue"]:
        late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
        conditions.append(late)
    return {
        "observedGeneration": 9 if state["seen"] else -1,
        "replicas": 1,
        "updatedReplicas": state["updated"],
        "availableReplicas": state["available"],
        "conditions": conditions,
    }


def _pod(component: str, index: int, behaviour: Any) -> Object:
    obj: Object = {
        "metadata": {
            "name": f"{component}-{index}",
            "labels": {"app": f"chat-{component}"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"containers": [{"name": "ome-container", "image": "x"}], "nodeName": "n"},
    }
    obj["status"] = behaviour(obj) if behaviour else {}
    return obj


@settings(max_examples=150, deadline=None)
@given(
    states=st.fixed_dictionaries(dict.fromkeys(COMPONENTS, WORKLOADS)),
    waits=MODELS,
    lost=st.booleans(),
)
def test_ready_covers_every_component_and_every_reason_is_known(
    states: Any, waits: Model, lost: bool
) -> None:
    observed = live(RENDERED)
    deployments = []
    for name, state in states.items():
        if state["there"]:
            one = copy.deepcopy(observed.of(r.DEPLOYMENTS)[f"chat-{name}"])
            one["metadata"]["generation"] = 1
            one["status"] = _deployment_status(state)
            deployments.append(one)
    pods = {
        name: [_pod(name, index, how) for index, how in enumerate(state["pods"])]
        for name, state in states.items()
    }
    before = copy.deepcopy(SERVICE)
    found = build(
        StatusInput(
            SERVICE,
            "2026-01-01T00:00:00Z",
            RENDERED,
            observed=Observed({r.DEPLOYMENTS: deployments}),
            pods=pods,
            model=waits,
            lost_nodes={"n": "2026-01-01T00:00:00Z"} if lost else {},
            ingress=ingress_rules.resolve(configured().ingress, SERVICE),
        )
    ).status
    assert before == SERVICE
    subject: Object = {"status": found}
    ready = condition(subject, "Ready")
    assert ready is not None
    each = {name: condition(subject, component_ready(name)) for name in COMPONENTS}
    assert all(each.values()), "every component has its condition"
    up = {name: (entry or {}).get("status") == "True" for name, entry in each.items()}
    assert (ready["status"] == "True") == all(up.values())
    for name, state in states.items():
        assert up[name] == bool(state["there"] and state["available"])
    for entry in found["conditions"]:
        reason = entry.get("reason")
        assert reason in REASONS or reason in KUBERNETES, entry
        assert entry["observedGeneration"] == 7
        if entry["status"] != "True":
            assert entry["message"], entry
    assert found["observedGeneration"] == 7
    again = build(
        StatusInput(
            {**SERVICE, "status": found},
            "2027-01-01T00:00:00Z",
            RENDERED,
            observed=Observed({r.DEPLOYMENTS: deployments}),
            pods=pods,
            model=waits,
            lost_nodes={"n": "2026-01-01T00:00:00Z"} if lost else {},
            ingress=ingress_rules.resolve(configured().ingress, SERVICE),
        )
    ).status
    assert again == found, "the same facts a year later are the same status"
