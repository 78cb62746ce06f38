"""The four kinds of patches, server-side apply, and subresources."""

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
from tests.cluster.wire import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH

Object = dict[str, Any]


async def json_patch(run: Run) -> None:
    path = run.path("configmaps", "one")
    await run.quiet("POST", run.path("configmaps"), config_map("one", {"a": "1", "b.c": "2"}))
    cases: dict[str, Any] = {
        "add": [{"op": "add", "path": "/data/x", "value": "9"}],
        "replace": [{"op": "replace", "path": "/data/a", "value": "5"}],
        "replace missing": [{"op": "replace", "path": "/data/none", "value": "5"}],
        "remove": [{"op": "remove", "path": "/data/x"}],
        "remove missing": [{"op": "remove", "path": "/data/x"}],
        "test holds": [{"op": "test", "path": "/data/a", "value": "5"},
                       {"op": "add", "path": "/data/t", "value": "1"}],
        "test fails": [{"op": "test", "path": "/data/a", "value": "no"}],
        "copy": [{"op": "copy", "from": "/data/a", "path": "/data/copied"}],
        "move": [{"op": "move", "from": "/data/copied", "path": "/data/moved"}],
        "unknown op": [{"op": "jump", "path": "/data/a"}],
        "not a list": {"op": "add"},
        "not an object": ["x"],
        "no path": [{"op": "add", "value": "1"}],
        "bad value": [{"op": "add", "path": "/data/n", "value": 5}],
        "rename": [{"op": "replace", "path": "/metadata/name", "value": "two"}],
        "remove data": [{"op": "remove", "path": "/data"}],
        "nothing": [],
    }  # fmt: skip
    for label, ops in cases.items():
        await run(label, "PATCH", path, ops, media=JSON_PATCH)
    await run("missing", "PATCH", run.path("configmaps", "missing"), [], media=JSON_PATCH)


async def merge_patch(run: Run) -> None:
    path = run.path(WIDGETS, "one")
    spec = {"size": 3, "tags": ["a", "b"], "limits": {"x": "1", "y": "2"}}
    await run.quiet("POST", run.path(WIDGETS), widget("one", spec))
    cases: dict[str, Any] = {
        "set": {"spec": {"size": 4}},
        "null removes": {"spec": {"limits": {"x": None}}},
        "null brings the default back": {"spec": {"color": None}},
        "lists are replaced": {"spec": {"tags": ["z"]}},
        "required goes": {"spec": {"size": None}},
        "wrong type": {"spec": {"size": "big"}},
        "unknown field": {"spec": {"unknown": 1}},
        "status is left alone": {"status": {"phase": "x"}},
        "nothing": {},
        "a list": [],
        "a string": "x",
        "stale": {"metadata": {"resourceVersion": "1"}, "spec": {"size": 1}},
        "labels": {"metadata": {"labels": {"a": "b"}}},
        "spec null": {"spec": None},
        "no metadata": {"metadata": None},
    }
    for label, patch in cases.items():
        await run(label, "PATCH", path, patch, media=MERGE_PATCH)
    await run("strict", "PATCH", path, {"spec": {"unknown": 1}}, media=MERGE_PATCH,
              fieldValidation="Strict")  # fmt: skip
    await run("dry", "PATCH", path, {"spec": {"size": 9}}, media=MERGE_PATCH, dryRun="All")
    await run("force is for apply", "PATCH", path, {"spec": {"size": 9}}, media=MERGE_PATCH,
              force="true")  # fmt: skip
    await run("after", "GET", path)
    await run("missing", "PATCH", run.path(WIDGETS, "missing"), {}, media=MERGE_PATCH)
    await run("no such media", "PATCH", path, {}, media="application/json")


async def strategic_patch(run: Run) -> None:
    path = run.path(DEPLOYMENTS, "web")
    main = container("main", env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                     ports=[{"containerPort": 80, "name": "http"}])  # fmt: skip
    await run.quiet("POST", run.path(DEPLOYMENTS), deployment("web", main, container("side")))

    def spec(**pod_spec: Any) -> Object:
        return {"spec": {"template": {"spec": pod_spec}}}

    cases: dict[str, Any] = {
        "container by name": spec(containers=[{"name": "main", "image": "other:1"}]),
        "env by name": spec(containers=[{"name": "main", "env": [{"name": "C", "value": "3"}]}]),
        "env deleted": spec(containers=[
            {"name": "main", "env": [{"name": "A", "$patch": "delete"}]}]),
        "container added": spec(containers=[container("third")]),
        "container deleted": spec(containers=[{"name": "third", "$patch": "delete"}]),
        "order": spec(**{"$setElementOrder/containers": [{"name": "side"}, {"name": "main"}],
                         "containers": [{"name": "side"}, {"name": "main"}]}),
        "order differs": spec(**{
            "$setElementOrder/containers": [{"name": "side"}, {"name": "main"}],
            "containers": [{"name": "main"}, {"name": "side"}]}),
        "replace list": spec(containers=[container("only"), {"$patch": "replace"}]),
        "null": spec(terminationGracePeriodSeconds=None),
        "volumes retain keys": spec(volumes=[{"name": "v", "emptyDir": {}}]),
        "volume changes kind": spec(volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"],
                                              "hostPath": {"path": "/x"}}]),
        "strategy": {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
        "no merge key": spec(containers=[{"image": "x"}]),
        "bad directive": spec(containers=[{"name": "only", "$patch": "twist"}]),
        "wrong type": {"spec": {"replicas": "two"}},
        "nothing": {},
    }  # fmt: skip
    for label, patch in cases.items():
        await run(label, "PATCH", path, patch, media=STRATEGIC_PATCH)
    await run.quiet("POST", run.path("services"), service("web", ports=[
        {"name": "a", "port": 80}, {"name": "b", "port": 81}]))  # fmt: skip
    await run("ports by port", "PATCH", run.path("services", "web"),
              {"spec": {"ports": [{"port": 81, "targetPort": 8081}]}},
              media=STRATEGIC_PATCH)  # fmt: skip
    fin = config_map("fin", finalizers=["example.com/a", "example.com/b"])
    await run.quiet("POST", run.path("configmaps"), fin)
    await run("from a primitive list", "PATCH", run.path("configmaps", "fin"),
              {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}},
              media=STRATEGIC_PATCH)  # fmt: skip


async def apply(run: Run) -> None:
    path = run.path(WIDGETS, "one")

    async def send(label: str, manager: str, spec: Any, **more: Any) -> None:
        meta = more.pop("metadata", {})
        await run(label, "PATCH", path, widget("one", spec, **meta), media=APPLY_PATCH,
                  fieldManager=manager, **more)  # fmt: skip

    await send("created", "one", {"size": 3, "parts": [{"name": "x", "kind": "k"}]})
    await send("again", "one", {"size": 3, "parts": [{"name": "x", "kind": "k"}]})
    await send("another part", "two", {"parts": [{"name": "y", "weight": 2}]})
    await send("conflict", "two", {"size": 4, "parts": [{"name": "y", "weight": 2}]})
    await send("two conflicts", "two", {"size": 4, "parts": [{"name": "x", "kind": "other"}]})
    await send("shared value", "two", {"size": 3, "parts": [{"name": "y", "weight": 2}]})
    await send("forced", "two", {"size": 4, "parts": [{"name": "y", "weight": 2}]}, force="true")
    await send("given up", "one", {"parts": []})
    await send("set list", "one", {"words": ["a", "b"]})
    await send("set list of two", "two", {"size": 4, "words": ["b", "c"]})
    await send("leaves the set", "one", {})
    await send("duplicate in set", "one", {"words": ["a", "a"]})
    await send("duplicate key", "one", {"parts": [{"name": "d"}, {"name": "d"}]})
    await send("no key", "one", {"parts": [{"kind": "z"}]})
    await send("atomic map", "one", {"fixed": {"a": "1"}})
    await send("atomic map of two", "two", {"size": 4, "fixed": {"b": "1"}})
    await send("null", "two", {"size": 4, "note": None})
    await send("free form", "one", {"free": {"deep": {"list": [1, 2]}}})
    await send("label", "one", {}, metadata={"labels": {"l": "1"}})
    await send("required missing is fine here", "three", {"color": "green"}, force="true")
    await send("unknown", "one", {"unknown": 1})
    await send("unknown strict", "one", {"unknown": 1}, fieldValidation="Strict")
    await send("wrong type", "one", {"size": "big"}, force="true")
    await send("dry", "one", {"code": "abc"}, dryRun="All")
    await send("managed fields", "one", {}, metadata={"managedFields": [{"manager": "x"}]})
    await run("no manager", "PATCH", path, widget("one", {}), media=APPLY_PATCH)
    await run("other name", "PATCH", path, widget("two", {}), media=APPLY_PATCH, fieldManager="m")
    await run("no kind", "PATCH", path, {"spec": {}}, media=APPLY_PATCH, fieldManager="m")
    await run("no name in it", "PATCH", path,
              {"apiVersion": "example.com/v1", "kind": "Widget"},
              media=APPLY_PATCH, fieldManager="m")  # fmt: skip
    await run("required missing at creation", "PATCH", run.path(WIDGETS, "new"),
              widget("new", {"color": "red"}), media=APPLY_PATCH, fieldManager="m")  # fmt: skip
    await run("uid at creation", "PATCH", run.path(WIDGETS, "new"),
              widget("new", {"size": 1}, uid="0-0"), media=APPLY_PATCH,
              fieldManager="m")  # fmt: skip
    await run("not YAML", "PATCH", path, b"{a: [", media=APPLY_PATCH, fieldManager="m")
    await run("update takes over", "PATCH", path, {"spec": {"size": 7}}, media=MERGE_PATCH,
              fieldManager="upd")  # fmt: skip
    await send("conflict with an update", "two", {"size": 4})
    await run("stale", "PATCH", path, widget("one", {"size": 7}, resourceVersion="1"),
              media=APPLY_PATCH, fieldManager="two")  # fmt: skip
    await run("at the end", "GET", path)
    alone = run.path(WIDGETS, "alone")
    full = {"size": 1, "parts": [{"name": "x"}], "words": ["a"], "limits": {"a": "b"}}
    empty: Object = {"size": 1, "parts": [], "words": [], "limits": {}}
    for label, spec in (("full", full), ("gone", {"size": 1}), ("empty", empty),
                        ("full again", full), ("emptied", empty)):  # fmt: skip
        await run(f"alone {label}", "PATCH", alone, widget("alone", spec), media=APPLY_PATCH,
                  fieldManager="m")  # fmt: skip


async def apply_builtin(run: Run) -> None:
    path = run.path(DEPLOYMENTS, "web")

    async def send(label: str, manager: str, obj: Object, **more: Any) -> None:
        await run(label, "PATCH", path, obj, media=APPLY_PATCH, fieldManager=manager, **more)

    ports = [{"containerPort": 80}]
    main = container(env=[{"name": "A", "value": "1"}], ports=ports,
                     resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}})  # fmt: skip
    main["volumeMounts"] = []  # says nothing
    await send("created", "one", deployment("web", main, replicas=2))
    await send("again", "one", deployment("web", main, replicas=2))
    sidecar = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [container("side")]}}},
    }
    await send("side", "two", sidecar)
    await send("replicas conflict", "two", {**sidecar, "spec": {"replicas": 5}})
    await send("replicas forced", "two", {**sidecar, "spec": {"replicas": 5}}, force="true")
    main["env"] = [{"name": "B", "value": "2"}]
    await send("env replaced", "one", deployment("web", main))
    main["ports"] = [{"containerPort": 80, "protocol": "UDP"}, {"containerPort": 80}]
    await send("ports by port and protocol", "one", deployment("web", main))
    status: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "status": {"replicas": 2, "conditions": [{"type": "Available", "status": "True"}]},
    }
    await run("status", "PATCH", f"{path}/status", status, media=APPLY_PATCH,
              fieldManager="controller")  # fmt: skip
    await send("status is not here", "one", {**deployment("web", main), "status": {"replicas": 9}})
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    maps = run.path("configmaps", "c")
    for label, manager, values in (("a", "one", {"a": "1"}), ("b", "two", {"b": "2"}),
                                   ("a gone", "one", {})):  # fmt: skip
        await run(f"data {label}", "PATCH", maps, {**data, "data": values}, media=APPLY_PATCH,
                  fieldManager=manager)  # fmt: skip
    await run.quiet("POST", run.path("configmaps"), config_map("posted"), fieldManager="poster")
    await run("over a post", "PATCH", run.path("configmaps", "posted"),
              config_map("posted", {"a": "2"}), media=APPLY_PATCH, fieldManager="me")  # fmt: skip
    await run("over a post, forced", "PATCH", run.path("configmaps", "posted"),
              config_map("posted", {"a": "2"}), media=APPLY_PATCH, fieldManager="me",
              force="true")  # fmt: skip


async def subresources(run: Run) -> None:
    one = run.path(WIDGETS, "one")
    await run.quiet("POST", run.path(WIDGETS), widget("one", {"size": 3, "replicas": 2}))
    status = {"status": {"replicas": 2, "selector": "a=b", "phase": "up"}}
    await run("status patched", "PATCH", f"{one}/status", {**status, "spec": {"size": 9}},
              media=MERGE_PATCH)  # fmt: skip
    await run("status got", "GET", f"{one}/status")
    live = (await run.quiet("GET", one)).body
    live["status"]["phase"] = "down"
    live["spec"]["size"] = 8
    live["metadata"]["labels"] = {"through": "status"}
    await run("status put", "PUT", f"{one}/status", live)
    await run("status wrong", "PATCH", f"{one}/status", {"status": {"replicas": "x"}},
              media=MERGE_PATCH)  # fmt: skip
    await run("status applied", "PATCH", f"{one}/status",
              {**widget("one", {}), "status": {"phase": "applied"}},
              media=APPLY_PATCH, fieldManager="ctl", force="true")  # fmt: skip
    await run("scale got", "GET", f"{one}/scale")
    await run("scale patched", "PATCH", f"{one}/scale", {"spec": {"replicas": 5}},
              media=MERGE_PATCH)  # fmt: skip
    scale = (await run.quiet("GET", f"{one}/scale")).body
    scale["spec"]["replicas"] = 6
    await run("scale put", "PUT", f"{one}/scale", scale)
    await run("scale stale", "PUT", f"{one}/scale", scale)
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = -1
    await run("scale negative", "PUT", f"{one}/scale", scale)
    await run("scale wrong", "PATCH", f"{one}/scale", {"spec": {"replicas": "x"}},
              media=MERGE_PATCH)  # fmt: skip
    await run("scaled", "GET", one)
    web = run.path(DEPLOYMENTS, "web")
    await run.quiet("POST", run.path(DEPLOYMENTS), deployment("web", replicas=2))
    await run("deployment scale", "GET", f"{web}/scale")
    await run("deployment scaled", "PATCH", f"{web}/scale", {"spec": {"replicas": 4}},
              media=MERGE_PATCH)  # fmt: skip
    await run("deployment status", "PATCH", f"{web}/status", {"status": {"replicas": 4}},
              media=MERGE_PATCH)  # fmt: skip
    await run("deployment after", "GET", web)
    await run.quiet("POST", run.path("pods"), pod("p"))
    p = run.path("pods", "p")
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
               "target": {"apiVersion": "v1", "kind": "Node", "name": "n"}}  # fmt: skip
    await run("bound", "POST", f"{p}/binding", binding)
    await run("bound twice", "POST", f"{p}/binding", binding)
    await run("bound pod", "GET", p)
    await run("pod status", "PATCH", f"{p}/status",
              {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}},
              media=STRATEGIC_PATCH)  # fmt: skip
    await run("pod image", "PATCH", p, {"spec": {"containers": [{"name": "main", "image": "b:2"}]}},
              media=STRATEGIC_PATCH)  # fmt: skip
    await run("pod spec is fixed", "PATCH", p, {"spec": {"hostname": "h"}}, media=STRATEGIC_PATCH)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    await run("evicted", "POST", f"{p}/eviction", eviction)
