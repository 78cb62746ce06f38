"""Volumes of host processes."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest

from ome.standalone.node.environment import Lookup, Missing, PodFacts
from ome.standalone.node.paths import HostPathMap, PathError, PodFiles
from ome.standalone.node.volumes import (
    VolumeError,
    mounts_of,
    not_enforced,
    prepare,
    remove_tree,
    write_payload,
)

FACTS = PodFacts("127.70.0.1", "127.0.0.1", "n1")


def make(tmp_path: Path, *volumes: dict[str, Any], lookup: Lookup | None = None) -> dict[str, Path]:
    pod = {
        "metadata": {"name": "p", "namespace": "ns", "labels": {"a": "b"}},
        "spec": {"volumes": list(volumes)},
    }
    mapping = HostPathMap({"/raid": tmp_path / "raid"})
    files = PodFiles(tmp_path / "pod")
    return prepare(pod, files, FACTS, lookup or Lookup(), mapping, {"claim": tmp_path / "pv"})


CONFIG = Lookup(
    {"cm": {"data": {"a.txt": "A", "b": "B"}}},
    {"s": {"data": {"pw": base64.b64encode(b"x").decode()}}},
)


def test_config_maps_and_secrets_become_files_with_modes(tmp_path: Path) -> None:
    placed = make(
        tmp_path,
        {"name": "c", "configMap": {"name": "cm"}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {
            "name": "i",
            "configMap": {"name": "cm", "items": [{"key": "b", "path": "sub/b", "mode": 0o600}]},
        },
        lookup=CONFIG,
    )
    assert (placed["c"] / "a.txt").read_text() == "A"
    assert stat.S_IMODE((placed["s"] / "pw").stat().st_mode) == 0o400
    assert (placed["i"] / "sub/b").read_text() == "B"
    assert not (placed["i"] / "a.txt").exists()


def test_an_update_is_atomic_and_silent_when_nothing_changed(tmp_path: Path) -> None:
    place = tmp_path / "v"
    assert write_payload(place, {"a": (b"1", 0o644), "b": (b"1", 0o644)})
    before = (place / "..data").readlink()
    assert not write_payload(place, {"a": (b"1", 0o644), "b": (b"1", 0o644)})
    assert (place / "..data").readlink() == before
    held = (place / "a").open()
    assert write_payload(place, {"a": (b"2", 0o644), "c/d": (b"3", 0o644)})
    assert held.read() == "1"
    held.close()
    assert (place / "a").read_text() == "2"
    assert (place / "c/d").read_text() == "3"
    assert sorted(p.name for p in place.iterdir() if not p.name.startswith("..")) == ["a", "c"]
    assert len([p for p in place.iterdir() if p.is_dir() and not p.is_symlink()]) == 1


@pytest.mark.parametrize("path", ["../x", "/abs", "a/../../x", "..data/x"])
def test_a_key_may_not_leave_its_volume(tmp_path: Path, path: str) -> None:
    items = [{"key": "b", "path": path}]
    with pytest.raises(PathError):
        make(tmp_path, {"name": "c", "configMap": {"name": "cm", "items": items}}, lookup=CONFIG)


def test_what_is_missing_is_named_and_optional_is_empty(tmp_path: Path) -> None:
    with pytest.raises(Missing, match='configmap "no" not found'):
        make(tmp_path, {"name": "c", "configMap": {"name": "no"}})
    with pytest.raises(Missing, match="no key 'zz'"):
        items = [{"key": "zz", "path": "zz"}]
        make(tmp_path, {"name": "c", "configMap": {"name": "cm", "items": items}}, lookup=CONFIG)
    placed = make(tmp_path, {"name": "c", "configMap": {"name": "no", "optional": True}})
    assert placed["c"].is_dir()


def test_projected_volumes_join_their_sources(tmp_path: Path) -> None:
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    sources = [
        {"configMap": {"name": "cm"}},
        {"secret": {"name": "s"}},
        {"downwardAPI": {"items": [labels]}},
        {"serviceAccountToken": {"path": "token"}},
    ]
    placed = make(tmp_path, {"name": "p", "projected": {"sources": sources}}, lookup=CONFIG)
    names = {p.name for p in placed["p"].iterdir() if not p.name.startswith("..")}
    assert names == {"a.txt", "b", "pw", "labels"}
    assert (placed["p"] / "labels").read_text() == 'a="b"'


def test_host_paths_are_mapped_and_their_types_checked(tmp_path: Path) -> None:
    (tmp_path / "raid").mkdir()
    wanted = {"path": "/raid/m", "type": "DirectoryOrCreate"}
    placed = make(tmp_path, {"name": "h", "hostPath": wanted})
    assert placed["h"] == tmp_path / "raid/m"
    assert placed["h"].is_dir()
    with pytest.raises(VolumeError, match="is not a File"):
        make(tmp_path, {"name": "h", "hostPath": {"path": "/raid/m", "type": "File"}})
    with pytest.raises(VolumeError, match="not a hostPath type"):
        make(tmp_path, {"name": "h", "hostPath": {"path": "/raid/m", "type": "Nope"}})


def test_claims_bound_to_host_paths_work_and_network_volumes_are_refused(tmp_path: Path) -> None:
    claim = {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}}
    assert make(tmp_path, claim)["c"] == tmp_path / "pv"
    with pytest.raises(Missing, match="other"):
        make(tmp_path, {"name": "c", "persistentVolumeClaim": {"claimName": "other"}})
    with pytest.raises(VolumeError, match="type nfs"):
        make(tmp_path, {"name": "n", "nfs": {"server": "s", "path": "/"}})


def test_mounts_resolve_sub_paths_and_refuse_unknown_volumes(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volume.mkdir()
    container = {
        "name": "c",
        "volumeMounts": [
            {"name": "v", "mountPath": "/a/", "subPathExpr": "x/$(N)", "readOnly": True}
        ],
    }
    (mount,) = mounts_of(container, {"v": volume}, {"N": "7"})
    assert (mount.path, mount.source, mount.read_only) == ("/a", volume / "x/7", True)
    with pytest.raises(VolumeError, match="no volume"):
        mounts_of(container, {}, {})
    container["volumeMounts"] = [{"name": "v", "mountPath": "/a", "subPath": "../../etc"}]
    with pytest.raises(PathError):
        mounts_of(container, {"v": volume}, {})


def test_what_host_processes_do_not_get_is_listed() -> None:
    pod: dict[str, Any] = {
        "spec": {
            "securityContext": {"runAsUser": 1000, "runAsNonRoot": True},
            "containers": [
                {"name": "c", "resources": {"limits": {"memory": "1Gi", "nvidia.com/gpu": 1}}}
            ],
            "volumes": [
                {"name": "shm", "emptyDir": {"medium": "Memory"}},
                {"name": "model", "hostPath": {"path": "/m"}},
            ],
        }
    }
    assert "read-only" not in "; ".join(not_enforced(pod))
    pod["spec"]["containers"][0]["volumeMounts"] = [
        {"name": "model", "mountPath": "/m", "readOnly": True}
    ]
    text = "; ".join(not_enforced(pod))
    assert "read-only mounts" in text
    assert "memory" in text
    assert "runAsUser" in text
    assert "shm" in text
    assert "gpu" not in text
    assert not_enforced({"spec": {"containers": [{"name": "c"}]}}) == []


def test_a_pod_directory_goes_whatever_modes_were_left_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("x")
    pod = tmp_path / "pod"
    (pod / "locked").mkdir(parents=True)
    (pod / "locked" / "f").write_text("x")
    (pod / "link").symlink_to(outside)
    (pod / "locked").chmod(0o500)
    remove_tree(pod)
    assert not pod.exists()
    assert (outside / "keep").exists()
