"""Lists: pages of one moment, selectors, versions, forms."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.apiserver.home import CORE, Home, config_map

from ome.standalone.apiserver import listing

MAPS = f"{CORE}/configmaps"


@pytest.fixture
async def seven(api: Home) -> Home:
    for number in range(7):
        labels = {"odd": str(number % 2 == 1).lower()}
        await api.ok("POST", MAPS, config_map(f"c{number}", labels))
    return api


def names(body: Any) -> list[str]:
    return [item["metadata"]["name"] for item in body["items"]]


async def test_pages_show_the_moment_of_the_first_one(seven: Home) -> None:
    first = await seven.ok("GET", f"{MAPS}?limit=3")
    assert names(first) == ["c0", "c1", "c2"]
    assert first["metadata"]["remainingItemCount"] == 4
    await seven.ok("DELETE", f"{MAPS}/c4")
    await seven.ok("POST", MAPS, config_map("c31"))
    second = await seven.ok("GET", f"{MAPS}?limit=3&continue={first['metadata']['continue']}")
    assert names(second) == ["c3", "c4", "c5"]
    third = await seven.ok("GET", f"{MAPS}?limit=3&continue={second['metadata']['continue']}")
    assert names(third) == ["c6"]
    assert "continue" not in third["metadata"]
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1
    assert names(await seven.ok("GET", MAPS)) == ["c0", "c1", "c2", "c3", "c31", "c5", "c6"]


async def test_a_forgotten_snapshot_is_expired_with_a_way_on(
    seven: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await seven.ok("GET", f"{MAPS}?limit=3")
    monkeypatch.setattr(listing, "SNAPSHOTS", 0)
    answer = await seven("GET", f"{MAPS}?limit=3&continue={first['metadata']['continue']}")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")
    fresh = answer.body["metadata"]["continue"]
    assert names(await seven.ok("GET", f"{MAPS}?continue={fresh}")) == ["c3", "c4", "c5", "c6"]


async def test_pages_of_a_selection(seven: Home) -> None:
    first = await seven.ok("GET", f"{MAPS}?limit=2&labelSelector=odd%3Dtrue")
    assert names(first) == ["c1", "c3"]
    token = first["metadata"]["continue"]
    rest = await seven.ok("GET", f"{MAPS}?limit=2&labelSelector=odd%3Dtrue&continue={token}")
    assert names(rest) == ["c5"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("continue=nonsense", 400),
        ("continue=WzFd", 400),
        ("limit=-1", 200),
        ("limit=many", 400),
        ("labelSelector=a%3D%3D%3Db", 400),
        ("fieldSelector=data.k%3Dv", 400),
        ("resourceVersion=abc", 400),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=5&resourceVersionMatch=Sometimes", 422),
        ("resourceVersion=999999", 504),
        ("resourceVersion=1&resourceVersionMatch=Exact", 410),
        ("resourceVersion=0", 200),
        ("resourceVersion=1&resourceVersionMatch=NotOlderThan", 200),
        ("watch=perhaps", 400),
    ],
)
async def test_questions_that_make_no_sense_are_refused(
    seven: Home, query: str, status: int
) -> None:
    assert (await seven("GET", f"{MAPS}?{query}")).status == status


async def test_field_selectors_find_by_name_and_namespace(seven: Home) -> None:
    found = await seven.ok("GET", "/api/v1/configmaps?fieldSelector=metadata.name%3Dc2")
    assert names(found) == ["c2"]
    found = await seven.ok("GET", "/api/v1/configmaps?fieldSelector=metadata.namespace%3Dome")
    assert names(found) == []
    found = await seven.ok("GET", f"{MAPS}?fieldSelector=metadata.name!%3Dc2&limit=2")
    assert names(found) == ["c0", "c1"]


async def test_answers_come_in_the_form_that_was_asked_for(seven: Home) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = await seven.ok("GET", f"{MAPS}?limit=2", accept=accept)
    assert table["kind"] == "Table"
    assert [row["cells"][0] for row in table["rows"]] == ["c0", "c1"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["metadata"]["continue"]
    whole = await seven.ok("GET", f"{MAPS}/c0?includeObject=Object", accept=accept)
    assert whole["rows"][0]["object"]["kind"] == "ConfigMap"
    assert (await seven("GET", f"{MAPS}?includeObject=x", accept=accept)).status == 400
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    listed = await seven.ok("GET", MAPS, accept=accept)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in listed["items"])
    yaml = await seven("GET", f"{MAPS}/c0", accept="application/yaml")
    assert b"name: c0" in yaml.body
    assert (await seven("GET", MAPS, accept="text/html")).status == 406
