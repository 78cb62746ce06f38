"""``ome doctor``: each check against the real thing, or a program that fails as it would."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Ome, Server

from ome.apimachinery.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, LEASES
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


def cluster_findings(ome: Ome, home: Home) -> dict[str, dict[str, str]]:
    """The checks of a cluster, against the API server of the home."""
    from ome.cli import clusterdoctor
    from ome.cli.api import Api, LocalTransport

    api = Api(LocalTransport(home.socket), "default", local=True)
    try:
        return {f.check: f.as_dict() for f in clusterdoctor.examine(api, "ome")}
    finally:
        api.close()


def config_map(**data: str) -> dict[str, object]:
    meta = {"name": "inferenceservice-config", "namespace": "ome"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def test_a_cluster_without_an_operator_is_told_what_is_missing(
    ome: Ome, home: Home, server: Server
) -> None:
    found = cluster_findings(ome, home)
    assert found["API server"]["state"] == "ok"
    assert found["CRDs"]["state"] != "problem", found["CRDs"]
    assert found["operator"]["state"] == "problem"
    assert "no operator has ever led in namespace ome" in found["operator"]["found"]
    assert "MutatingWebhookConfiguration" in found["webhooks"]["found"]
    assert found["configuration"]["state"] == "note"
    assert "KEDA" in found["other projects"]["found"]


def test_a_leader_that_went_silent_is_a_problem(ome: Ome, home: Home, server: Server) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "ome-controller-manager-leader-lock", "namespace": "ome"},
        "spec": {
            "holderIdentity": "somebody",
            "leaseDurationSeconds": 15,
            "renewTime": "2020-01-01T00:00:00.000000Z",
        },
    }
    server.create(LEASES, lease)
    found = cluster_findings(ome, home)["operator"]
    assert found["state"] == "problem"
    assert "somebody led and was last heard of" in found["found"]
    assert "logs deployment/ome-controller-manager" in found["remedy"]


def test_a_value_of_the_configuration_that_does_not_count_is_named(
    ome: Ome, home: Home, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.create(CONFIG_MAPS, config_map(ingress='{"urlScheme": "ftp"}', deploy="{"))
    found = cluster_findings(ome, home)["configuration"]
    assert found["state"] == "problem"
    assert "data[ingress].urlScheme: 'ftp' is not supported" in found["found"]
    assert "data[deploy]: is not JSON" in found["found"]
    assert found["remedy"] == "kubectl -n ome edit configmap inferenceservice-config"
    # On one machine the same is among the findings of the machine.
    no_index(monkeypatch, tmp_path)
    answer = ome("doctor", "-o", "json")
    assert answer.status == 1
    mine = {f["check"]: f for f in json.loads(answer.out)}["configuration"]
    assert "urlScheme" in mine["found"]


def test_a_crd_of_another_version_is_noted(ome: Ome, home: Home, server: Server) -> None:
    labels = {"metadata": {"labels": {"app.kubernetes.io/version": "0.0.1"}}}
    server.patch(CUSTOM_RESOURCE_DEFINITIONS, "basemodels.ome.io", labels)
    found = cluster_findings(ome, home)["CRDs"]
    assert found["state"] == "note"
    assert "0.0.1" in found["found"]
    assert "ome crds" in found["remedy"]
