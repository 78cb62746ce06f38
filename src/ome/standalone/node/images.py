"""Containers from images, where podman or docker is installed and answers.

A container is then still one process of the pod's shim: the runtime's client in the foreground,
which passes on output, signals and the exit code. What that client would leave behind when it is
killed is removed by name.

The network is the machine's own, so the pod's loopback address and ports mean the same as for host
processes. Environment goes through a file that only the user can read, never through arguments;
values of several lines, which such a file can't hold, go through the client's own environment.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.objects import metadata, uid_of
from ome.standalone.node.paths import Mount

CHECK_TIMEOUT = 15.0
_CLIENT_VARIABLES = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST")


class ImageError(Exception):
    """An image can't be had; the text is the runtime's own last words."""


@dataclass(frozen=True, slots=True)
class ContainerRuntime:
    """A working podman or docker. ``kind`` decides where their command lines differ."""

    kind: str
    path: str

    def client_environment(self) -> dict[str, str]:
        return {k: os.environ[k] for k in _CLIENT_VARIABLES if k in os.environ}

    async def call(self, *arguments: str, timeout: float = CHECK_TIMEOUT) -> tuple[int, str]:
        """Exit code and output. Raises TimeoutError."""
        process = await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(timeout):
                output, _ = await process.communicate()
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, output.decode("utf-8", "replace").strip()

    async def has_image(self, image: str) -> bool:
        code, _ = await self.call("image", "inspect", image)
        return code == 0

    async def pull(self, image: str) -> AsyncIterator[str]:
        """Yields progress lines. Raises ImageError with the reason."""
        process = await asyncio.create_subprocess_exec(
            self.path,
            "pull",
            image,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        last = ""
        try:
            while data := await process.stdout.read(4096):
                lines = [
                    x.strip() for x in data.decode("utf-8", "replace").splitlines() if x.strip()
                ]
                if lines:
                    last = lines[-1][-300:]
                    yield last
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise ImageError(last or f"{self.kind} pull ended with exit code {code}")

    async def remove(self, name: str) -> None:
        """Removes a container that its client left behind; one that is gone is fine."""
        await self.call("rm", "--force", name)


@dataclass(frozen=True, slots=True)
class Detection:
    """``runtime`` is None where none works; ``problem`` then says what was found instead."""

    runtime: ContainerRuntime | None
    problem: str = ""


async def detect(path: str | None = None) -> Detection:
    """Looks for podman, then docker, on PATH, or takes the program at ``path``."""
    problems: list[str] = []
    candidates = [path] if path else ["podman", "docker"]
    for candidate in candidates:
        found = shutil.which(candidate)
        if found is None:
            problems.append(f"{candidate} is not installed")
            continue
        kind = "docker" if "docker" in Path(found).name else "podman"
        runtime = ContainerRuntime(kind, found)
        try:
            code, output = await runtime.call("info")
        except TimeoutError:
            problems.append(f"{found} is installed but did not answer in {CHECK_TIMEOUT:.0f} s")
            continue
        except OSError as error:
            problems.append(f"{found} can't be run ({error.strerror})")
            continue
        if code == 0:
            return Detection(runtime)
        last = next((x for x in reversed(output.splitlines()) if x.strip()), f"exit code {code}")
        problems.append(f"{found} is installed but its engine does not answer ({last.strip()})")
    return Detection(None, "; ".join(problems))


def container_name(pod: Mapping[str, Any], container: str, attempt: int) -> str:
    return f"ome-{uid_of(pod)}-{container}-{attempt}"


def pull_policy(container: Mapping[str, Any]) -> str:
    policy = container.get("imagePullPolicy")
    if policy:
        return str(policy)
    image = container.get("image") or ""
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def write_env_file(path: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Writes what such a file can hold, readable by the user only; returns the rest."""
    rest = {k: v for k, v in env.items() if "\n" in v or "\r" in v}
    text = "".join(f"{k}={v}\n" for k, v in env.items() if k not in rest)
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    return rest


def run_command(
    runtime: ContainerRuntime,
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    *,
    attempt: int,
    env_file: Path,
    client_variables: Sequence[str],
    mounts: Sequence[Mount],
    command: Sequence[str],
    arguments: Sequence[str],
    devices: Sequence[str],
) -> list[str]:
    """The command line that runs one container in the foreground."""
    name, meta = container["name"], metadata(pod)
    argv = [runtime.path, "run", "--rm", "--name", container_name(pod, name, attempt)]
    argv += ["--network", "host", "--pull", "never", "--env-file", str(env_file)]
    for variable in client_variables:
        argv += ["--env", variable]
    for key, value in (
        ("ome.io/pod-uid", uid_of(pod)),
        ("io.kubernetes.pod.name", meta.get("name")),
        ("io.kubernetes.pod.namespace", meta.get("namespace")),
        ("io.kubernetes.container.name", name),
    ):
        argv += ["--label", f"{key}={value}"]
    for mount in mounts:
        argv += ["--volume", f"{mount.source}:{mount.path}{':ro' if mount.read_only else ''}"]
    if container.get("workingDir"):
        argv += ["--workdir", container["workingDir"]]
    argv += _security(pod, container) + _resources(container) + _devices(runtime, devices)
    if command:
        argv += ["--entrypoint", command[0]]
    return [*argv, container["image"], *command[1:], *arguments]


def _security(pod: Mapping[str, Any], container: Mapping[str, Any]) -> list[str]:
    context = {
        **((pod.get("spec") or {}).get("securityContext") or {}),
        **(container.get("securityContext") or {}),
    }
    argv: list[str] = []
    user, group = context.get("runAsUser"), context.get("runAsGroup")
    if user is not None or group is not None:
        argv += [
            "--user",
            f"{user if user is not None else 0}{f':{group}' if group is not None else ''}",
        ]
    if context.get("privileged"):
        argv.append("--privileged")
    if context.get("readOnlyRootFilesystem"):
        argv.append("--read-only")
    if context.get("allowPrivilegeEscalation") is False:
        argv += ["--security-opt", "no-new-privileges"]
    capabilities = context.get("capabilities") or {}
    for verb in ("add", "drop"):
        for capability in capabilities.get(verb) or ():
            argv += [f"--cap-{verb}", capability]
    return argv


def _resources(container: Mapping[str, Any]) -> list[str]:
    limits = (container.get("resources") or {}).get("limits") or {}
    argv: list[str] = []
    if "cpu" in limits:
        argv += ["--cpus", f"{quantity.to_millis(limits['cpu']) / 1000:g}"]
    if "memory" in limits:
        argv += ["--memory", f"{quantity.to_int(limits['memory'])}b"]
    return argv


def _devices(runtime: ContainerRuntime, devices: Sequence[str]) -> list[str]:
    if not devices:
        return []
    if runtime.kind == "docker":
        return ["--gpus", f'"device={",".join(devices)}"']
    return [part for device in devices for part in ("--device", f"nvidia.com/gpu={device}")]
