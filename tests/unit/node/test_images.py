"""podman and docker, with fakes that record their arguments."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from ome.standalone.node import images
from ome.standalone.node.images import ContainerRuntime, ImageError
from ome.standalone.node.paths import Mount

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u-1"},
    "spec": {"securityContext": {"runAsUser": 1000}},
}


def program(folder: Path, name: str, script: str) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return str(path)


def command(runtime: ContainerRuntime, container: dict[str, Any], **options: Any) -> list[str]:
    values: dict[str, Any] = {
        "attempt": 2,
        "env_file": Path("/pod/env"),
        "client_variables": [],
        "mounts": [],
        "command": [],
        "arguments": [],
        "devices": [],
    }
    return images.run_command(runtime, POD, container, **(values | options))


def test_a_container_becomes_a_foreground_run_of_podman() -> None:
    container = {
        "name": "c",
        "image": "ghcr.io/x/y:1",
        "workingDir": "/w",
        "securityContext": {
            "runAsGroup": 5,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["SYS_NICE"], "drop": ["ALL"]},
        },
        "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}},
    }
    argv = command(
        ContainerRuntime("podman", "/bin/podman"),
        container,
        mounts=[Mount("/m", Path("/src"), True), Mount("/n", Path("/dst"))],
        command=["python", "-m", "x"],
        arguments=["--port", "1"],
        devices=["0", "2"],
        client_variables=["PEM"],
    )
    assert argv == [
        *("/bin/podman", "run", "--rm", "--name", "ome-u-1-c-2", "--network", "host"),
        *("--pull", "never", "--env-file", "/pod/env", "--env", "PEM"),
        *("--label", "ome.io/pod-uid=u-1", "--label", "io.kubernetes.pod.name=p"),
        *("--label", "io.kubernetes.pod.namespace=ns", "--label", "io.kubernetes.container.name=c"),
        *("--volume", "/src:/m:ro", "--volume", "/dst:/n", "--workdir", "/w"),
        *("--user", "1000:5", "--read-only", "--security-opt", "no-new-privileges"),
        *("--cap-add", "SYS_NICE", "--cap-drop", "ALL"),
        *("--cpus", "1.5", "--memory", "1073741824b"),
        *("--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=2"),
        *("--entrypoint", "python", "ghcr.io/x/y:1", "-m", "x", "--port", "1"),
    ]


def test_docker_gets_its_own_gpu_flag_and_an_image_keeps_its_entry_point() -> None:
    runtime = ContainerRuntime("docker", "docker")
    argv = command(runtime, {"name": "c", "image": "i"}, devices=["1", "3"], arguments=["a"])
    assert argv[argv.index("--gpus") + 1] == '"device=1,3"'
    assert "--entrypoint" not in argv
    assert argv[-2:] == ["i", "a"]


def test_environment_goes_through_a_private_file_and_never_through_arguments(
    tmp_path: Path,
) -> None:
    path = tmp_path / "env"
    rest = images.write_env_file(path, {"A": "1", "PEM": "x\ny", "S": "a=b c"})
    assert path.read_text() == "A=1\nS=a=b c\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert rest == {"PEM": "x\ny"}


@pytest.mark.parametrize(
    ("container", "policy"),
    [
        ({"image": "a"}, "Always"),
        ({"image": "reg:5000/a"}, "Always"),
        ({"image": "reg:5000/a:1"}, "IfNotPresent"),
        ({"image": "a:latest"}, "Always"),
        ({"image": "a@sha256:00"}, "IfNotPresent"),
        ({"image": "a", "imagePullPolicy": "Never"}, "Never"),
    ],
)
def test_the_pull_policy_follows_the_tag(container: dict[str, Any], policy: str) -> None:
    assert images.pull_policy(container) == policy


async def test_a_client_without_an_engine_is_not_a_runtime_and_the_reason_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await images.detect()
    assert found.runtime is None
    assert found.problem == "podman is not installed; docker is not installed"
    path = program(tmp_path, "docker", "echo 'Cannot connect to the Docker daemon'; exit 1\n")
    found = await images.detect()
    assert found.runtime is None
    assert f"{path} is installed but its engine does not answer" in found.problem
    assert "Cannot connect to the Docker daemon" in found.problem


async def test_a_runtime_that_answers_is_used_podman_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "docker", "exit 0\n")
    found = (await images.detect()).runtime
    assert found is not None
    assert found.kind == "docker"
    program(tmp_path, "podman", "exit 0\n")
    found = (await images.detect()).runtime
    assert found is not None
    assert found.kind == "podman"


async def test_a_pull_tells_its_progress_and_its_failure(tmp_path: Path) -> None:
    path = program(tmp_path, "podman", 'echo "Copying blob 1"; echo "Copying blob 2"\n')
    runtime = ContainerRuntime("podman", path)
    assert [text async for text in runtime.pull("i")][-1] == "Copying blob 2"
    path = program(tmp_path, "podman", "echo 'manifest unknown' >&2; exit 125\n")
    with pytest.raises(ImageError, match="manifest unknown"):
        _ = [text async for text in ContainerRuntime("podman", path).pull("i")]


async def test_leftovers_are_removed_by_name(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    path = program(tmp_path, "podman", f'echo "$@" >> {log}\n')
    await ContainerRuntime("podman", path).remove("ome-u-c-0")
    assert log.read_text() == "rm --force ome-u-c-0\n"
