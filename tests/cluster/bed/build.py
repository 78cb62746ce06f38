"""Builds the programs of the test bed from pinned Go modules, once.

Every program has a module folder beside this file with a committed ``go.sum``: Go refuses a module
whose content differs from it. A binary is rebuilt only when its module files or build flags change.
Built programs and stamps live outside the tree, in ``$OME_BED_CACHE`` or ``~/.cache/ome-bed``.

    python -m tests.cluster.bed.build        # builds what is missing and prints where it is
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KUBERNETES = "1.34.4"


class BedUnavailable(RuntimeError):  # noqa: N818 - reads as the state it reports
    """The bed can't be built or started here; the message says what is missing."""


@dataclass(frozen=True)
class Program:
    name: str
    module: str
    package: str
    ldflags: str = ""


_VERSION = "k8s.io/component-base/version"
_KUBE_FLAGS = (
    f"-X {_VERSION}.gitVersion=v{KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34"
)
PROGRAMS = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Program("lws-manager", "lws", "sigs.k8s.io/lws/cmd"),
    *(
        Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBE_FLAGS)
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ),
)

# Where each project keeps its CRDs inside its module.
CRDS = {
    "lws": ("sigs.k8s.io/lws", "config/crd/bases"),
    "keda": ("github.com/kedacore/keda/v2", "config/crd/bases"),
    "knative": ("knative.dev/serving", "config/core/300-resources"),
    "gateway-api": ("sigs.k8s.io/gateway-api", "config/crd/standard"),
    "ray": ("github.com/ray-project/kuberay/ray-operator", "config/crd/bases"),
    "istio": ("istio.io/api", "kubernetes"),
}


def cache_dir() -> Path:
    return Path(os.environ.get("OME_BED_CACHE") or Path.home() / ".cache" / "ome-bed")


def _go() -> str:
    go = shutil.which("go")
    if go is None:
        raise BedUnavailable(
            "The cluster tests build a real control plane from Go modules, and there is no `go` on "
            "PATH. Install Go 1.24 or newer and run `make test-cluster` again."
        )
    return go


def _stamp(program: Program) -> str:
    digest = hashlib.sha256()
    for file in sorted((HERE / "modules" / program.module).iterdir()):
        digest.update(file.read_bytes())
    digest.update(f"{program.package} {program.ldflags}".encode())
    return digest.hexdigest()


def ensure_programs(*, say: bool = True) -> Path:
    """The folder of the built programs; builds what is missing (about 10 minutes from nothing)."""
    folder = cache_dir() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        stamp, binary = folder / f".{program.name}.stamp", folder / program.name
        wanted = _stamp(program)
        if binary.exists() and stamp.exists() and stamp.read_text() == wanted:
            continue
        if say:
            print(f"bed: building {program.name} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        fresh = folder / f".{program.name}.new"
        flags = ["-trimpath", "-mod=readonly", "-ldflags", f"-s -w {program.ldflags}"]
        done = subprocess.run(
            [_go(), "build", *flags, "-o", str(fresh), program.package],
            cwd=HERE / "modules" / program.module,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise BedUnavailable(f"`go build {program.package}` failed:\n{done.stderr[-3000:]}")
        fresh.replace(binary)
        stamp.write_text(wanted)
        if say:
            took = time.monotonic() - started
            print(f"bed: {program.name} built in {took:.0f} s", file=sys.stderr, flush=True)
    return folder


def module_folder(modules: str, path: str) -> Path:
    """Where a Go module of one of our module folders is unpacked."""
    done = subprocess.run(
        [_go(), "list", "-m", "-f", "{{.Dir}}", path],
        cwd=HERE / "modules" / modules,
        capture_output=True,
        text=True,
    )
    folder = done.stdout.strip()
    if done.returncode or not folder:
        raise BedUnavailable(f"module {path} is not here:\n{done.stderr[-3000:]}")
    return Path(folder)


def crd_files() -> dict[str, list[Path]]:
    """The CRD files of the projects that OME works with, out of their pinned modules."""
    done = subprocess.run(
        [_go(), "mod", "download", "-json"],
        cwd=HERE / "modules" / "crds",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BedUnavailable(f"`go mod download` of the CRD modules failed:\n{done.stderr[-3000:]}")
    folders: dict[str, Path] = {}
    decoder, text, at = json.JSONDecoder(), done.stdout, 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        entry, at = decoder.raw_decode(text, at)
        folders[entry["Path"]] = Path(entry["Dir"])
    found: dict[str, list[Path]] = {}
    for name, (module, folder) in CRDS.items():
        files = sorted((folders[module] / folder).glob("*.yaml"))
        found[name] = [f for f in files if f.name != "kustomization.yaml"]
        if not found[name]:
            raise BedUnavailable(f"module {module} holds no CRDs under {folder}")
    return found


if __name__ == "__main__":
    try:
        print(ensure_programs())
    except BedUnavailable as error:
        sys.exit(str(error))
