"""What a chosen accelerator class changes in a component's container and pod."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ome.apimachinery.objects import Object
from ome.rendering.env import set_env

_TENSOR = ("--tp-size", "--tp", "--tensor-parallel-size")
_PIPELINE = ("--pp-size", "--pp", "--pipeline-parallel-size")
_DATA = ("--dp-size", "--dp", "--data-parallel-size")


def into_runner(
    runner: Object, accelerator: Object, overrides: Mapping[str, Any], *, resources: bool
) -> None:
    """Environment, resources and arguments. ``resources`` is False where the user set them.

    A resource that the runtime already counts keeps the runtime's count: the class says what one
    accelerator is, the runtime how many of them its engine needs.
    """
    for name, value in sorted((overrides.get("environmentOverride") or {}).items()):
        set_env(runner, name, str(value))
    if resources:
        _resources(runner, accelerator)
    args = overrides.get("runtimeArgsOverride")
    if args:
        runner["args"] = merged_args(runner.get("args") or [], args)
    parallel = overrides.get("tensorParallelismOverride") or {}
    for key, flags in (
        ("tensorParallelSize", _TENSOR),
        ("pipelineParallelSize", _PIPELINE),
        ("dataParallelSize", _DATA),
    ):
        if parallel.get(key):
            _set_flag(runner, flags, str(parallel[key]))


def _resources(runner: Object, accelerator: Object) -> None:
    for item in (accelerator.get("spec") or {}).get("resources") or ():
        holder = runner.setdefault("resources", {})
        for side in ("requests", "limits"):
            amounts = dict(holder.get(side) or {})
            amounts.setdefault(item["name"], item.get("quantity") or "1")
            holder[side] = amounts


def node_selector(selector: dict[str, str], accelerator: Object) -> None:
    discovery = (accelerator.get("spec") or {}).get("discovery") or {}
    selector.update(discovery.get("nodeSelector") or {})


def affinity(pod: Object, accelerator: Object, own: Mapping[str, Any]) -> None:
    """The class's affinity, unless the service itself gives one."""
    discovery = (accelerator.get("spec") or {}).get("discovery") or {}
    if discovery.get("affinity") and own.get("affinity") is None:
        pod["affinity"] = discovery["affinity"]


# --- arguments ----------------------------------------------------------------------------------


def merged_args(base: Sequence[str], override: Sequence[str]) -> list[str]:
    """``override`` laid over ``base`` flag by flag; a shell script of one item stays one item."""
    if not base:
        return list(override)
    if len(base) == 1 and ("\n" in base[0] or "\\" in base[0]):
        lines = [line.strip().rstrip("\\").strip() for line in base[0].split("\n")]
        merged = merged_args([line for line in lines if line], override)
        return [" \\\n".join(merged)]
    ours, theirs = _groups(base), _groups(override)
    replaced = dict(theirs)
    result = [item for key, items in ours for item in replaced.pop(key, items)]
    return result + [item for key, items in theirs if key in replaced for item in items]


def _groups(args: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Flags with their values: ``--k=v``, ``--k v`` in one item or two, ``--k`` alone."""
    found: list[tuple[str, list[str]]] = []
    index = 0
    while index < len(args):
        item = args[index]
        index += 1
        if not item.startswith("-"):
            found.append((item, [item]))
            continue
        key = re.split(r"[=\s]", item, maxsplit=1)[0]
        group = [item]
        if key == item and index < len(args) and not args[index].startswith("-"):
            group.append(args[index])
            index += 1
        found.append((key, group))
    return found


def _set_flag(runner: Object, flags: Sequence[str], value: str) -> None:
    """Changes the first of these flags that is there; never adds one."""
    for holder in ("args", "command"):
        items = list(runner.get(holder) or ())
        for flag in flags:
            if _replace_flag(items, flag, value):
                runner[holder] = items
                return


def _replace_flag(items: list[str], flag: str, value: str) -> bool:
    pattern = re.compile(rf"(?<![\w-]){re.escape(flag)}(=|\s+)\d+")
    for index, item in enumerate(items):
        if item == flag and index + 1 < len(items):
            items[index + 1] = value
            return True
        if pattern.search(item):
            items[index] = pattern.sub(lambda found: f"{flag}{found[1][:1]}{value}", item, count=1)
            return True
    return False
