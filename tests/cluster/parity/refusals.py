"""What is refused, warned about, or filled in."""

from __future__ import annotations

from typing import Any

from tests.cluster.parity.objects import (
    DEPLOYMENTS,
    WIDGETS,
    config_map,
    container,
    deployment,
    pod,
    service,
    widget,
)
from tests.cluster.parity.run import Run

WIDGET_SPECS: dict[str, Any] = {
    "fine": {"size": 3},
    "required": {},
    "too small": {"size": 0},
    "too big": {"size": 11},
    "wrong type": {"size": "three"},
    "a float": {"size": 3.5},
    "a whole float": {"size": 3.0},
    "a bool for a number": {"size": True},
    "enum": {"size": 3, "color": "blue"},
    "enum and type": {"size": 3, "color": 5},
    "pattern": {"size": 3, "code": "A1"},
    "too long": {"size": 3, "code": "abcdefg"},
    "too short": {"size": 3, "code": "a"},
    "int or string": {"size": 3, "port": 80},
    "int or string 2": {"size": 3, "port": "http"},
    "int or string 3": {"size": 3, "port": True},
    "number": {"size": 3, "ratio": 1},
    "number 2": {"size": 3, "ratio": "1"},
    "null where nullable": {"size": 3, "note": None},
    "null where not": {"size": 3, "code": None},
    "null with a default": {"size": 3, "color": None},
    "date": {"size": 3, "when": "yesterday"},
    "bool": {"size": 3, "on": "true"},
    "free": {"size": 3, "free": {"any": [1, {"thing": None}]}},
    "free wrong": {"size": 3, "free": "text"},
    "too many": {"size": 3, "tags": ["a", "b", "c", "d"]},
    "not a list": {"size": 3, "tags": "a"},
    "list of wrong": {"size": 3, "tags": ["a", 1]},
    "set twice": {"size": 3, "words": ["a", "a"]},
    "map values": {"size": 3, "limits": {"a": "1", "b": 2}},
    "key twice": {"size": 3, "parts": [{"name": "a"}, {"name": "a"}]},
    "no key": {"size": 3, "parts": [{"kind": "a"}]},
    "default in a list": {"size": 3, "parts": [{"name": "a"}]},
    "null in a list": {"size": 3, "parts": [None]},
    "several": {"size": "x", "color": "blue", "code": "A1", "tags": 3},
    "spec is a list": [],
    "spec is text": "x",
    "rule": {"size": 3, "low": 5, "high": 1},
    "unknown": {"size": 3, "extra": 1, "parts": [{"name": "a", "odd": 1}]},
}


async def custom(run: Run) -> None:
    path = run.path(WIDGETS)
    for label, spec in WIDGET_SPECS.items():
        await run(label, "POST", path, widget("x", spec), dryRun="All")
    for mode in ("Strict", "Warn", "Ignore"):
        await run(mode, "POST", path, widget("x", WIDGET_SPECS["unknown"]), dryRun="All",
                  fieldValidation=mode)  # fmt: skip
    await run("bad mode", "POST", path, widget("x"), fieldValidation="Perhaps")
    twice = (
        b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"x"},'
        b'"spec":{"size":1,"size":2}}'
    )
    for mode in ("Strict", "Warn"):
        await run(f"duplicate {mode}", "POST", path, twice, dryRun="All", fieldValidation=mode)
    unknown = {**widget("x"), "extra": 1}
    unknown["metadata"]["odd"] = "x"
    for mode in ("Strict", "Warn"):
        await run(f"outside of spec {mode}", "POST", path, unknown, dryRun="All",
                  fieldValidation=mode)  # fmt: skip
    await run("labels are text", "POST", path, widget("x", labels={"a": 1}), dryRun="All")
    await run("name", "POST", path, widget("Bad_Name"), dryRun="All")
    await run("metadata is text", "POST", path, {**widget("x"), "metadata": "x"}, dryRun="All")


PODS: dict[str, Any] = {
    "fine": pod("x"),
    "no containers": pod("x", containers=[]),
    "no image": pod("x", containers=[{"name": "c"}]),
    "no container name": pod("x", containers=[{"image": "i"}]),
    "bad container name": pod("x", containers=[container("A_B")]),
    "twice": pod("x", containers=[container("a"), container("a")]),
    "bad quantity": pod("x", containers=[container(resources={"limits": {"cpu": "much"}})]),
    "negative quantity": pod("x", containers=[container(resources={"limits": {"cpu": "-1"}})]),
    "request over limit": pod("x", containers=[container(
        resources={"limits": {"cpu": "1"}, "requests": {"cpu": "2"}})]),
    "restart policy": pod("x", restartPolicy="Perhaps"),
    "port": pod("x", containers=[container(ports=[{"containerPort": 70000}])]),
    "mount of nothing": pod("x", containers=[container(
        volumeMounts=[{"name": "v", "mountPath": "/v"}])]),
    "volume twice": pod("x", volumes=[
        {"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
    "volume without source": pod("x", volumes=[{"name": "v"}]),
    "volume of two sources": pod("x", volumes=[
        {"name": "v", "emptyDir": {}, "hostPath": {"path": "/a"}}]),
    "env without name": pod("x", containers=[container(env=[{"value": "1"}])]),
    "env of both": pod("x", containers=[container(env=[
        {"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}])]),
    "env number": pod("x", containers=[container(env=[{"name": "A", "value": 1}])]),
    "toleration": pod("x", tolerations=[{"operator": "Exists"}]),
    "toleration bad": pod("x", tolerations=[{"operator": "Maybe", "key": "a"}]),
    "node selector": pod("x", nodeSelector={"a b": "c"}),
    "probe": pod("x", containers=[container(livenessProbe={"httpGet": {"port": 80}})]),
    "probe without handler": pod("x", containers=[container(livenessProbe={})]),
    "grace": pod("x", terminationGracePeriodSeconds=-1),
    "pull policy": pod("x", containers=[container(imagePullPolicy="Sometimes")]),
    "unknown field": pod("x", colour="red"),
    "affinity": pod("x", affinity={"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}),
    "gpu": pod("x", containers=[container(resources={"limits": {"nvidia.com/gpu": 1}})]),
    "gpu fraction": pod("x", containers=[container(
        resources={"limits": {"nvidia.com/gpu": "0.5"}})]),
    "gpu request only": pod("x", containers=[container(
        resources={"requests": {"nvidia.com/gpu": "1"}})]),
    "init containers": pod("x", initContainers=[container("i")]),
}  # fmt: skip


async def pods(run: Run) -> None:
    for label, body in PODS.items():
        await run(label, "POST", run.path("pods"), body, dryRun="All")


async def others(run: Run) -> None:
    path = run.path(DEPLOYMENTS)
    await run("selector does not match", "POST", path, deployment(
        "x", selector={"matchLabels": {"a": "b"}}), dryRun="All")  # fmt: skip
    await run("no selector", "POST", path, deployment("x", selector=None), dryRun="All")
    await run("negative replicas", "POST", path, deployment("x", replicas=-1), dryRun="All")
    await run("text for replicas", "POST", path, deployment("x", replicas="1"), dryRun="All")
    await run("no template", "POST", path, deployment("x", template=None), dryRun="All")
    await run("no spec", "POST", path, {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}},
        dryRun="All")  # fmt: skip
    await run("strict", "POST", path, deployment("x", container(colour="red")), dryRun="All",
              fieldValidation="Strict")  # fmt: skip
    await run("warn", "POST", path, deployment("x", container(colour="red")), dryRun="All",
              fieldValidation="Warn")  # fmt: skip
    services = run.path("services")
    await run("no ports", "POST", services, service("x", ports=[]), dryRun="All")
    await run("port range", "POST", services, service("x", ports=[{"port": 0}]), dryRun="All")
    await run("type", "POST", services, service("x", type="Magic"), dryRun="All")
    await run("unnamed ports", "POST", services, service("x", ports=[{"port": 1}, {"port": 2}]),
              dryRun="All")  # fmt: skip
    await run("service name", "POST", services, service("1x"), dryRun="All")
    await run("big", "POST", run.path("configmaps"), config_map("x", {"a": "x" * (1 << 20) + "y"}),
              dryRun="All")  # fmt: skip
    await run("secret not base64", "POST", run.path("secrets"), {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "%%"}},
        dryRun="All")  # fmt: skip
    await run("a job without restart policy", "POST", run.path("batch/v1/jobs"), {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"},
        "spec": {"template": {"spec": pod("x")["spec"]}}}, dryRun="All")  # fmt: skip
    budget = "policy/v1/poddisruptionbudgets"
    await run("a budget of both", "POST", run.path(budget), {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"},
        "spec": {"minAvailable": 1, "maxUnavailable": 1}}, dryRun="All")  # fmt: skip


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def crd(name: str = "things.example.net", schema: Any = None, **spec: Any) -> dict[str, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema or {"type": "object"}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": "example.net",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [version],
            **spec,
        },
    }


async def definitions(run: Run) -> None:
    def props(**properties: Any) -> dict[str, Any]:
        return {"type": "object", "properties": properties}

    cases = {
        "fine": crd(),
        "name": crd("other.example.net"),
        "no names": crd(names={}),
        "scope": crd(scope="Galactic"),
        "no versions": crd(versions=[]),
        "no schema": crd(versions=[{"name": "v1", "served": True, "storage": True}]),
        "two storage": crd(versions=[
            {"name": v, "served": True, "storage": True,
             "schema": {"openAPIV3Schema": {"type": "object"}}} for v in ("v1", "v2")]),
        "no type": crd(schema=props(spec={"properties": {"a": {"type": "string"}}})),
        "bad default": crd(schema=props(spec={"type": "string", "default": 5})),
        "ref": crd(schema=props(spec={"$ref": "#/x"})),
        "list map without keys": crd(schema=props(
            spec={"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"})),
        "array without items": crd(schema=props(spec={"type": "array"})),
        "bad type": crd(schema=props(spec={"type": "thing"})),
        "bad pattern": crd(schema=props(spec={"type": "string", "pattern": "("})),
    }  # fmt: skip
    for label, body in cases.items():
        answer = await run.api.call("POST", CRDS, body, dryRun="All")
        causes = (answer.body.get("details") or {}).get("causes") or ()
        run.note(label, [answer.status, answer.body.get("reason"),
                         sorted({_place(c["field"]) for c in causes})])  # fmt: skip


def _place(field: str) -> str:
    """The real server speaks of the schema of a CRD's only version as if it were everybody's."""
    return field.replace("spec.validation.", "spec.versions[0].schema.")


async def namespaces(run: Run) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{run.namespace}-x"}}
    path = f"/api/v1/namespaces/{run.namespace}-x"
    await run("created", "POST", "/api/v1/namespaces", body)
    await run("bad name", "POST", "/api/v1/namespaces", {**body, "metadata": {"name": "a.b"}})
    inner = f"{path}/configmaps"
    await run.quiet("POST", inner, config_map("inside"))
    await run("deleted", "DELETE", path)
    await run("terminating", "GET", path)
    await run("no more content", "POST", inner, config_map("late"))
    await run("still reads", "GET", f"{inner}/inside")
    live = (await run.quiet("GET", path)).body
    live["spec"]["finalizers"] = []
    await run("finalized", "PUT", f"{path}/finalize", live)
    await run("gone", "GET", path)
    await run("default is protected", "DELETE", "/api/v1/namespaces/default", dryRun="All")
