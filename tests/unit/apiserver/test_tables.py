"""Columns: paths, ages, and the words of the built-in printers."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from ome.standalone.apiserver import tables
from ome.standalone.apiserver.durations import human, since
from ome.standalone.apiserver.jsonpath import PathError, compile_path, find
from ome.standalone.apiserver.kinds import BUILTIN, Column, Kind
from ome.standalone.apiserver.printers_workloads import pod_status

OBJECT = {
    "metadata": {"name": "n", "labels": {"a.b/c": "dotted"}},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "count": 3},
            {"type": "Live", "status": "False"},
        ],
        "list": ["x", "y", "z"],
        "flag": True,
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["n"]),
        ("{.metadata.name}", ["n"]),
        ("metadata.name", ["n"]),
        ("$.metadata.name", ["n"]),
        (".metadata.missing", []),
        (r".metadata.labels.a\.b/c", ["dotted"]),
        (".metadata.labels['a.b/c']", ["dotted"]),
        ('.metadata.labels["a.b/c"]', ["dotted"]),
        (".status.list[0]", ["x"]),
        (".status.list[-1]", ["z"]),
        (".status.list[9]", []),
        (".status.list[*]", ["x", "y", "z"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Live')].status", ["False"]),
        ('.status.conditions[?(@.type!="Ready")].type', ["Live"]),
        (".status.conditions[?(@.count==3)].type", ["Ready"]),
        (".status.conditions[*].type", ["Ready", "Live"]),
        (".status.conditions[", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    assert find(OBJECT, path) == found


@pytest.mark.parametrize("path", [".a[", ".a[?(@.b>1)]", "..a", ".a[1:2]"])
def test_paths_that_columns_can_not_use(path: str) -> None:
    with pytest.raises(PathError):
        compile_path(path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"),
        (600, "10m"), (3 * 3600, "3h"), (3 * 3600 + 120, "3h2m"), (10 * 3600, "10h"),
        (50 * 3600, "2d2h"), (9 * 86400, "9d"), (800 * 86400, "2y70d"), (4000 * 86400, "10y"),
    ],
)  # fmt: skip
def test_ages(seconds: int, text: str) -> None:
    assert human(seconds) == text


def test_ages_of_what_is_no_time() -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    assert since("2025-12-31T23:59:00Z", now) == "60s"
    assert since(None) == "<unknown>"
    assert since("yesterday") == "<invalid>"


def test_cells_have_the_type_of_their_column() -> None:
    columns = [
        (Column("a", "string", ".metadata.name"), "n"),
        (Column("a", "string", ".status.list[*]"), "x y z"),
        (Column("a", "string", ".status.flag"), "true"),
        (Column("a", "string", ".metadata.labels"), '{"a.b/c":"dotted"}'),
        (Column("a", "integer", '.status.conditions[?(@.type=="Ready")].count'), 3),
        (Column("a", "integer", ".metadata.name"), None),
        (Column("a", "boolean", ".status.flag"), True),
        (Column("a", "date", ".metadata.name"), "<invalid>"),
        (Column("a", "date", ".metadata.missing"), None),
    ]
    for column, cell in columns:
        assert tables._cell(column, OBJECT) == cell


def pod(status: dict[str, Any], spec: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", **meta}, "spec": spec or {}, "status": status}


def state(**of: Any) -> dict[str, Any]:
    return {"name": "c", "state": of, "ready": "running" in of}


INIT = {"initContainers": [{"name": "c"}]}


@pytest.mark.parametrize(
    ("obj", "word"),
    [
        (pod({"phase": "Pending"}), "Pending"),
        (pod({}), "Unknown"),
        (pod({"phase": "Failed", "reason": "Evicted"}), "Evicted"),
        (pod({"phase": "Running", "containerStatuses": [state(running={})]}), "Running"),
        (pod({"phase": "Running",
              "containerStatuses": [state(waiting={"reason": "CrashLoopBackOff"})]}),
         "CrashLoopBackOff"),
        (pod({"phase": "Failed",
              "containerStatuses": [state(terminated={"exitCode": 3})]}), "ExitCode:3"),
        (pod({"phase": "Failed",
              "containerStatuses": [state(terminated={"exitCode": 1, "signal": 9})]}), "Signal:9"),
        (pod({"phase": "Running", "containerStatuses": [
            state(running={}), state(terminated={"reason": "Completed"})]}), "NotReady"),
        (pod({"phase": "Pending", "initContainerStatuses": [state(running={})]}, INIT), "Init:0/1"),
        (pod({"phase": "Pending",
              "initContainerStatuses": [state(waiting={"reason": "ErrImagePull"})]}, INIT),
         "Init:ErrImagePull"),
        (pod({"phase": "Pending",
              "initContainerStatuses": [state(terminated={"exitCode": 2})]}, INIT),
         "Init:ExitCode:2"),
        (pod({"phase": "Running"}, deletionTimestamp="x"), "Terminating"),
    ],
)  # fmt: skip
def test_the_word_for_a_pod(obj: dict[str, Any], word: str) -> None:
    assert pod_status(obj) == word


@pytest.mark.parametrize("kind", BUILTIN, ids=lambda k: k.resource.kind)
def test_every_built_in_kind_can_be_shown_when_it_is_nearly_empty(kind: Kind) -> None:
    printer = tables.printer_for(kind)
    obj = {"metadata": {"name": "n", "creationTimestamp": "2020-01-01T00:00:00Z"}}
    table = tables.table(printer, [obj], {})
    cells = table["rows"][0]["cells"]
    assert len(cells) == len(table["columnDefinitions"])
    assert "n" in cells
