"""Volumes of host processes: folders and files made ready before containers start.

ConfigMaps, Secrets and the downward API are written the way the kubelet does it: a new folder is
filled, then one link (``..data``) is switched, so a reader sees all old or all new files. What a
process on the host can't have (network storage, read-only mounts, memory-backed folders) is either
refused with a reason or listed by :func:`not_enforced`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ome.apimachinery.objects import Object, metadata
from ome.standalone.node import environment
from ome.standalone.node.environment import Lookup, Missing, PodFacts
from ome.standalone.node.paths import (
    HostPathMap,
    Mount,
    PathError,
    PodFiles,
    clean_absolute,
    contained,
)

_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_DATA = "..data"


class VolumeError(Exception):
    """A volume can't be made; the text becomes the FailedMount event."""


Claims = Mapping[str, Path]
"""What each PersistentVolumeClaim of the pod's namespace is bound to on this machine."""


def prepare(
    pod: Mapping[str, Any],
    files: PodFiles,
    facts: PodFacts,
    lookup: Lookup,
    host_paths: HostPathMap,
    claims: Claims,
) -> dict[str, Path]:
    """Makes every volume; returns where each lies. Raises Missing, VolumeError or PathError."""
    result: dict[str, Path] = {}
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        name = volume.get("name") or ""
        if not name or "/" in name or name.startswith("."):
            raise VolumeError(f"{name!r} is not a volume name")
        try:
            result[name] = _prepare_one(pod, volume, files, facts, lookup, host_paths, claims)
        except OSError as error:
            raise VolumeError(f'MountVolume.SetUp failed for volume "{name}": {error}') from None
    return result


def _prepare_one(
    pod: Mapping[str, Any],
    volume: Mapping[str, Any],
    files: PodFiles,
    facts: PodFacts,
    lookup: Lookup,
    host_paths: HostPathMap,
    claims: Claims,
) -> Path:
    name = volume["name"]
    place = files.volume(name)
    sources = [k for k, v in volume.items() if k != "name" and v is not None]
    kind = sources[0] if sources else "emptyDir"
    if kind == "hostPath":
        return _host_path(volume["hostPath"] or {}, host_paths, name)
    if kind == "persistentVolumeClaim":
        claim = (volume[kind] or {}).get("claimName") or ""
        if claim not in claims:
            raise Missing(f'persistentvolumeclaim "{claim}" not found or not bound to a host path')
        return claims[claim]
    if kind == "emptyDir":
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place
    payload = _payload(pod, volume, kind, facts, lookup)
    if payload is None:
        raise VolumeError(
            f'volume "{name}" is of type {kind}, which a single machine does not offer; '
            "use emptyDir, hostPath, configMap, secret, downwardAPI or projected"
        )
    write_payload(place, payload)
    return place


def _host_path(source: Mapping[str, Any], host_paths: HostPathMap, name: str) -> Path:
    path = host_paths.resolve(source.get("path") or "")
    kind = source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(exist_ok=True)
    checks: dict[str, Callable[[], bool]] = {
        "Directory": path.is_dir,
        "DirectoryOrCreate": path.is_dir,
        "File": path.is_file,
        "FileOrCreate": path.is_file,
        "Socket": path.is_socket,
        "CharDevice": path.is_char_device,
        "BlockDevice": path.is_block_device,
    }
    if kind and kind not in checks:
        raise VolumeError(f'volume "{name}": {kind!r} is not a hostPath type')
    if kind and not checks[kind]():
        raise VolumeError(f'hostPath type check failed: {path} is not a {kind} (volume "{name}")')
    return path


Payload = dict[str, tuple[bytes, int]]
"""Relative path -> content and mode."""


def _payload(
    pod: Mapping[str, Any],
    volume: Mapping[str, Any],
    kind: str,
    facts: PodFacts,
    lookup: Lookup,
) -> Payload | None:
    source = volume[kind] or {}
    if kind == "configMap":
        return _keys("configmap", source.get("name") or "", source, lookup, pod, 0o644)
    if kind == "secret":
        return _keys("secret", source.get("secretName") or "", source, lookup, pod, 0o644)
    if kind == "downwardAPI":
        return _downward(pod, source, facts, 0o644)
    if kind != "projected":
        return None
    mode = source.get("defaultMode") or 0o644
    result: Payload = {}
    for part in source.get("sources") or ():
        if part.get("configMap"):
            ref = part["configMap"]
            result |= _keys("configmap", ref.get("name") or "", ref, lookup, pod, mode)
        if part.get("secret"):
            ref = part["secret"]
            result |= _keys("secret", ref.get("name") or "", ref, lookup, pod, mode)
        if part.get("downwardAPI"):
            result |= _downward(pod, part["downwardAPI"], facts, mode)
    return result


def _keys(
    kind: environment.Kind,
    name: str,
    source: Mapping[str, Any],
    lookup: Lookup,
    pod: Mapping[str, Any],
    default_mode: int,
) -> Payload:
    data = lookup.data(kind, name)
    if data is None:
        if source.get("optional"):
            return {}
        raise Missing(f'{kind} "{name}" not found')
    mode = source.get("defaultMode") or default_mode
    items = source.get("items")
    if not items:
        return {key: (value, mode) for key, value in data.items() if _KEY.match(key)}
    result: Payload = {}
    for item in items:
        key = item.get("key") or ""
        if key not in data:
            if source.get("optional"):
                continue
            namespace = metadata(pod).get("namespace")
            raise Missing(f"{kind} {namespace}/{name} has no key {key!r}")
        result[item.get("path") or key] = (data[key], item.get("mode") or mode)
    return result


def _downward(
    pod: Mapping[str, Any], source: Mapping[str, Any], facts: PodFacts, default_mode: int
) -> Payload:
    mode = source.get("defaultMode") or default_mode
    result: Payload = {}
    for item in source.get("items") or ():
        if ref := item.get("fieldRef"):
            value = environment.field_value(pod, ref.get("fieldPath") or "", facts)
        else:
            ref = item.get("resourceFieldRef") or {}
            value = environment.resource_value(pod, {}, ref, facts)
        result[item.get("path") or ""] = (value.encode(), item.get("mode") or mode)
    return result


def write_payload(place: Path, payload: Payload) -> bool:
    """Fills a volume atomically; returns whether anything changed. Raises PathError."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for relative in payload:
        contained(place, relative, "the path")
        if relative.split("/")[0].startswith(".."):
            raise PathError(f"the path {relative!r} must not begin with '..'")
    current = place / _DATA
    if current.exists() and _same(current, payload):
        return False
    fresh = place / f"..{os.urandom(6).hex()}"
    for relative, (content, mode) in payload.items():
        path = fresh / relative
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode & 0o777)
    fresh.mkdir(mode=0o755, exist_ok=True)
    old = current.resolve() if current.is_symlink() else None
    temporary = place / "..data_tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(fresh.name)
    temporary.replace(current)
    tops = {relative.split("/")[0] for relative in payload}
    for top in tops:
        link = place / top
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{top}")
    for entry in place.iterdir():
        if entry.is_symlink() and entry.name not in tops and not entry.name.startswith(".."):
            entry.unlink()
    if old is not None and old.parent == place.resolve():
        shutil.rmtree(old, ignore_errors=True)
    return True


def _same(folder: Path, payload: Payload) -> bool:
    present = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    if present != set(payload):
        return False
    return all(
        (folder / k).read_bytes() == content
        and stat.S_IMODE((folder / k).stat().st_mode) == mode & 0o777
        for k, (content, mode) in payload.items()
    )


def mounts_of(
    container: Mapping[str, Any], volumes: Mapping[str, Path], variables: Mapping[str, str]
) -> list[Mount]:
    """A container's mounts with sub-paths resolved. Raises VolumeError or PathError."""
    result: list[Mount] = []
    for mount in container.get("volumeMounts") or ():
        name = mount.get("name") or ""
        if name not in volumes:
            raise VolumeError(f'container "{container.get("name")}": no volume is named "{name}"')
        source = volumes[name]
        sub_path = mount.get("subPath") or ""
        if mount.get("subPathExpr"):
            sub_path = environment.expand(mount["subPathExpr"], variables)
        if sub_path:
            source = contained(source, sub_path, "subPath")
            if not source.exists():
                source.mkdir(mode=0o755, parents=True)
        path = clean_absolute(mount.get("mountPath") or "")
        result.append(Mount(path, source, bool(mount.get("readOnly"))))
    return result


def not_enforced(pod: Mapping[str, Any]) -> list[str]:
    """What this pod asks for that host processes don't get, one phrase each, for one event."""
    spec: Object = dict(pod.get("spec") or {})
    found: list[str] = []
    containers = list(environment.all_containers(spec))
    limits = {k for c in containers for k in ((c.get("resources") or {}).get("limits") or {})}
    held = sorted(limits & {"cpu", "memory", "ephemeral-storage"})
    if held:
        found.append(f"limits of {', '.join(held)}")
    contexts = [
        spec.get("securityContext") or {},
        *(c.get("securityContext") or {} for c in containers),
    ]
    asked = sorted(
        {
            key
            for context in contexts
            for key in (
                "runAsUser",
                "runAsGroup",
                "fsGroup",
                "readOnlyRootFilesystem",
                "capabilities",
            )
            if context.get(key) not in (None, False)
        }
    )
    if asked:
        found.append(f"securityContext {', '.join(asked)}")
    shared = {
        v.get("name")
        for v in spec.get("volumes") or ()
        if "hostPath" in v or "persistentVolumeClaim" in v
    }
    mounts = [m for c in containers for m in c.get("volumeMounts") or ()]
    if any(m.get("readOnly") and m.get("name") in shared for m in mounts):
        found.append("read-only mounts (only file permissions protect the files)")
    for volume in spec.get("volumes") or ():
        if (volume.get("emptyDir") or {}).get("medium") == "Memory":
            found.append(f"volume {volume['name']} in memory (it is on disk)")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken"):
                found.append(f"the service account token in volume {volume['name']}")
    return found


def remove_tree(directory: Path) -> None:
    """Deletes a pod's directory, whatever modes its processes left behind. Links are not
    followed."""

    def retry(function: Callable[..., Any], path: str, _error: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)  # noqa: PTH101, PTH120 - rmtree hands out text
            function(path)

    shutil.rmtree(directory, onerror=retry)
