"""From a container of a pod to the command that its shim runs.

:func:`gather` fetches what the pod refers to, :class:`Preparation` makes volumes and links and then
answers for each container with a :class:`Launch`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ome.apimachinery import quantity
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.apimachinery.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
)
from ome.kube import Client
from ome.standalone.node import environment, images, volumes
from ome.standalone.node.context import HOST_PROCESS, Settings
from ome.standalone.node.environment import Lookup, Missing, PodFacts
from ome.standalone.node.machine import GPU
from ome.standalone.node.paths import (
    HostPathMap,
    Mount,
    PodFiles,
    Rewriting,
    make_links,
    plan_links,
)
from ome.standalone.node.probes import Surroundings, ports_of
from ome.standalone.node.shimclient import StartCommand

OOM_SCORE_ADJ = 300
"""When memory runs out the kernel should choose an engine, not OME or a shim."""


class LaunchError(Exception):
    """The container can't be started as it is written."""


def is_host_process(pod: Mapping[str, Any]) -> bool:
    return annotations_of(pod).get(HOST_PROCESS) == "true"


def gpus_wanted(container: Mapping[str, Any]) -> int:
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        if GPU in (resources.get(kind) or {}):
            return quantity.to_int(resources[kind][GPU])
    return 0


@dataclass(frozen=True, slots=True)
class Gathered:
    lookup: Lookup
    claims: Mapping[str, str] = field(default_factory=dict)


async def gather(client: Client, pod: Mapping[str, Any]) -> Gathered:
    """Reads the ConfigMaps, Secrets and claims that the pod names. What is not there is left out;
    other failures of the API are raised."""
    namespace = metadata(pod).get("namespace") or ""
    found: dict[str, dict[str, Object]] = {"configmap": {}, "secret": {}}
    for kind, name in sorted(environment.references(pod)):
        resource = CONFIG_MAPS if kind == "configmap" else SECRETS
        try:
            found[kind][name] = await client.get(resource, name, namespace)
        except NotFound:
            continue
    claims: dict[str, str] = {}
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and (path := await _bound_path(client, claim, namespace)):
            claims[claim] = path
    return Gathered(Lookup(found["configmap"], found["secret"]), claims)


async def _bound_path(client: Client, claim: str, namespace: str) -> str | None:
    """The host path behind a claim, where there is one."""
    try:
        bound = await client.get(PERSISTENT_VOLUME_CLAIMS, claim, namespace)
        name = (bound.get("spec") or {}).get("volumeName")
        if not name:
            return None
        spec = (await client.get(PERSISTENT_VOLUMES, name)).get("spec") or {}
    except NotFound:
        return None
    return (spec.get("hostPath") or {}).get("path") or (spec.get("local") or {}).get("path")


@dataclass(frozen=True, slots=True)
class Launch:
    command: StartCommand
    surroundings: Surroundings


class Preparation:
    """A pod's volumes and links, made. Raises Missing, VolumeError or PathError."""

    def __init__(
        self,
        pod: Mapping[str, Any],
        files: PodFiles,
        facts: PodFacts,
        gathered: Gathered,
        host_paths: HostPathMap,
        settings: Settings,
    ) -> None:
        self.pod, self.files, self.facts = pod, files, facts
        self.lookup, self.settings = gathered.lookup, settings
        self.host = is_host_process(pod)
        for folder in (files.root, files.home, files.temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        claims = {k: host_paths.resolve(v) for k, v in gathered.claims.items()}
        placed = volumes.prepare(pod, files, facts, self.lookup, host_paths, claims)
        self.mounts: dict[str, list[Mount]] = {}
        for container in environment.all_containers(pod.get("spec") or {}):
            try:
                variables = self._raw_environment(container)
            except Missing:
                variables = {}  # start() says so for the container that needs it
            self.mounts[container["name"]] = volumes.mounts_of(container, placed, variables)
        self.rewritings: dict[str, Rewriting] = {}
        if self.host:
            links, self.rewritings = plan_links(files, self.mounts)
            make_links(links)

    def _base(self) -> dict[str, str]:
        if not self.host:
            return {"POD_IP": self.facts.pod_ip}
        base = environment.base_environment(
            self.pod, self.facts, self.files.home, self.files.temporary
        )
        return base | dict(self.settings.host_environment)

    def _raw_environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        return environment.resolve(self.pod, container, self.facts, self.lookup, self._base())

    def launch(
        self,
        container: Mapping[str, Any],
        attempt: int,
        devices: Sequence[str],
        gpus_exist: bool,
        runtime: images.ContainerRuntime | None,
    ) -> Launch:
        """Raises Missing or LaunchError."""
        raw = self._raw_environment(container)
        if self.host:
            return self._host_process(container, attempt, raw, devices, gpus_exist)
        if runtime is None:
            raise LaunchError("no container runtime")
        return self._image(container, attempt, raw, devices, runtime)

    def _command(
        self, container: Mapping[str, Any], attempt: int, argv: Sequence[str],
        env: Mapping[str, str], cwd: str,
    ) -> StartCommand:  # fmt: skip
        self.files.logs(container["name"]).mkdir(mode=0o700, parents=True, exist_ok=True)
        return StartCommand(
            name=container["name"],
            attempt=attempt,
            argv=argv,
            env=env,
            cwd=cwd,
            log=str(self.files.log(container["name"], attempt)),
            max_log_bytes=self.settings.max_log_bytes,
            max_log_files=self.settings.max_log_files,
            oom_score_adj=OOM_SCORE_ADJ,
        )

    def _host_process(
        self,
        container: Mapping[str, Any],
        attempt: int,
        raw: Mapping[str, str],
        devices: Sequence[str],
        gpus_exist: bool,
    ) -> Launch:
        rewrite = self.rewritings[container["name"]]
        base = self._base()
        env = {k: v if base.get(k) == v else rewrite(v) for k, v in raw.items()}
        if devices or gpus_exist:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        argv = [rewrite(environment.expand(str(word), raw)) for word in words]
        if not argv:
            raise LaunchError(
                f'container "{container["name"]}" has no command, and as a host process it has no '
                "image to take one from"
            )
        working = container.get("workingDir")
        cwd = rewrite(environment.expand(working, raw)) if working else str(self.files.home)
        return Launch(
            self._command(container, attempt, argv, env, cwd),
            Surroundings(self.facts.pod_ip, ports_of(container), env, cwd, (), rewrite),
        )

    def _image(
        self,
        container: Mapping[str, Any],
        attempt: int,
        raw: Mapping[str, str],
        devices: Sequence[str],
        runtime: images.ContainerRuntime,
    ) -> Launch:
        name = container["name"]
        env_file = self.files.directory / f"env.{name}.{attempt}"
        rest = images.write_env_file(env_file, raw)
        argv = images.run_command(
            runtime,
            self.pod,
            container,
            attempt=attempt,
            env_file=env_file,
            client_variables=sorted(rest),
            mounts=self.mounts[name],
            command=[environment.expand(str(w), raw) for w in container.get("command") or ()],
            arguments=[environment.expand(str(w), raw) for w in container.get("args") or ()],
            devices=devices,
        )
        env = rest | runtime.client_environment()
        cwd = str(Path(self.files.home))
        prefix = (runtime.path, "exec", images.container_name(self.pod, name, attempt))
        return Launch(
            self._command(container, attempt, argv, env, cwd),
            Surroundings(self.facts.pod_ip, ports_of(container), env, cwd, prefix),
        )
