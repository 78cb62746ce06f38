"""What becomes of objects whose owner or namespace goes: the work of controllers in both homes.

Each scenario notes how things end, and waits for that end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tests.cluster.parity.objects import config_map
from tests.cluster.parity.run import Run
from tests.cluster.wire import MERGE_PATCH

SECONDS = 60.0
Object = dict[str, Any]


async def background(run: Run) -> None:
    """A chain of owners goes from the top."""
    top = await _make(run, "top")
    middle = await _make(run, "middle", [top])
    await _make(run, "bottom", [middle])
    await _delete(run, "top", "Background")
    await _until(run, [])
    await _note(run, "end")


async def orphans(run: Run) -> None:
    top = await _make(run, "top")
    await _make(run, "kept", [top])
    await _delete(run, "top", "Orphan")
    await _until(run, ["kept"])
    await _note(run, "end")


async def foreground(run: Run) -> None:
    """The owner waits for those that block its deletion, and those wait for their finalizers."""
    top = await _make(run, "top")
    await _make(run, "held", [top], finalizers=["example.com/hold"])
    await _make(run, "free", [top])
    await _delete(run, "top", "Foreground")
    await _until(run, ["held", "top"])
    await _note(run, "while it is held")
    held = run.path("configmaps", "held")
    await run.quiet("PATCH", held, {"metadata": {"finalizers": None}}, media=MERGE_PATCH)
    await _until(run, [])
    await _note(run, "end")


async def two_owners(run: Run) -> None:
    """Who has another owner stays."""
    one, two = await _make(run, "one"), await _make(run, "two")
    await _make(run, "child", [one, two])
    await _delete(run, "one", "Background")

    async def has_one_owner() -> bool:
        child = await run.api.call("GET", run.path("configmaps", "child"))
        return len(child.body["metadata"].get("ownerReferences") or ()) == 1

    await _wait(has_one_owner)
    await _note(run, "end")


async def owner_is_missing(run: Run) -> None:
    gone = await _make(run, "gone")
    await _delete(run, "gone", "Background")
    await _until(run, [])
    await _make(run, "late", [gone])
    await _until(run, [])
    await _note(run, "end")


async def namespace(run: Run) -> None:
    name = f"{run.namespace}-inner"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await run.quiet("POST", "/api/v1/namespaces", body)
    inner = Run(run.api, name)
    await _make(inner, "plain")
    await _make(inner, "held", finalizers=["example.com/hold"])
    path = f"/api/v1/namespaces/{name}"
    await run.quiet("DELETE", path)
    await _until(inner, ["held"])
    phase = (await run.quiet("GET", path)).body["status"]["phase"]
    run.note("phase while it is held", phase)
    held = inner.path("configmaps", "held")
    await run.quiet("PATCH", held, {"metadata": {"finalizers": None}}, media=MERGE_PATCH)

    async def is_gone() -> bool:
        return (await run.api.call("GET", path)).status == 404

    await _wait(is_gone)
    run.note("end", "gone")


async def _make(run: Run, name: str, owners: Iterable[Object] = (), **meta: Any) -> Object:
    references = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": True,
        }
        for owner in owners
    ]
    if references:
        meta["ownerReferences"] = references
    body = config_map(name, labels={"mine": "yes"}, **meta)
    return (await run.quiet("POST", run.path("configmaps"), body)).body  # type: ignore[no-any-return]


async def _delete(run: Run, name: str, policy: str) -> None:
    await run.quiet("DELETE", run.path("configmaps", name), {"propagationPolicy": policy})


async def _mine(run: Run) -> list[Object]:
    found = await run.quiet("GET", run.path("configmaps"), labelSelector="mine=yes")
    return sorted(found.body["items"], key=lambda o: str(o["metadata"]["name"]))


async def _note(run: Run, label: str) -> None:
    kept = ("name", "finalizers", "ownerReferences", "deletionTimestamp")
    metas = [{k: v for k, v in o["metadata"].items() if k in kept} for o in await _mine(run)]
    run.note(label, metas)


async def _until(run: Run, names: list[str]) -> None:
    async def are_those() -> bool:
        return [o["metadata"]["name"] for o in await _mine(run)] == names

    await _wait(are_those)


async def _wait(check: Any) -> None:
    async with asyncio.timeout(SECONDS):
        while not await check():
            await asyncio.sleep(0.1)
