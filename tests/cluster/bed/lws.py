"""The LeaderWorkerSet controller on the bed, with the webhooks that it can't work without.

Its own manifests reach the webhooks through a Service; there is no Service network here, so they
are registered by URL, with a certificate authority made for this run.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.bed.build import BedUnavailable, ensure_programs, module_folder
from tests.cluster.bed.controlplane import ControlPlane, free_port

NAME = "lws-manager"
GROUP_LABEL = "leaderworkerset.sigs.k8s.io/name"
START_DEADLINE_S = 60.0


def start(plane: ControlPlane) -> list[dict[str, Any]]:
    """Starts the controller (its CRD must be established) and waits until it serves. The webhook
    configurations that are returned have to be applied."""
    folder = plane.folder / "lws"
    folder.mkdir(exist_ok=True)
    webhook, health = free_port(), free_port()
    authority = _certificates(folder)
    config = {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "webhook": {"port": webhook, "certDir": str(folder)},
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "metrics": {"bindAddress": "0"},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    program = ensure_programs() / NAME
    plane.start(
        NAME,
        *(program, "--kubeconfig", plane.kubeconfig("controller-manager")),
        *("--config", folder / "config.yaml", "--metrics-bind-address", "0"),
    )
    _wait(plane, f"http://127.0.0.1:{health}/readyz")
    return _registrations(f"https://127.0.0.1:{webhook}", authority)


def _registrations(url: str, authority: bytes) -> list[dict[str, Any]]:
    """The project's own webhook configurations, reached by URL; pods only of LeaderWorkerSets."""
    source = module_folder("lws", "sigs.k8s.io/lws") / "config/webhook/manifests.yaml"
    found = []
    for config in yaml.safe_load_all(source.read_text()):
        config["metadata"]["name"] = f"lws-{config['metadata']['name']}"
        for hook in config["webhooks"]:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = {
                "url": url + path,
                "caBundle": base64.b64encode(authority).decode(),
            }
            if path.endswith("-pod"):
                expressions = [{"key": GROUP_LABEL, "operator": "Exists"}]
                hook["objectSelector"] = {"matchExpressions": expressions}
        found.append(config)
    return found


def _certificates(folder: Path) -> bytes:
    """``tls.crt`` and ``tls.key`` for 127.0.0.1, self-signed: its own authority."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=lws-webhook", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(command, check=True, capture_output=True)
    return (folder / "tls.crt").read_bytes()


def _wait(plane: ControlPlane, url: str) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        plane.check_running()
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise BedUnavailable(
        f"{NAME} was not ready after {START_DEADLINE_S:.0f} s:\n{plane.log(NAME)[-3000:]}"
    )
