"""The small parts of the transfer: ranges, journal, pace, publication, redaction."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.storage import errors, journal, manifest, publish
from ome.storage.local import check_local
from ome.storage.meter import Meter
from ome.storage.pace import Backoff, Bandwidth, Concurrency
from ome.storage.ranges import Ranges
from ome.storage.source import FileEntry, safe_relative

FILES = [FileEntry("a", 100, "x" * 64), FileEntry("b", 50)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=20))
def test_ranges_are_a_set_of_numbers(pairs: list[tuple[int, int]]) -> None:
    ranges, model = Ranges(), set[int]()
    for start, end in pairs:
        ranges.add(start, end)
        model |= set(range(start, end))
    assert ranges.total() == len(model)
    missing = {n for start, end in ranges.missing(60) for n in range(start, end)}
    assert missing == set(range(60)) - model
    assert ranges.prefix() == next(n for n in range(62) if n not in model)
    found = list(ranges)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))


def made(path: Path, files: list[FileEntry] = FILES) -> journal.Journal:
    return journal.Journal(path, journal.identity("u", "r", files), len(files))


def test_a_journal_is_read_back_even_when_its_last_line_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = made(path)
    first.record(0, 0, 40)
    first.record(1, 10, 20)
    first.reset(1)
    first.close()
    path.write_bytes(path.read_bytes() + b"[0, 40, 9")
    again = made(path)
    assert again.resumed
    assert list(again.done[0]) == [(0, 40)] and again.done[1].total() == 0
    again.close()


def test_a_journal_of_other_files_does_not_count(tmp_path: Path) -> None:
    first = made(tmp_path / "journal")
    first.record(0, 0, 40)
    first.close()
    other = made(tmp_path / "journal", [FileEntry("a", 101), FILES[1]])
    assert not other.resumed and other.done[0].total() == 0
    other.close()


def test_after_a_power_cut_only_what_was_flushed_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(tmp_path / "journal")
    first.record(0, 0, 40)
    mark = first.mark()
    first.record(0, 40, 60)
    first.flushed(mark)
    first.record(0, 60, 80)
    first.close()
    monkeypatch.setattr(journal, "boot_id", lambda: "another boot")
    again = made(tmp_path / "journal")
    assert again.resumed and list(again.done[0]) == [(0, 40)]
    again.close()


def test_pauses_grow_with_jitter_up_to_a_cap_and_respect_a_wish() -> None:
    backoff = Backoff(1.0, 8.0, random.Random(1))
    waits = [backoff.next() for _ in range(6)]
    for wait, ceiling in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert ceiling / 2 <= wait <= ceiling
    assert backoff.next(asked=60) == 60
    backoff.reset()
    assert backoff.next() <= 1


async def test_bandwidth_without_a_limit_never_waits() -> None:
    await asyncio.wait_for(Bandwidth(None, lambda: 0.0).take(10**12), 1)


def test_concurrency_climbs_while_it_pays_and_halves_when_asked() -> None:
    now = [0.0]
    concurrency = Concurrency(lambda: now[0], start=2, highest=8, period=1.0)
    for rate in (10, 20, 30):
        now[0] += 1
        concurrency.arrived(rate)
    assert concurrency.limit == 5
    now[0] += 1
    concurrency.arrived(30)
    assert concurrency.limit == 4
    concurrency.slow_down(3.0)
    assert concurrency.limit == 2


def test_progress_knows_rate_time_left_and_stalls() -> None:
    now = [100.0]
    meter = Meter(lambda: now[0])
    meter.begin("downloading")
    meter.total_bytes = 1000
    for _ in range(4):
        now[0] += 1
        meter.arrived(100)
    seen = meter.snapshot()
    assert seen.rate == pytest.approx(100)
    assert seen.eta_seconds == pytest.approx(6)
    assert seen.stalled_since is None
    now[0] += 30
    assert meter.snapshot().stalled_since == 104.0
    assert meter.snapshot().eta_seconds is None


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize("atomic", [True, False])
def test_publication_replaces_the_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    if not atomic:
        monkeypatch.setattr(publish, "exchange", lambda *_: False)
    target = folder(tmp_path / "m", old="1", both="1")
    publish.publish(folder(tmp_path / "t", new="2", both="2"), target)
    assert {p.name: p.read_text() for p in target.iterdir()} == {"new": "2", "both": "2"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_crash_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    folder(tmp_path / ".m.old-12345678", old="1")
    publish.recover(tmp_path / "m")
    assert (tmp_path / "m" / "old").read_text() == "1"


def test_what_a_pod_may_have_mounted_can_be_kept(tmp_path: Path) -> None:
    target = folder(tmp_path / "m", old="1")
    publish.publish(folder(tmp_path / "t", new="2"), target, keep_replaced=True)
    (kept,) = publish.siblings(target, "trash")
    assert (kept / "old").read_text() == "1"


def test_removal_does_not_follow_links(tmp_path: Path) -> None:
    precious = folder(tmp_path / "precious", file="x")
    (tmp_path / "m").symlink_to(precious)
    assert publish.remove_published(tmp_path / "m")
    assert (precious / "file").exists() and not (tmp_path / "m").is_symlink()


def test_very_long_names_still_have_siblings(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250)
    for role in ("partial", "trash"):
        publish.sibling(target, role, "12345678").mkdir()
        assert publish.siblings(target, role)
    with publish.lock(target), pytest.raises(errors.Busy), publish.lock(target):
        pass


def test_a_manifest_is_read_back_and_a_changed_size_shows(tmp_path: Path) -> None:
    target = folder(tmp_path / "m", a="12345")
    written = manifest.Manifest("hf://x:y@h/z", "r", (FileEntry("a", 5, "ab"),))
    manifest.write(target, written)
    found = manifest.read(target)
    assert found is not None and found.files == written.files
    assert manifest.matches(target, found.files)
    (target / "a").write_text("1234")
    assert not manifest.matches(target, found.files)
    (target / manifest.MANIFEST_NAME).write_text(json.dumps({"version": 1}))
    assert manifest.read(target) is None


@pytest.mark.parametrize(
    "name", ["", "/a", "../a", "a/../b", "a//b", "./a", "a\\b", "a\0", ".ome-manifest.json", "a/."]
)
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(errors.UnsafeName):
        safe_relative(name)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://user:hunter2@host/x failed", "hunter2"),
        ("https://cdn/x?X-Amz-Signature=abcdef123 gave 403", "abcdef123"),
        ("token hf_abcdefghijkl is wrong", "hf_abcdefghijkl"),
        ("Authorization: Bearer abcdefgh12", "abcdefgh12"),
        ("password=hunter2hunter", "hunter2hunter"),
    ],
)
def test_secrets_are_taken_out_of_texts(text: str, secret: str) -> None:
    assert secret not in errors.redact(text)


def test_local_folders_are_checked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, words in (("absent", "does not exist"), ("file", "is a file"), ("empty", "empty")):
        with pytest.raises(errors.StorageError, match=words) as caught:
            check_local(tmp_path / name, f"local://{tmp_path / name}")
        assert caught.value.remedy
    assert check_local(folder(tmp_path / "ok", a="1"), "local://ok") == tmp_path / "ok"


def test_reserving_space_really_takes_it(tmp_path: Path) -> None:
    from ome.storage import disk

    path = tmp_path / "f"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    disk.reserve(descriptor, 3_000_000, path)
    os.close(descriptor)
    assert path.stat().st_size == 3_000_000
