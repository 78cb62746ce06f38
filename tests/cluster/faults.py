"""What the tests of faults share: small services on the bed, and what must not happen to them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.cluster.direct import (
    CHILDREN,
    DEPLOYMENTS,
    EVENTS,
    INFERENCE_SERVICES,
    MODELS,
    PODS,
    RUNTIMES,
    SERVICES,
    Direct,
    condition,
)
from tests.cluster.omehome import Home
from tests.cluster.replicas import until
from tests.fakes import objects

Object = dict[str, Any]
MODEL = "faults-tiny"
LABEL = "ome.io/inferenceservice"
CHANGES = ("Created", "Updated", "Deleted", "Scaled")
"""Reasons of the events that tell what OME did to children."""


def runtime(image: str = "engine:1") -> Object:
    made = objects.runtime("rt", image=image, autoSelect=False)
    return {**made, "kind": "ServingRuntime"}


def service(name: str, namespace: str, **engine: Any) -> Object:
    made = objects.service(name, model=MODEL, runtime={"name": "rt", "kind": "ServingRuntime"})
    made["metadata"]["namespace"] = namespace
    made["spec"]["engine"] = engine
    return made


def prepared(home: Home, *namespaces: str) -> list[Direct]:
    """The model on every node, and namespaces with the runtime."""
    everywhere = Direct(home.bed)
    everywhere.apply(MODELS, objects.model(MODEL))
    home.report(MODEL)
    found = []
    for name in namespaces:
        everywhere.apply("api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace",
                                               "metadata": {"name": name}})  # fmt: skip
        there = Direct(home.bed, name)
        there.apply(RUNTIMES, runtime())
        found.append(there)
    return found


def _ready(live: Object) -> bool:
    ready = condition(live, "Ready")
    seen = (live.get("status") or {}).get("observedGeneration") == live["metadata"]["generation"]
    return bool(seen and (ready.get("status"), ready.get("reason")) == ("True", "Serving"))


def all_ready(there: Direct, *names: str) -> bool:
    found = {obj["metadata"]["name"]: obj for obj in there.list(INFERENCE_SERVICES)}
    return all(name in found and _ready(found[name]) for name in names)


def until_ready(there: Direct, *names: str, seconds: float = 90) -> None:
    try:
        until(f"{', '.join(names)} ready", lambda: all_ready(there, *names), seconds)
    except AssertionError as error:
        raise AssertionError("\n".join([str(error), *_open_conditions(there, *names)])) from None


def _open_conditions(there: Direct, *names: str) -> list[str]:
    """What stands in the way, in few lines: a CI shows no more."""
    found = []
    for name in names:
        live = there.find(INFERENCE_SERVICES, name) or {}
        status = live.get("status") or {}
        seen, asked = status.get("observedGeneration"), live.get("metadata", {}).get("generation")
        found.append(f"{name}: generation {seen} of {asked} seen")
        for it in status.get("conditions") or ():
            if it["status"] != "True" or it["type"] == "Ready":
                why = f"{it['status']} {it.get('reason')}: {it.get('message')}"
                found.append(f"{name}: {it['type']} {why} (since {it['lastTransitionTime']})")
    return found


def children(there: Direct, *names: str) -> dict[str, dict[tuple[str, str], Object]]:
    """What each service controls, found by uid and not by label."""
    uids = {
        obj["metadata"]["uid"]: obj["metadata"]["name"]
        for obj in there.list(INFERENCE_SERVICES)
        if obj["metadata"]["name"] in names
    }
    found: dict[str, dict[tuple[str, str], Object]] = {name: {} for name in names}
    for kind in CHILDREN:
        for obj in there.list(kind):
            for owner in obj["metadata"].get("ownerReferences") or ():
                if owner["uid"] in uids:
                    found[uids[owner["uid"]]][kind, obj["metadata"]["name"]] = obj
    return found


def essence(obj: Object) -> Object:
    """What somebody wanted of it: without what the server and its controllers add."""
    meta = obj["metadata"]
    kept = {key: meta[key] for key in ("name", "labels", "annotations") if key in meta}
    kept["annotations"] = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key not in ("ome.io/created-from", "deployment.kubernetes.io/revision")
    }
    kept["ownerReferences"] = [
        {key: value for key, value in owner.items() if key != "uid"}
        for owner in meta.get("ownerReferences") or ()
    ]
    rest = {k: v for k, v in obj.items() if k not in ("metadata", "status")}
    text = json.dumps({**rest, "metadata": kept}, sort_keys=True)
    found: Object = json.loads(text.replace(f'"{meta.get("namespace")}"', '"NAMESPACE"'))
    for given in ("clusterIP", "clusterIPs", "healthCheckNodePort"):
        (found.get("spec") or {}).pop(given, None)
    return found


def told(there: Direct, *names: str) -> dict[str, Counter[str]]:
    """How often each thing was told that OME did to the services' children."""
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for event in there.list(EVENTS):
        about = event["involvedObject"]
        ours = about.get("kind") == "InferenceService" and about["name"] in found
        if ours and event["reason"] in CHANGES:
            text = f"{event['reason']}: {event['message']}"
            found[about["name"]][text] += event["count"]
    return found


def life(there: Direct, *names: str) -> dict[str, Object]:
    """What stays the same as long as nothing was torn down, restarted or interrupted: uids of all
    that serves, and since when each service is ready."""
    found: dict[str, Object] = {}
    for live in there.list(INFERENCE_SERVICES):
        ready = condition(live, "Ready")
        found[live["metadata"]["name"]] = {
            "ready": (ready.get("status"), ready.get("lastTransitionTime")),
            "pods": [],
            "deployments": {},
            "services": {},
        }
    for obj in there.list(PODS):
        if (obj.get("status") or {}).get("phase") == "Running":
            _of(found, obj)["pods"].append(obj["metadata"]["uid"])
    for obj in there.list(DEPLOYMENTS):
        told = (obj["metadata"]["uid"], obj["spec"]["replicas"])
        _of(found, obj)["deployments"][obj["metadata"]["name"]] = told
    for obj in there.list(SERVICES):
        told = (obj["metadata"]["uid"], obj["spec"].get("clusterIP"))
        _of(found, obj)["services"][obj["metadata"]["name"]] = told
    for seen in found.values():
        seen["pods"].sort()
    return {name: found[name] for name in names}


def _of(found: dict[str, Object], obj: Object) -> Object:
    name = (obj["metadata"].get("labels") or {}).get(LABEL) or ""
    nobody: Object = {"pods": [], "deployments": {}, "services": {}}
    return found.get(name, nobody)
