"""A real Kubernetes control plane on loopback, without machines: kwok plays the nodes and the pods.

``ControlPlane`` starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok, each
on a free port of 127.0.0.1, and stops them again. Everything it writes (keys, kubeconfigs, logs,
the audit log) lies in the folder that it is given. The user ``operator`` has every request audited,
so a test can count exactly what the operator asked of the API; so have the service accounts of
namespace ``ome``, as which the chart runs operator and agent.
"""

from __future__ import annotations

import base64
import ctypes
import json
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from tests.cluster.bed.build import BedUnavailable, ensure_programs

HERE = Path(__file__).parent
START_DEADLINE_S = 90.0
_PR_SET_PDEATHSIG = 1
USERS = ("admin", "operator", "controller-manager", "scheduler", "kwok")
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [operator]}
- {level: Metadata, userGroups: ["system:serviceaccounts:ome"]}
- {level: None}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    """Nothing of the bed outlives the tests, even if they are killed (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class ControlPlane:
    """Use as a context manager; ``kubeconfig(user)`` names the file for one of ``USERS``. Without
    ``controllers`` there are only etcd and kube-apiserver: nothing changes by itself."""

    def __init__(
        self, folder: Path, *, unprivileged: Iterable[str] = (), controllers: bool = True
    ) -> None:
        self.folder = folder
        self.controllers = controllers
        self.unprivileged = frozenset(unprivileged)
        self.port = free_port()
        self.tokens = {user: secrets.token_hex(16) for user in USERS}
        self._etcd_port = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs: list[IO[bytes]] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.folder / f"{user}.kubeconfig"

    def log(self, program: str) -> str:
        return (self.folder / f"{program}.log").read_text(errors="replace")

    def __enter__(self) -> ControlPlane:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_all(ensure_programs())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        for log in self._logs:
            log.close()
        self._logs.clear()

    def check_running(self) -> None:
        """Raise :class:`BedUnavailable` with the program's last words if one has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise BedUnavailable(f"{name} ended:\n{self.log(name)[-3000:]}")

    def processes(self) -> Mapping[str, subprocess.Popen[bytes]]:
        """What runs, by program."""
        return dict(self._processes)

    def kill(self, program: str) -> None:
        """SIGKILL one program, as a fault."""
        self._processes[program].kill()
        self._processes.pop(program).wait()

    def compact(self) -> None:
        """etcd forgets everything before now, as it does every five minutes."""
        asked = self._etcd("range", {"key": base64.b64encode(b"/").decode()})
        revision = int(asked["header"]["revision"])
        self._etcd("compaction", {"revision": revision, "physical": True})

    def _etcd(self, what: str, body: dict[str, object]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._etcd_port}/v3/kv/{what}", data=json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    # -- starting -------------------------------------------------------------------------------

    def start(self, name: str, *command: object) -> None:
        """Run a program as a part of the bed, with its output in ``<name>.log``."""
        log = (self.folder / f"{name}.log").open("ab")
        self._logs.append(log)
        self._processes[name] = subprocess.Popen(
            [str(part) for part in command],
            stdout=log,
            stderr=log,
            cwd=self.folder,
            preexec_fn=_end_with_parent,
        )

    def _start_all(self, programs: Path) -> None:
        self._write_keys()
        etcd, peer = free_port(), free_port()
        self.start(
            "etcd",
            programs / "etcd",
            *("--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", f"http://127.0.0.1:{etcd}"),
            *("--advertise-client-urls", f"http://127.0.0.1:{etcd}"),
            *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
            *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
            *("--quota-backend-bytes", 4 << 30),
        )
        self._etcd_port = etcd
        self.start_apiserver()
        self.until_ready()
        if self.controllers:
            self._start_controllers(programs)

    def _start_controllers(self, programs: Path) -> None:
        self.start_controller_manager()
        self.start(
            "kube-scheduler",
            programs / "kube-scheduler",
            *("--kubeconfig", self.kubeconfig("scheduler"), "--leader-elect=false"),
            *("--kube-api-qps", 2000, "--kube-api-burst", 4000, "--secure-port", 0),
        )
        stages = sorted((HERE / "stages").glob("*.yaml"))
        self.start(
            "kwok",
            programs / "kwok",
            *("--kubeconfig", self.kubeconfig("kwok"), "--manage-all-nodes=true"),
            *("--node-lease-duration-seconds", 120),
            *(part for stage in stages for part in ("--config", stage)),
        )

    def start_controller_manager(self) -> None:
        """Also to start it again after :meth:`kill`."""
        self.start(
            "kube-controller-manager",
            ensure_programs() / "kube-controller-manager",
            *("--kubeconfig", self.kubeconfig("controller-manager"), "--leader-elect=false"),
            *("--service-account-private-key-file", self.folder / "sa.key"),
            *("--kube-api-qps", 2000, "--kube-api-burst", 4000, "--secure-port", 0),
            *("--concurrent-deployment-syncs", 20, "--concurrent-replicaset-syncs", 20),
            *("--controllers", "*,-node-ipam-controller,-cloud-node-lifecycle-controller"),
        )

    def start_apiserver(self) -> None:
        """Also to start it again after :meth:`kill`; returns before it is ready."""
        programs = ensure_programs()
        self.start(
            "kube-apiserver",
            programs / "kube-apiserver",
            *("--etcd-servers", f"http://127.0.0.1:{self._etcd_port}", "--secure-port", self.port),
            *("--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"),
            *("--cert-dir", self.folder / "certs", "--token-auth-file", self.folder / "tokens.csv"),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--service-account-key-file", self.folder / "sa.key"),
            *("--service-account-signing-key-file", self.folder / "sa.key"),
            "--allow-privileged=true",  # as clusters have it: RDMA needs privileged containers
            *("--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/12"),
            *(
                "--disable-admission-plugins",
                "ServiceAccount",
                "--endpoint-reconciler-type",
                "none",
            ),
            *("--audit-policy-file", self.folder / "audit.yaml"),
            *("--audit-log-path", self.folder / "audit.log", "--audit-log-maxsize", 2000),
            *("--max-requests-inflight", 2000, "--max-mutating-requests-inflight", 1000),
        )

    def _write_keys(self) -> None:
        key = self.folder / "sa.key"
        if not shutil.which("openssl"):
            raise BedUnavailable("the bed makes its keys with openssl, which is not on PATH")
        if not key.exists():
            subprocess.run(
                ["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True
            )
        (self.folder / "audit.yaml").write_text(AUDIT_POLICY)
        (self.folder / "tokens.csv").write_text(
            "".join(
                f"{token},{user},{user}"
                + ("\n" if user in self.unprivileged else ',"system:masters"\n')
                for user, token in self.tokens.items()
            )
        )
        for user, token in self.tokens.items():
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "bed",
                "clusters": [
                    {
                        "name": "bed",
                        "cluster": {"server": self.url, "insecure-skip-tls-verify": True},
                    }
                ],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": user}}],
            }
            self.kubeconfig(user).write_text(json.dumps(config))
            self.kubeconfig(user).chmod(0o600)

    def until_ready(self) -> None:
        # The certificate is made by the server itself at start, and the server listens on loopback.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        request = urllib.request.Request(
            f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.tokens['admin']}"}
        )
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            self.check_running()
            try:
                with urllib.request.urlopen(request, context=context, timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise BedUnavailable(
            f"kube-apiserver was not ready after {START_DEADLINE_S:.0f} s:\n"
            f"{self.log('kube-apiserver')[-3000:]}"
        )
