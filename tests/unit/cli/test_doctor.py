"""``ome doctor``: each check against the real thing, or a program that fails as it would."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Ome

from ome.cli import doctor
from ome.cli.doctor import Finding, State
from ome.cli.home import Home


def pretend_python(
    monkeypatch: pytest.MonkeyPatch, folder: Path, said: str, end: str = "exit 1"
) -> None:
    """A Python that says something and ends."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\necho "{said}"\n{end}\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip configured for an index that nobody serves."""
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://somebody:secret@127.0.0.1:9/simple")


def is_stuck(finding: Finding, *words: str) -> None:
    assert finding.state is State.PROBLEM
    assert finding.remedy
    for word in words:
        assert word in f"{finding.found} {finding.remedy}"


def test_findings_come_as_a_table_and_as_json(
    ome: Ome, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_index(monkeypatch, tmp_path)
    answer = ome("doctor")
    assert answer.out.startswith("CHECK")
    found = {f["check"]: f for f in json.loads(ome("doctor", "-o", "json").out)}
    assert found["python"]["state"] == found["data folder"]["state"] == "ok"
    assert found["package index"]["state"] == "note"
    broken = [name for name, f in found.items() if f["state"] == "problem"]
    assert answer.status == (1 if broken else 0), broken


def test_a_problem_is_a_failure_with_its_remedy(ome: Ome, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = ome("doctor", "--data", tmp_path / "file" / "data")
    assert answer.status == 1
    assert f"{tmp_path}/file is not a folder" in answer.out
    assert "data folder: Choose another with --data DIR" in answer.out
    assert list(tmp_path.iterdir()) == [tmp_path / "file"], "a look changes nothing"


def test_a_data_folder_that_others_can_read_is_noted(home: Home) -> None:
    assert doctor.check_data(home).state is State.OK
    home.root.chmod(0o755)
    assert doctor.check_data(home).state is State.NOTE
    assert "will be made" in doctor.check_data(Home(home.root / "new" / "er")).found


def test_a_running_ome_is_named_and_holds_its_own_ports(home: Home) -> None:
    with home.take():
        home.write_state({"gateway": "http://127.0.0.1:1", "api": "https://127.0.0.1:2"})
        assert "OME is running" in doctor.check_data(home).found
        ports = doctor.check_ports(home)
    assert ports.state is State.OK
    assert "http://127.0.0.1:1" in ports.found


def test_ports_that_others_hold_are_noted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(doctor, "GATEWAY_PORT", other.getsockname()[1])
        finding = doctor.check_ports(home)
    assert finding.state is State.NOTE
    assert str(doctor.GATEWAY_PORT) in finding.found
    assert "--gateway-port" in finding.remedy


def test_too_little_disk_is_a_problem(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_DISK", 1 << 62)
    is_stuck(doctor.check_disk(home), "free for models", "--data DIR")


@pytest.mark.parametrize(
    ("system", "state"), [("Linux", State.OK), ("Darwin", State.NOTE), ("Windows", State.PROBLEM)]
)
def test_systems_are_supported_tolerated_or_not(home: Home, system: str, state: State) -> None:
    assert doctor.check_system(home, system).state is state


@pytest.mark.parametrize(
    ("said", "end", "words"),
    [
        ("ModuleNotFoundError: No module named 'xllamacpp'", "exit 1", "open-model-engine[local]"),
        ("ImportError: wrong ELF class", "exit 1", "wrong ELF class"),
        ("", "kill -ILL $$", "not for this CPU"),
    ],
)
def test_an_engine_that_can_not_be_loaded_is_a_problem(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    end: str,
    words: str,
) -> None:
    pretend_python(monkeypatch, tmp_path, said, end)
    is_stuck(doctor.check_engine(home), words)


def test_an_engine_that_never_answers_ends_the_check(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_python(monkeypatch, tmp_path, "", "exec sleep 60")
    monkeypatch.setattr(doctor, "ENGINE_SECONDS", 0.1)
    is_stuck(doctor.check_engine(home), "no answer within")


def test_an_index_out_of_reach_is_noted_without_its_credentials(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_index(monkeypatch, tmp_path)
    finding = doctor.check_index(home)
    assert finding.state is State.NOTE
    assert "secret" not in finding.found
    assert "pip config" in finding.remedy


def test_a_python_without_pip_is_noted(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_python(monkeypatch, tmp_path, "python: No module named pip")
    assert "has no pip" in doctor.check_index(home).found


@pytest.mark.parametrize(("code", "state"), [(0, State.OK), (1, State.NOTE)])
def test_a_container_runtime_counts_only_if_it_answers(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, state: State
) -> None:
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\necho no engine\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = doctor.check_containers(home)
    assert finding.state is state
    assert "podman" in finding.found
