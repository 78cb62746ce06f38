"""Getting, listing, watching, and what the server says about itself."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.cluster.parity.objects import DEPLOYMENTS, WIDGETS, config_map, deployment, pod, widget
from tests.cluster.parity.run import Run
from tests.cluster.wire import MERGE_PATCH, TABLE

PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


async def _fill(run: Run, count: int = 5) -> None:
    for i in range(count):
        labels = {"all": "yes", "parity": "odd" if i % 2 else "even", "n": str(i)}
        await run.quiet("POST", run.path("configmaps"), config_map(f"m{i}", labels=labels))
        spec = {"size": i + 1, "color": "green" if i % 2 else "red"}
        await run.quiet("POST", run.path(WIDGETS), widget(f"w{i}", spec, labels=labels))


async def lists(run: Run) -> None:
    await _fill(run)
    maps, widgets = run.path("configmaps"), run.path(WIDGETS)
    for selector in (
        "all=yes",
        "parity=odd",
        "parity!=odd,all",
        "n in (1, 3)",
        "n notin (1,3),all",
        "!parity,all=yes",
        "n>2",
        "all==yes,n<2",
        "bad key=1",
        "a in",
        "=x",
    ):
        await run(f"labels {selector}", "GET", maps, labelSelector=selector)
    for selector in (
        "metadata.name=m1",
        "metadata.name!=m1",
        f"metadata.namespace={run.namespace},metadata.name=m2",
        "spec.nothing=1",
        "nonsense",
    ):
        await run(f"fields {selector}", "GET", maps, fieldSelector=selector, labelSelector="all")
    await run("selectable field", "GET", widgets, fieldSelector="spec.color=green")
    await run("not selectable", "GET", widgets, fieldSelector="spec.size=1")
    await run("negative limit", "GET", maps, limit="-1", labelSelector="all")
    await run("bad limit", "GET", maps, limit="many", labelSelector="all")
    await run("custom", "GET", widgets)
    await run("all namespaces", "GET", "/apis/example.com/v1/widgets", labelSelector="n=1",
              fieldSelector=f"metadata.namespace={run.namespace}")  # fmt: skip
    await run("empty", "GET", run.path("secrets"))
    await run("revision 0", "GET", widgets, resourceVersion="0")
    await run("not older than 0", "GET", widgets, resourceVersion="0",
              resourceVersionMatch="NotOlderThan")  # fmt: skip
    await run("match without revision", "GET", widgets, resourceVersionMatch="Exact")
    await run("exact 0", "GET", widgets, resourceVersion="0", resourceVersionMatch="Exact")
    await run("bad match", "GET", widgets, resourceVersion="1", resourceVersionMatch="Around")
    await run("bad revision", "GET", widgets, resourceVersion="abc")
    far = await run.api.call("GET", widgets, resourceVersion="99999999999")
    run.note("future", [far.status, far.body.get("reason"), far.body["details"]["causes"]])


async def pages(run: Run) -> None:
    await _fill(run)
    widgets = run.path(WIDGETS)
    page = await run("first", "GET", widgets, limit="2")
    token = page.body["metadata"]["continue"]
    await run.quiet("DELETE", run.path(WIDGETS, "w3"))
    page = await run("second shows the old moment", "GET", widgets,
                     **{"limit": "2", "continue": token})  # fmt: skip
    await run(
        "last", "GET", widgets, **{"limit": "2", "continue": page.body["metadata"]["continue"]}
    )
    await run("with selector", "GET", widgets, limit="1", labelSelector="parity=even")
    await run("bad token", "GET", widgets, **{"limit": "2", "continue": "nonsense"})
    await run("token with revision", "GET", widgets,
              **{"continue": token, "resourceVersion": "1"})  # fmt: skip


async def single(run: Run) -> None:
    await _fill(run, 1)
    await run("config map", "GET", run.path("configmaps", "m0"))
    await run("missing", "GET", run.path("configmaps", "nothing"))
    await run("missing widget", "GET", run.path(WIDGETS, "nothing"))
    await run("missing deployment", "GET", run.path(DEPLOYMENTS, "nothing"))
    await run("missing kind", "GET", run.path("nothings", "nothing"))
    await run("missing group", "GET", run.path("no.such/v1/nothings", "nothing"))
    await run("partial", "GET", run.path(WIDGETS, "w0"), accept=PARTIAL)
    await run("partial list", "GET", run.path(WIDGETS), accept=PARTIAL_LIST)
    await run("not acceptable", "GET", run.path(WIDGETS), accept="text/csv")
    await run("method", "POST", run.path("configmaps", "m0"), config_map("m0"))
    await run("method on a collection", "PUT", run.path("configmaps"), config_map("m0"))
    await run("no such subresource", "GET", run.path("configmaps", "m0", "status"))
    await run("root of nothing", "GET", "/apis/no.such/v1")
    await run("path of nothing", "GET", "/no/such/path")


def _brief(events: list[Any]) -> list[Any]:
    """Of each event what a client acts on."""
    brief = []
    for event in events:
        obj = event.get("object") or {}
        meta = obj.get("metadata") or {}
        brief.append(
            {
                "type": event.get("type"),
                "kind": obj.get("kind"),
                "apiVersion": obj.get("apiVersion"),
                "name": meta.get("name"),
                "annotations": meta.get("annotations"),
                "code": obj.get("code"),
                "reason": obj.get("reason"),
                "message": obj.get("message") if obj.get("kind") == "Status" else None,
                "fields": sorted(obj),
            }
        )
    return brief


async def watches(run: Run) -> None:
    widgets = run.path(WIDGETS)
    start = (await run.quiet("GET", widgets)).body["metadata"]["resourceVersion"]
    await run.quiet("POST", widgets, widget("a", labels={"in": "yes"}))
    await run.quiet("POST", widgets, widget("b"))
    a = run.path(WIDGETS, "a")
    await run.quiet("PATCH", a, {"spec": {"size": 4}}, media=MERGE_PATCH)
    await run.quiet("PATCH", a, {"metadata": {"labels": {"in": "no"}}}, media=MERGE_PATCH)
    await run.quiet("PATCH", a, {"metadata": {"labels": {"in": "yes"}}}, media=MERGE_PATCH)
    await run.quiet("DELETE", run.path(WIDGETS, "b"))
    await run.quiet("DELETE", a)

    async def events(label: str, count: int, **query: str) -> None:
        run.note(label, _brief(await run.api.watch(widgets, count=count, seconds=2, **query)))

    await events("from a revision", 7, resourceVersion=start)
    await events("by label", 5, resourceVersion=start, labelSelector="in=yes")
    await events("by name", 2, resourceVersion=start, fieldSelector="metadata.name=b")
    await events(
        "by field", 5, resourceVersion=start, fieldSelector="spec.color=red,metadata.name=a"
    )
    await run.quiet("POST", widgets, widget("c"))
    await events("from now on, with what is there", 1)
    await events("from 0", 1, resourceVersion="0")
    await events("initial events", 2, sendInitialEvents="true", allowWatchBookmarks="true",
                 resourceVersionMatch="NotOlderThan")  # fmt: skip
    await events("initial events need a match", 1, sendInitialEvents="true")
    await events("initial events need bookmarks", 1, sendInitialEvents="true",
                 resourceVersionMatch="NotOlderThan")  # fmt: skip
    await events("match alone", 1, resourceVersionMatch="NotOlderThan", resourceVersion="0")
    await events("bad revision", 1, resourceVersion="abc")
    await events("partial", 1, resourceVersion=start, limit="1")
    one = await run.api.call("GET", run.path(WIDGETS, "c"), watch="true", timeoutSeconds="1")
    run.note("watch of one", [one.status, one.body.get("kind") if one.ok else None])


async def live_watch(run: Run) -> None:
    """Events come while the watch is open, and it ends when its time is over."""
    widgets = run.path(WIDGETS)
    task = asyncio.create_task(run.api.watch(widgets, count=3, seconds=4))
    await asyncio.sleep(0)
    await run.quiet("POST", widgets, widget("live"))
    path = run.path(WIDGETS, "live")
    await run.quiet("PATCH", f"{path}/status", {"status": {"phase": "on"}}, media=MERGE_PATCH)
    await run.quiet("DELETE", path)
    events = await task
    run.note("events", [e["type"] for e in events][-1:])
    ended = await run.api.watch(widgets, count=1, seconds=1, labelSelector="none=here")
    run.note("ended quietly", ended)


async def tables(run: Run) -> None:
    await _fill(run, 2)
    await run.quiet("POST", run.path(DEPLOYMENTS), deployment("web", replicas=2))
    await run.quiet("POST", run.path("pods"), pod("p"))

    async def table(label: str, path: str, **query: str) -> None:
        answer = await run.api.call("GET", path, accept=TABLE, **query)
        body = answer.body
        columns = [
            {k: v for k, v in c.items() if k != "description"}
            for c in body.get("columnDefinitions") or ()
        ]
        rows = body.get("rows") or []
        run.note(label, {
            "status": answer.status, "kind": body.get("kind"), "columns": columns,
            "cells": [_ageless(columns, r["cells"]) for r in rows],
            "objects": [(r.get("object") or {}).get("kind") for r in rows],
        })  # fmt: skip

    await table("widgets", run.path(WIDGETS))
    await table("one widget", run.path(WIDGETS, "w0"))
    await table("services of OME", "/apis/ome.io/v1beta1/inferenceservices")
    await table("config maps", run.path("configmaps"), labelSelector="all")
    await table("deployments", run.path(DEPLOYMENTS))
    await table("pods", run.path("pods"))
    await table("whole objects", run.path(WIDGETS), includeObject="Object")
    await table("no objects", run.path(WIDGETS), includeObject="None")


def _ageless(columns: list[Any], cells: list[Any]) -> list[Any]:
    ages = {i for i, c in enumerate(columns) if c.get("name") == "Age"}
    return ["<age>" if i in ages else cell for i, cell in enumerate(cells)]


async def discovery(run: Run) -> None:
    listed = (await run.quiet("GET", "/apis/example.com/v1")).body
    run.note("custom group", _by_name(listed))
    run.note("ome", _by_name((await run.quiet("GET", "/apis/ome.io/v1beta1")).body))
    for path in ("/api/v1", "/apis/apps/v1", "/apis/batch/v1", "/apis/coordination.k8s.io/v1"):
        run.note(path, _by_name((await run.quiet("GET", path)).body))
    await run("group", "GET", "/apis/example.com")
    groups = (await run.quiet("GET", "/apis")).body["groups"]
    run.note("groups", sorted(g["name"] for g in groups))
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    answer = await run.quiet("GET", "/apis", accept=aggregated)
    run.note("aggregated media", answer.media)
    item = next(i for i in answer.body["items"] if i["metadata"]["name"] == "example.com")
    run.note("aggregated", item)
    version = await run.quiet("GET", "/version")
    run.note("version fields", sorted(set(version.body) & {"major", "minor", "gitVersion"}))
    for path in ("/healthz", "/livez", "/readyz"):
        await run(path, "GET", path)
    await run("openapi v2", "HEAD", "/openapi/v2")


def _by_name(listing: Any) -> Any:
    return {
        r["name"]: {k: v for k, v in r.items() if k != "storageVersionHash"}
        for r in listing["resources"]
    }


async def openapi(run: Run) -> None:
    """What kubectl needs of OpenAPI v3."""
    index = await run.api.call("GET", "/openapi/v3")
    run.note("index", index.status)
    paths = index.body.get("paths", {}) if index.ok else {}
    for group in ("api/v1", "apis/apps/v1", "apis/example.com/v1", "apis/ome.io/v1beta1"):
        run.note(f"{group} is listed", group in paths)
    if "apis/example.com/v1" not in paths:
        return
    url = paths["apis/example.com/v1"]["serverRelativeURL"].partition("?")[0]
    document = (await run.quiet("GET", url)).body
    path = "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"
    patch = document["paths"][path]["patch"]
    run.note("gvk", patch["x-kubernetes-group-version-kind"])
    run.note("parameters", sorted({p["name"] for p in patch["parameters"]} & {
        "dryRun", "fieldManager", "fieldValidation", "force"}))  # fmt: skip
    schemas = document["components"]["schemas"]
    (schema,) = (s for n, s in schemas.items() if n.endswith(".Widget"))
    run.note("spec", schema["properties"]["spec"])
