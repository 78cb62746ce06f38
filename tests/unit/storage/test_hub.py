"""Downloads from a hub: whole, verified, resumed, and clear about what went wrong."""

from __future__ import annotations

import asyncio
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.hub import FakeHub, Repository
from tests.unit.storage.conftest import (
    FAST,
    MIB,
    contents,
    eventually,
    leftovers,
    model_files,
    source_of,
)

from ome.storage import errors, manifest
from ome.storage.hf import open_hub
from ome.storage.meter import Progress
from ome.storage.source import SourceSpec
from ome.storage.transfer import download


async def test_a_repository_arrives_whole_and_pinned_to_its_commit(
    hub: FakeHub, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    found = await download(
        source_of(hub), tmp_path / "m" / "model", options=FAST, report=seen.append
    )
    assert contents(tmp_path / "m" / "model") == hub.repositories["org/model"].files
    assert leftovers(tmp_path / "m") == []
    assert found.revision == hub.repositories["org/model"].commit
    assert manifest.read(tmp_path / "m" / "model") == found
    assert all(f.sha256 for f in found.files)
    assert hub.requests["tree"] == 2  # two pages
    assert hub.authorized_content == 0
    assert seen[-1].completed_bytes == seen[-1].total_bytes == found.size
    assert seen[-1].completed_files == 5


async def test_a_second_download_of_the_same_commit_fetches_nothing(
    hub: FakeHub, tmp_path: Path
) -> None:
    await download(source_of(hub), tmp_path / "model", options=FAST)
    sent = hub.sent
    again = await download(source_of(hub), tmp_path / "model", options=FAST)
    assert hub.sent == sent
    assert again == manifest.read(tmp_path / "model")


async def test_the_signed_link_of_a_file_is_asked_for_once_and_again_when_it_expired(
    hub: FakeHub, tmp_path: Path
) -> None:
    source = source_of(hub)
    files = {f.path: f for f in await source.list()}
    entry = files["model-00001-of-00002.safetensors"]
    for start in (0, 1000):
        assert b"".join([p async for p in source.read(entry, start, start + 1000)])
    assert hub.requests["resolve"] == 1
    hub.expire_links = 1
    assert b"".join([p async for p in source.read(entry, 2000, 3000)])
    assert hub.requests["resolve"] == 2
    await source.close()


async def test_cut_connections_go_on_where_they_stopped(hub: FakeHub, tmp_path: Path) -> None:
    hub.cut_after = [200_000, 70_000, 0, 500_000]
    await download(source_of(hub), tmp_path / "model", options=FAST)
    assert contents(tmp_path / "model") == hub.repositories["org/model"].files
    total = sum(len(d) for d in hub.repositories["org/model"].files.values())
    assert hub.sent < total + 2 * 65536


@pytest.mark.parametrize("status", [429, 503, 500, 408])
async def test_a_busy_hub_is_waited_for(hub: FakeHub, tmp_path: Path, status: int) -> None:
    hub.fail_with = [(status, {"Retry-After": "0"})] * 3
    await download(source_of(hub), tmp_path / "model", options=FAST)
    assert contents(tmp_path / "model") == hub.repositories["org/model"].files


async def test_a_hub_that_stays_busy_ends_the_attempt_and_keeps_what_came(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.fail_with = [(503, {})] * 1000
    with pytest.raises(errors.ServerFailed) as caught:
        await download(source_of(hub), tmp_path / "model", options=FAST)
    assert caught.value.retryable
    assert not (tmp_path / "model").exists()


async def test_wrong_bytes_are_noticed_and_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.wrong_bytes = 1
    await download(source_of(hub), tmp_path / "model", options=FAST)
    assert contents(tmp_path / "model") == hub.repositories["org/model"].files


async def test_bytes_that_stay_wrong_are_an_error_that_names_the_file(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.wrong_bytes = 10_000
    with pytest.raises(errors.CorruptDownload, match="arrived damaged: its"):
        await download(source_of(hub), tmp_path / "model", options=FAST)
    assert not (tmp_path / "model").exists()


async def test_a_server_without_ranges_is_read_in_order(hub: FakeHub, tmp_path: Path) -> None:
    hub.ignore_ranges = True
    await download(source_of(hub), tmp_path / "model", options=FAST)
    assert contents(tmp_path / "model") == hub.repositories["org/model"].files


async def test_a_file_that_grew_since_it_was_listed_is_not_accepted(
    hub: FakeHub, tmp_path: Path
) -> None:
    source = source_of(hub)
    real = source.list

    async def list_then_grow() -> object:
        found = await real()
        files = hub.repositories["org/model"].files
        files["model-00002-of-00002.safetensors"] += b"more"
        return found

    source.list = list_then_grow  # type: ignore[method-assign, assignment]
    with pytest.raises(errors.SourceChanged, match="changed at the source"):
        await download(source, tmp_path / "model", options=FAST)
    assert not (tmp_path / "model").exists()


async def test_too_many_bytes_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.extra_bytes = 7
    with pytest.raises(errors.SourceChanged, match="more than"):
        await download(source_of(hub), tmp_path / "model", options=FAST)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("name", "revision", "error", "words"),
    [
        ("org/absent", "main", errors.SourceNotFound, "no model org/absent"),
        ("org/model", "v9", errors.SourceNotFound, "no revision 'v9'"),
        ("org/gated", "main", errors.Gated, "is gated"),
        ("org/private", "main", errors.SourceNotFound, "without a token"),
        ("not a name", "main", errors.InvalidLocation, "not the name of a repository"),
    ],
)
async def test_what_can_not_be_had_is_said_precisely_and_leaves_nothing(
    hub: FakeHub,
    tmp_path: Path,
    name: str,
    revision: str,
    error: type[errors.StorageError],
    words: str,
) -> None:
    hub.repositories["org/gated"] = Repository(model_files(), gated=True)
    hub.repositories["org/private"] = Repository(model_files(), private=True)
    with pytest.raises(error, match=words) as caught:
        await download(source_of(hub, name, revision=revision), tmp_path / "model", options=FAST)
    assert not caught.value.retryable
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "hf-home"])


async def test_a_token_opens_a_gated_repository_and_never_reaches_the_content_network(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.repositories["org/gated"] = Repository(model_files(), gated=True)
    await download(source_of(hub, "org/gated", token=hub.token), tmp_path / "m", options=FAST)
    assert hub.authorized_content == 0
    assert hub.token not in (tmp_path / "m" / ".ome-manifest.json").read_text()


async def test_a_wrong_token_is_told_from_a_missing_one(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/private"] = Repository(model_files(), private=True)
    with pytest.raises(errors.AccessDenied, match="refuses the token"):
        await download(
            source_of(hub, "org/private", token="hf_wrongtoken"), tmp_path / "m", options=FAST
        )


async def test_no_network_is_said_with_the_host(hub: FakeHub, tmp_path: Path) -> None:
    source = source_of(hub)
    await hub.stop()
    with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1") as caught:
        await download(source, tmp_path / "m", options=FAST)
    assert caught.value.retryable
    assert leftovers(tmp_path) == []


async def test_without_network_what_is_published_from_here_is_good_enough(
    hub: FakeHub, tmp_path: Path
) -> None:
    first = await download(source_of(hub), tmp_path / "m", options=FAST)
    await hub.stop()
    assert await download(source_of(hub), tmp_path / "m", options=FAST) == first


async def test_patterns_choose_files(hub: FakeHub, tmp_path: Path) -> None:
    chosen = replace(FAST, include=("*.json", "*.safetensors"), exclude=("*-00002-of-*",))
    await download(source_of(hub), tmp_path / "m", options=chosen)
    assert sorted(contents(tmp_path / "m")) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "tokenizer/tokenizer.json",
    ]


async def test_a_folder_of_a_repository_is_published_without_its_prefix(
    hub: FakeHub, tmp_path: Path
) -> None:
    await download(source_of(hub, folder="tokenizer"), tmp_path / "m", options=FAST)
    assert list(contents(tmp_path / "m")) == ["tokenizer.json"]


async def test_a_new_commit_replaces_the_old_one_and_fetches_only_what_differs(
    hub: FakeHub, tmp_path: Path
) -> None:
    await download(source_of(hub), tmp_path / "m", options=FAST)
    repository = hub.repositories["org/model"]
    files = {**repository.files, "config.json": b'{"model_type": "qwen2"}'}
    hub.repositories["org/model"] = Repository(files, commit="d00d" * 10)
    hub.sent = 0
    await download(source_of(hub), tmp_path / "m", options=FAST)
    assert contents(tmp_path / "m") == files
    assert hub.sent < MIB
    assert leftovers(tmp_path) == []


async def test_the_same_files_under_another_name_are_linked_not_fetched(
    hub: FakeHub, tmp_path: Path
) -> None:
    await download(source_of(hub), tmp_path / "one", options=FAST)
    hub.sent = 0
    await download(source_of(hub), tmp_path / "two", options=FAST, reuse=[tmp_path / "one"])
    assert hub.sent == 0
    name = "model-00001-of-00002.safetensors"
    assert (tmp_path / "one" / name).samefile(tmp_path / "two" / name)


async def test_a_damaged_link_is_replaced_without_touching_where_it_came_from(
    hub: FakeHub, tmp_path: Path
) -> None:
    await download(source_of(hub), tmp_path / "one", options=FAST)
    name = "model-00002-of-00002.safetensors"
    damaged = b"!" * MIB
    (tmp_path / "one" / name).write_bytes(damaged)
    await download(source_of(hub), tmp_path / "two", options=FAST, reuse=[tmp_path / "one"])
    assert contents(tmp_path / "two") == hub.repositories["org/model"].files
    assert (tmp_path / "one" / name).read_bytes() == damaged


async def test_files_that_someone_else_downloaded_are_adopted_in_place(
    hub: FakeHub, tmp_path: Path
) -> None:
    for path, data in hub.repositories["org/model"].files.items():
        (tmp_path / "m" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / path).write_bytes(data)
    inode = (tmp_path / "m").stat().st_ino
    await download(source_of(hub), tmp_path / "m", options=FAST)
    assert hub.sent == 0
    assert (tmp_path / "m").stat().st_ino == inode
    assert manifest.read(tmp_path / "m") is not None
    assert leftovers(tmp_path) == []


async def test_a_folder_of_someone_else_is_never_replaced(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("precious")
    with pytest.raises(errors.DestinationOccupied, match="did not download"):
        await download(source_of(hub), tmp_path / "m", options=FAST)
    assert contents(tmp_path / "m") == {"thesis.txt": b"precious"}
    assert leftovers(tmp_path) == []


async def test_a_model_inside_another_model_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    await download(source_of(hub), tmp_path / "m", options=FAST)
    with pytest.raises(errors.DestinationOccupied, match="lies inside"):
        await download(source_of(hub), tmp_path / "m" / "inner", options=FAST)


async def test_names_that_leave_the_folder_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/evil"] = Repository({"../outside": b"x"})
    with pytest.raises(errors.UnsafeName, match="would leave"):
        await download(source_of(hub, "org/evil"), tmp_path / "m", options=FAST)
    assert not (tmp_path / "outside").exists()


async def test_a_full_disk_shows_before_the_first_byte(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stats = namedtuple("stats", "f_bavail f_frsize f_blocks")(3, MIB, 100)
    monkeypatch.setattr("os.statvfs", lambda _: stats)
    with pytest.raises(errors.NotEnoughDisk, match=r"needs 6\.\d MiB .*free 3\.0 MiB") as caught:
        await download(source_of(hub), tmp_path / "m", options=FAST)
    assert "free some space" in caught.value.remedy
    assert hub.sent == 0
    assert leftovers(tmp_path) == []


async def test_what_inspection_refuses_is_not_published(hub: FakeHub, tmp_path: Path) -> None:
    class BrokenError(Exception):
        pass

    def inspect(folder: Path) -> None:
        assert (folder / "config.json").exists()
        raise BrokenError

    with pytest.raises(BrokenError):
        await download(source_of(hub), tmp_path / "m", options=FAST, inspect=inspect)
    assert not (tmp_path / "m").exists()
    assert leftovers(tmp_path) == []


async def test_a_cancelled_download_goes_on_later_with_less_than_a_chunk_fetched_again(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.seconds_per_piece = 0.01
    task = asyncio.create_task(download(source_of(hub), tmp_path / "m", options=FAST))
    await eventually(lambda: hub.sent >= 2 * MIB)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (tmp_path / "m").exists()
    hub.seconds_per_piece = 0
    before = hub.sent
    await download(source_of(hub), tmp_path / "m", options=FAST)
    assert contents(tmp_path / "m") == hub.repositories["org/model"].files
    total = sum(len(d) for d in hub.repositories["org/model"].files.values())
    assert hub.sent - before < total - MIB


async def test_a_second_process_on_the_same_name_is_told_to_wait(
    hub: FakeHub, tmp_path: Path
) -> None:
    from ome.storage import publish

    with publish.lock(tmp_path / "m"), pytest.raises(errors.Busy):
        await download(source_of(hub), tmp_path / "m", options=FAST)


async def test_the_bandwidth_limit_holds(hub: FakeHub, tmp_path: Path) -> None:
    limited = replace(FAST, bandwidth=8 * MIB)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await download(source_of(hub), tmp_path / "m", options=limited)
    assert loop.time() - began > 0.4


def test_an_endpoint_from_the_model_never_sees_this_machines_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_machine")
    spec = SourceSpec("hf", "hf://a/b", "a/b", parameters={"endpoint": "http://elsewhere"})

    async def check() -> None:
        source = open_hub(spec)
        assert source._token is None and not source._ambient
        await source.close()

    asyncio.run(check())
