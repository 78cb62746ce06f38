"""What the store keeps, in what order it shows it, and what it does with a file it can't use."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ome.standalone.apiserver import Limits, Store, StoreCorrupt, StoreError, StoreLocked
from ome.standalone.apiserver.store import Compacted, Entry, Stale

B = "g/things"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    made = Store.open(path, Limits(log_rows=40, ring_rows=10))
    yield made
    made.close()


async def put(store: Store, name: str, data: bytes = b"{}", expected: int = 0) -> int:
    entry = Entry.of("", name, store.next_revision(), data)
    return (await store.write(B, entry, expected=expected)).rv


async def drop(store: Store, name: str, expected: int) -> int:
    entry = Entry.of("", name, store.next_revision(), b"{}")
    return (await store.write(B, entry, expected=expected, delete=True)).rv


async def test_what_was_written_is_there_after_opening_again(store: Store, path: Path) -> None:
    first = await put(store, "a", b"1")
    second = await put(store, "a", b"2", first)
    await put(store, "b")
    last = await drop(store, "b", second + 1)
    store.close()
    again = Store.open(path)
    try:
        found = again.get(B, "", "a")
        assert found is not None
        assert (found.data, found.rv) == (b"2", second)
        assert again.get(B, "", "b") is None
        assert again.revision == last
        assert again.next_revision() == last + 1
        assert [e.rv for e in await again.changes(B, first)] == [second, second + 1, last]
    finally:
        again.close()


async def test_large_objects_are_kept_small_and_read_as_they_were(store: Store, path: Path) -> None:
    data = b'{"a":[' + b'{"name":"x"},' * 20_000 + b"{}]}"
    revision = await put(store, "a", data)
    for opened in (store, None):
        if opened is None:
            store.close()
            opened = Store.open(path)
        found = opened.get(B, "", "a")
        assert found is not None and found.data == data and len(found.kept) < len(data) / 20
        [event] = await opened.changes(B, revision - 1)
        assert event.entry.data == data
    opened.close()


async def test_a_write_on_an_old_revision_is_stale(store: Store) -> None:
    first = await put(store, "a")
    await put(store, "a", expected=first)
    for expected in (0, first):
        with pytest.raises(Stale):
            await put(store, "a", expected=expected)
    with pytest.raises(Stale):
        await drop(store, "missing", 7)


async def test_a_write_on_its_way_makes_others_stale_but_is_not_visible(store: Store) -> None:
    entry = Entry.of("", "a", store.next_revision(), b"{}")
    done = store.write(B, entry, expected=0)
    with pytest.raises(Stale):
        store.write(B, Entry.of("", "a", store.next_revision(), b"{}"), expected=0)
    assert store.get(B, "", "a") is None
    await done
    assert store.get(B, "", "a") is not None


async def test_concurrent_writes_become_visible_in_the_order_of_revisions(store: Store) -> None:
    names = [f"n{n:02}" for n in range(30)]
    await asyncio.gather(*(put(store, name) for name in names))
    seen = []
    after = 0
    while events := await store.changes(B, after):
        seen += [e.entry.name for e in events]
        after = events[-1].rv
    assert seen == names
    assert [e.name for e in store.select(B)] == names


async def test_changes_are_read_from_disk_where_memory_does_not_reach(store: Store) -> None:
    first = await put(store, "a")
    rv = first
    for _ in range(30):
        rv = await put(store, "a", expected=rv)
    events = await store.changes(B, first)
    assert [e.rv for e in events] == list(range(first + 1, rv + 1))
    assert len(store.bucket(B).ring) == 10


async def test_changes_beyond_the_window_are_compacted(store: Store) -> None:
    first = rv = await put(store, "a")
    for _ in range(100):
        rv = await put(store, "a", expected=rv)
    async with asyncio.timeout(10):
        while store.compacted < rv - 60:
            await asyncio.sleep(0.005)
    with pytest.raises(Compacted):
        await store.changes(B, first)
    assert (await store.changes(B, rv - 20))[0].rv == rv - 19


async def test_the_log_is_bounded_in_bytes_and_keeps_the_newest_revision(path: Path) -> None:
    store = Store.open(path, Limits(log_bytes=1000))
    rv = 0
    for _ in range(20):
        rv = await put(store, "a", b"x" * 400, rv)
    store.close()
    with sqlite3.connect(path) as db:
        (size, newest) = db.execute("SELECT sum(length(data)), max(rv) FROM log").fetchone()
    db.close()
    assert size <= 1250
    assert newest == rv


async def test_select_gives_one_namespace_sorted(store: Store) -> None:
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y"), ("ab", "w"), ("a-b", "v")):
        await store.write(B, Entry.of(namespace, name, store.next_revision(), b"{}"), expected=0)
    assert [(e.namespace, e.name) for e in store.select(B, "a")] == [("a", "y"), ("a", "z")]
    assert len(store.select(B)) == 5


async def test_a_second_process_is_told_who_has_the_store(store: Store, path: Path) -> None:
    with pytest.raises(StoreLocked, match=r"is in use by process \d+; stop it first"):
        Store.open(path)


async def test_the_file_is_for_its_owner_only(store: Store, path: Path) -> None:
    await put(store, "a")
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


async def test_a_file_that_is_not_a_store_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, and it is long enough to be looked at" * 40)
    with pytest.raises(StoreCorrupt, match="is damaged"):
        Store.open(path)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (a)")
    db.close()
    with pytest.raises(StoreCorrupt, match="is not an OME store"):
        Store.open(path)


async def test_a_damaged_store_is_refused_and_left_alone(path: Path) -> None:
    store = Store.open(path)
    for number in range(200):
        await put(store, f"n{number}", b"y" * 2000)
    store.close()
    whole = bytearray(path.read_bytes())
    for at in range(8192, len(whole), 4096):
        whole[at : at + 64] = b"\xff" * 64
    path.write_bytes(whole)
    with pytest.raises(StoreCorrupt, match="Move it away"):
        Store.open(path)
    assert path.read_bytes() == whole


async def test_a_store_of_a_newer_version_is_refused(store: Store, path: Path) -> None:
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="written by a newer OME"):
        Store.open(path)


async def test_a_full_disk_refuses_the_write_and_leaves_the_rest(store: Store) -> None:
    kept = await put(store, "a")
    store._disk._db.execute("PRAGMA max_page_count = 1")  # SQLite's own way to run out of space
    with pytest.raises(StoreError, match="did not take the write"):
        await put(store, "b", b"z" * 4_000_000)
    assert store.get(B, "", "b") is None
    store._disk._db.execute("PRAGMA max_page_count = 1000000")
    assert await put(store, "a", expected=kept) > kept


async def test_a_closed_store_takes_no_writes(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreError):
        await put(store, "a")
