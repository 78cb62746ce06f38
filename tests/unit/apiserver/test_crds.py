"""Custom resource definitions: what is taken, their rules, their end, over restarts too."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.unit.apiserver.home import CRDS, MERGE, WIDGETS, Home, crd, widget

from ome.standalone.apiserver import celrules


class FakeCel:
    """Stands for the package ``cel``: rules are Python expressions over dicts."""

    class Program:
        def __init__(self, rule: str) -> None:
            self._code = compile(rule, "rule", "eval")

        def execute(self, variables: dict[str, Any]) -> Any:
            try:
                return eval(self._code, {}, variables)
            except NameError as error:
                raise RuntimeError(f"Undefined variable or function: {error}") from error

    @staticmethod
    def compile(rule: str) -> FakeCel.Program:
        try:
            return FakeCel.Program(rule)
        except SyntaxError as error:
            raise ValueError(f"Failed to parse expression {rule!r}") from error


@pytest.fixture
def cel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package were installed."""
    module = ModuleType("cel")
    module.compile = FakeCel.compile
    monkeypatch.setattr(celrules, "available", lambda: True)
    monkeypatch.setitem(sys.modules, "cel", module)


def _crd_with_rules(*rules: dict[str, str]) -> dict[str, Any]:
    definition = crd()
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["x-kubernetes-validations"] = list(rules)
    return definition


@pytest.mark.usefixtures("cel")
async def test_rules_of_a_crd_are_checked_where_cel_is_installed(api: Home) -> None:
    definition = _crd_with_rules(
        {"rule": "self['count'] < 10", "message": "too many"},
        {"rule": "self['count'] >= oldSelf['count']", "message": "never fewer"},
        {"rule": "not a rule"},
        {"rule": "only_kubernetes_has_this(self)"},
    )
    made = await api("POST", CRDS, definition)
    assert any("is skipped" in text for text in made.warnings)
    refused = await api("POST", WIDGETS, widget("a", count=11))
    assert (refused.status, refused.body["details"]["causes"][0]["field"]) == (422, "spec")
    assert "too many" in refused.message
    await api.ok("POST", WIDGETS, widget("a", count=5))
    refused = await api("PATCH", f"{WIDGETS}/a", {"spec": {"count": 4}}, type=MERGE)
    assert "never fewer" in refused.message
    await api.ok("PATCH", f"{WIDGETS}/a", {"spec": {"count": 6}}, type=MERGE)


async def test_without_cel_the_writer_of_rules_is_warned(
    api: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(celrules, "available", lambda: False)
    made = await api("POST", CRDS, _crd_with_rules({"rule": "self.count < 10"}))
    assert made.status == 201
    assert "x-kubernetes-validations are not checked here" in made.warnings[0]
    await api.ok("POST", WIDGETS, widget("a", count=11))


async def test_a_crd_takes_its_objects_with_it_also_over_a_restart(tmp_path: Path) -> None:
    api = Home(tmp_path)
    await api.up()
    await api.ok("POST", CRDS, crd())
    held = widget("held")
    held["metadata"]["finalizers"] = ["x/y"]
    await api.ok("POST", WIDGETS, held)
    await api.ok("DELETE", f"{CRDS}/widgets.example.com")
    await api.down()
    await api.up()
    try:
        assert (await api("POST", WIDGETS, widget("late"))).status == 405
        await api.ok("PATCH", f"{WIDGETS}/held", {"metadata": {"finalizers": None}}, type=MERGE)
        async with asyncio.timeout(10):
            while (await api("GET", f"{CRDS}/widgets.example.com")).status != 404:
                await asyncio.sleep(0.01)
        assert (await api("GET", WIDGETS)).status == 404
    finally:
        await api.down()


async def test_a_crd_can_not_replace_a_built_in_kind(api: Home) -> None:
    body = crd()
    body["metadata"]["name"] = "deployments.apps"
    body["spec"] |= {"group": "apps", "names": {"plural": "deployments", "kind": "Deployment"}}
    answer = await api("POST", CRDS, body)
    assert answer.status == 422
    assert "is a built-in kind" in answer.message


async def test_large_crds_are_kept_whole(api: Home) -> None:
    """Above 64 kB equal parts of an object are one in memory; nobody may notice."""
    part = {"type": "object", "properties": {
        f"field{n}": {"type": "string", "description": "words " * 8, "default": str(n)}
        for n in range(100)}}  # fmt: skip
    definition = crd()
    version = definition["spec"]["versions"][0]
    parts = dict.fromkeys(("a", "b", "c", "d", "e", "f", "g", "h"), part)
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] = parts
    made = await api.ok("POST", CRDS, definition)
    assert made["spec"]["versions"][0]["schema"] == version["schema"]
    patch = {"metadata": {"labels": {"x": "y"}}}
    patched = await api.ok("PATCH", f"{CRDS}/widgets.example.com", patch, type=MERGE)
    assert patched["spec"] == made["spec"]
    live = await api.ok("POST", WIDGETS, widget("w", a={"field1": "own"}, b={}))
    assert live["spec"]["a"]["field1"] == "own"
    assert live["spec"]["b"]["field1"] == "1"
    assert len(live["spec"]["b"]) == 100


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": 5},  # no schema at all
        {"properties": {}},  # not a structural one
    ],
)
async def test_what_is_wrong_in_a_part_that_repeats_itself_is_told_of_every_place(
    api: Home, wrong: dict[str, Any]
) -> None:
    many = {f"f{n}": {"type": "string", "description": "words " * 8} for n in range(100)}
    part = {"type": "object", "properties": {**many, "deep": {**wrong, "description": "x"}}}
    definition = crd()
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    names = ("a", "b", "c", "d", "e", "f", "g", "h")
    schema["properties"]["spec"]["properties"] = dict.fromkeys(names, part)
    answer = await api("POST", CRDS, definition)
    assert answer.status == 422
    told = [cause["field"] for cause in answer.body["details"]["causes"]]
    assert len(told) == len(names), told
    for name in names:
        assert sum(f"[{name}]" in path or f".{name}." in path for path in told) == 1, told


@pytest.mark.usefixtures("cel")
async def test_rules_of_a_crd_hold_after_a_restart(tmp_path: Path) -> None:
    api = Home(tmp_path)
    await api.up()
    rule = {"rule": "self['count'] < 10", "message": "at most nine"}
    await api.ok("POST", CRDS, _crd_with_rules(rule))
    await api.down()
    await api.up()
    try:
        refused = await api("POST", WIDGETS, widget("many", count=10))
        assert refused.status == 422
        assert "at most nine" in refused.message
        assert (await api.ok("POST", WIDGETS, widget("few")))["spec"]["count"] == 1
    finally:
        await api.down()
