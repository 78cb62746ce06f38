"""Choosing and diagnosing model files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ome.standalone.engines.gguf import ModelFileError, choose, diagnose, quick_check
from ome.standalone.engines.llamacpp import check_address, parser


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf(data: int = 128, *, version: int = 3) -> bytes:
    """A model with one F32 tensor of 32 elements, and ``data`` bytes of it."""
    header = b"GGUF" + struct.pack("<IQQ", version, 1, 3)
    header += text("general.architecture") + struct.pack("<I", 8) + text("llama")
    header += text("general.alignment") + struct.pack("<II", 4, 64)
    header += text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    header += text("w") + struct.pack("<IQIQ", 1, 32, 0, 0)
    return header.ljust(-(-len(header) // 64) * 64, b"\0") + b"\0" * data


def test_a_sound_file_has_nothing_to_diagnose(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf())
    quick_check(path)
    assert diagnose(path) is None


def test_a_file_that_was_cut_off_says_how_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf(100))
    assert "is cut off: its header promises" in (diagnose(path) or "")
    path.write_bytes(gguf()[:40])
    assert "damaged within its header" in (diagnose(path) or "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\3\4....", "is not a GGUF file"),
        (b"version https://git-lfs", "Git LFS pointer"),
        (b"GGUF" + struct.pack("<I", 99), "unknown version"),
    ],
)
def test_what_is_no_model_is_told_from_its_first_bytes(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=words):
        quick_check(path)


def test_damage_never_raises_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    sound = gguf()
    for position in range(8, 200):
        for value in (0, 255):
            broken = bytearray(sound)
            broken[position] = value
            path.write_bytes(broken)
            diagnose(path)


def test_a_folder_must_hold_exactly_one_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        choose(tmp_path / "no")
    with pytest.raises(ModelFileError, match=r"holds no \.gguf file"):
        choose(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.gguf").touch()
    (tmp_path / "mmproj-a.gguf").touch()
    assert choose(tmp_path) == tmp_path / "sub" / "a.gguf"
    (tmp_path / "b.gguf").touch()
    with pytest.raises(ModelFileError, match=r"holds 2 .gguf models \(b.gguf, sub/a.gguf\)"):
        choose(tmp_path)


def test_a_split_model_is_one_and_must_be_complete(tmp_path: Path) -> None:
    for part in (1, 2):
        (tmp_path / f"m-0000{part}-of-00003.gguf").touch()
    with pytest.raises(ModelFileError, match="lacks 1 of 3 parts of the model, first m-00003"):
        choose(tmp_path)
    (tmp_path / "m-00003-of-00003.gguf").touch()
    assert choose(tmp_path).name == "m-00001-of-00003.gguf"
    assert choose(tmp_path / "m-00002-of-00003.gguf").name == "m-00001-of-00003.gguf"


def test_the_address_is_checked_and_the_pods_own_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert check_address("127.0.0.1", 0) is None
    assert "cannot listen on 192.0.2.1:80" in (check_address("192.0.2.1", 80) or "")
    monkeypatch.setenv("POD_IP", "127.64.0.9")
    assert parser().parse_args(["--model", "m"]).host == "127.64.0.9"
    with pytest.raises(SystemExit):
        parser().parse_args(["--model", "m", "--port", "99999"])
