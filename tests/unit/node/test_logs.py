"""Reading logs."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

from tests.waiting import eventually

from ome.standalone.node import logs


def line(number: int, flag: str = "F", text: str = "") -> str:
    return f"2026-01-01T00:00:{number:02d}.000000000Z stdout {flag} {text or f'n{number}'}\n"


async def collect(path: Path, **options: object) -> str:
    return b"".join([chunk async for chunk in logs.stream(path, **options)]).decode()  # type: ignore[arg-type]


async def test_a_log_is_read_across_its_rotated_files(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    (tmp_path / "0.log.2").write_text(line(1))
    (tmp_path / "0.log.1").write_text(line(2))
    path.write_text(line(3) + line(4))
    assert await collect(path) == "n1\nn2\nn3\nn4\n"
    assert await collect(path, tail=3) == "n2\nn3\nn4\n"
    assert await collect(path, tail=0) == ""
    assert await collect(path, limit_bytes=4) == "n1\nn"
    since = dt.datetime(2026, 1, 1, 0, 0, 3, tzinfo=dt.UTC)
    assert await collect(path, since=since) == "n3\nn4\n"
    assert (await collect(path, tail=1, timestamps=True)).startswith("2026-01-01T00:00:04.0")


async def test_pieces_of_a_long_line_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1, "P", "ab") + line(2, "F", "cd") + line(3))
    assert await collect(path) == "abcd\nn3\n"
    assert logs.last_text(path, 2) == "abcd\nn3"


async def test_a_half_written_line_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1) + line(2)[:-5])
    assert await collect(path) == "n1\n"
    assert await collect(path, tail=5) == "n1\n"


async def test_an_empty_or_missing_log_is_empty(tmp_path: Path) -> None:
    assert await collect(tmp_path / "none.log", tail=5) == ""
    (tmp_path / "0.log").touch()
    assert await collect(tmp_path / "0.log") == ""


async def test_following_goes_on_across_rotation_until_the_container_has_ended(
    tmp_path: Path,
) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1) + line(2))
    over = False
    seen: list[bytes] = []

    async def follow() -> None:
        async for chunk in logs.stream(path, follow=True, tail=1, finished=lambda: over):
            seen.append(chunk)

    async def until(count: int) -> None:
        await eventually(lambda: len(seen) >= count)

    task = asyncio.create_task(follow())
    await until(1)
    with path.open("a") as file:
        file.write(line(3))
    await until(2)
    with path.open("a") as file:
        file.write(line(4))
    path.rename(tmp_path / "0.log.1")
    path.write_text(line(5))
    await until(4)
    over = True
    await asyncio.wait_for(task, 5)
    assert b"".join(seen) == b"n2\nn3\nn4\nn5\n"


async def test_the_tail_of_a_large_log_is_found_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("".join(line(1, "F", f"{n} " + "x" * 100) for n in range(5000)))
    shown = (await collect(path, tail=1500)).splitlines()
    assert len(shown) == 1500
    assert shown[0].startswith("3500 ")
