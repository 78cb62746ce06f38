"""Finding the API server: kubeconfig files as kubectl reads them, or the files inside a pod.

Several kubeconfig files (``KUBECONFIG=a:b``) are merged: of entries with the same name the first
counts, and so does the first ``current-context``. Paths in a file are relative to that file. Every
complaint names the file and the field.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ome.kube.credentials import Combined, ExecCredentials, ExecPlugin, TokenFile, exec_version
from ome.kube.endpoint import (
    Credential,
    CredentialSource,
    Endpoint,
    StaticCredentials,
    bearer,
)
from ome.kube.errors import ConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def find_endpoint(
    kubeconfig: Path | None = None,
    context: str = "",
    *,
    env: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> Endpoint:
    """``kubeconfig``; else ``$KUBECONFIG``; else this pod's own; else ``~/.kube/config``."""
    if kubeconfig is not None:
        return from_kubeconfig([kubeconfig], context)
    if env.get("KUBECONFIG"):
        named = [Path(p).expanduser() for p in env["KUBECONFIG"].split(os.pathsep) if p]
        present = [path for path in named if path.exists()]
        if not present:
            raise ConfigError(f"KUBECONFIG names no file that exists: {env['KUBECONFIG']}")
        return from_kubeconfig(present, context)
    if not context and env.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists():
        return in_cluster(env=env, service_account=service_account)
    default = Path(env.get("HOME") or Path.home()) / ".kube" / "config"
    if default.exists():
        return from_kubeconfig([default], context)
    raise ConfigError(
        f"no API server is configured: there is no {default}, KUBECONFIG is not set, "
        "and this is not a pod. Give a kubeconfig"
    )


def in_cluster(
    *, env: Mapping[str, str] = os.environ, service_account: Path = SERVICE_ACCOUNT
) -> Endpoint:
    """The API server of the cluster that this pod runs in."""
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError(
            "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set"
        )
    namespace_file = service_account / "namespace"
    return Endpoint(
        f"https://{f'[{host}]' if ':' in host else host}:{port}",
        credentials=TokenFile(service_account / "token", "service account"),
        ca=_read(service_account / "ca.crt", "service account"),
        namespace=_read(namespace_file, "").decode().strip()
        if namespace_file.exists()
        else "default",
        source="service account",
    )


def from_kubeconfig(paths: Sequence[Path], context: str = "") -> Endpoint:
    """The endpoint of ``context``, or of the current context."""
    files = [_load(path) for path in paths]
    listed = ", ".join(str(path) for path in paths)
    name = context or next((c for f in files if (c := f.text("current-context"))), "")
    if not name:
        raise ConfigError(f"{listed}: current-context is not set: name a context")
    chosen = _named(files, "contexts", name, listed, "context").child("context")
    cluster_name, user_name = chosen.text("cluster"), chosen.text("user")
    if not cluster_name:
        raise ConfigError(f"{chosen.where('cluster')}: no cluster is named")
    cluster = _named(files, "clusters", cluster_name, listed, "cluster").child("cluster")
    user = (
        _named(files, "users", user_name, listed, "user").child("user")
        if user_name
        else _Node({}, chosen.file, "")
    )
    return _endpoint(cluster, user, chosen.text("namespace") or "default")


@dataclass(frozen=True, slots=True)
class _Node:
    """A mapping in a file, which knows where it is."""

    data: Mapping[str, Any]
    file: str
    at: str

    def where(self, field: str) -> str:
        return f"{self.file}: {self.at}.{field}" if self.at else f"{self.file}: {field}"

    def child(self, field: str) -> _Node:
        value = self.data.get(field) or {}
        if not isinstance(value, dict):
            raise ConfigError(f"{self.where(field)}: a mapping is wanted, not {value!r}")
        return _Node(value, self.file, f"{self.at}.{field}" if self.at else field)

    def text(self, field: str) -> str:
        value = self.data.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ConfigError(f"{self.where(field)}: a string is wanted, not {value!r}")
        return value

    def flag(self, field: str) -> bool:
        value = self.data.get(field) or False
        if not isinstance(value, bool):
            raise ConfigError(f"{self.where(field)}: true or false is wanted, not {value!r}")
        return value

    def list(self, field: str) -> Sequence[Any]:
        value = self.data.get(field) or []
        if not isinstance(value, list):
            raise ConfigError(f"{self.where(field)}: a list is wanted, not {value!r}")
        return value

    def file_path(self, field: str) -> Path:
        return Path(self.file).parent / Path(self.text(field)).expanduser()

    def content(self, field: str) -> bytes:
        """The bytes of ``field-data`` (base64), or else of the file that ``field`` names."""
        inline = self.text(f"{field}-data")
        if inline:
            try:
                return base64.b64decode(inline, validate=True)
            except binascii.Error as error:
                raise ConfigError(f"{self.where(f'{field}-data')}: not base64: {error}") from error
        return _read(self.file_path(field), self.where(field)) if self.text(field) else b""


def _load(path: Path) -> _Node:
    import yaml

    try:
        data = yaml.load(_read(path, "kubeconfig"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if data is not None and not isinstance(data, dict):
        raise ConfigError(f"{path}: not a kubeconfig: a mapping is wanted")
    return _Node(data or {}, str(path), "")


def _named(files: Sequence[_Node], field: str, name: str, listed: str, what: str) -> _Node:
    known = []
    for file in files:
        for number, entry in enumerate(file.list(field)):
            if not isinstance(entry, dict):
                raise ConfigError(f"{file.where(field)}[{number}]: a mapping is wanted")
            if entry.get("name") == name:
                return _Node(entry, file.file, f"{field}[{name}]")
            known.append(str(entry.get("name")))
    raise ConfigError(
        f"{listed}: there is no {what} {name!r} in {field}"
        f" (there are: {', '.join(known) or 'none'})"
    )


def _endpoint(cluster: _Node, user: _Node, namespace: str) -> Endpoint:
    server = cluster.text("server").rstrip("/")
    scheme, separator, rest = server.partition("://")
    if not separator or scheme not in {"http", "https", "unix"} or not rest:
        raise ConfigError(
            f"{cluster.where('server')}: an address such as https://host:6443 is wanted, "
            f"not {server!r}"
        )
    insecure = cluster.flag("insecure-skip-tls-verify")
    ca = cluster.content("certificate-authority")
    if insecure and ca:
        raise ConfigError(
            f"{cluster.where('insecure-skip-tls-verify')}: can't go with certificate-authority: "
            "remove one of them"
        )
    unix = scheme == "unix"
    return Endpoint(
        "http://localhost" if unix else server,
        credentials=_credentials(user, cluster),
        unix_socket=rest if unix else "",
        ca=ca,
        insecure=insecure,
        tls_server_name=cluster.text("tls-server-name"),
        proxy=_proxy(cluster, server),
        namespace=namespace,
        source=cluster.file,
    )


def _proxy(cluster: _Node, server: str) -> str:
    """``proxy-url``, or else what the environment says for this host."""
    proxy = cluster.text("proxy-url")
    if proxy:
        if not proxy.startswith(("http://", "https://")):
            raise ConfigError(
                f"{cluster.where('proxy-url')}: only http:// and https:// proxies work, "
                f"not {proxy!r}"
            )
        return proxy
    if server.startswith("unix:"):
        return ""
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(server)
    host = parts.hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return ""
    found = getproxies().get(parts.scheme, "")
    return found if found.startswith(("http://", "https://")) else ""


def _credentials(user: _Node, cluster: _Node) -> CredentialSource:
    if user.data.get("auth-provider"):
        raise ConfigError(
            f"{user.where('auth-provider')}: auth providers are gone from Kubernetes: "
            "use the exec plugin of your provider"
        )
    certificate = user.content("client-certificate")
    key = user.content("client-key")
    if bool(certificate) != bool(key):
        have, lack = ("certificate", "key") if certificate else ("key", "certificate")
        raise ConfigError(f"{user.where(f'client-{lack}')}: missing beside client-{have}")
    headers = {**_impersonation(user), **_basic(user)}
    changing: CredentialSource | None = None
    if user.text("tokenFile"):
        changing = TokenFile(user.file_path("tokenFile"), user.where("tokenFile"))
    elif user.text("token"):
        headers |= bearer(user.text("token")).headers
    elif user.data.get("exec"):
        changing = ExecCredentials(_plugin(user.child("exec"), cluster))
    fixed = Credential(headers, certificate, key)
    return StaticCredentials(fixed) if changing is None else Combined(fixed, changing)


def _basic(user: _Node) -> dict[str, str]:
    if not user.text("username"):
        return {}
    pair = f"{user.text('username')}:{user.text('password')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _impersonation(user: _Node) -> dict[str, str]:
    headers = {}
    if user.text("as"):
        headers["Impersonate-User"] = user.text("as")
    if user.text("as-uid"):
        headers["Impersonate-Uid"] = user.text("as-uid")
    for field in ("as-groups", "as-user-extra"):
        if user.data.get(field):
            raise ConfigError(f"{user.where(field)}: only `as` and `as-uid` are supported")
    return headers


def _plugin(node: _Node, cluster: _Node) -> ExecPlugin:
    command = node.text("command")
    if not command:
        raise ConfigError(f"{node.where('command')}: missing")
    if "/" in command:
        command = str(node.file_path("command"))
    env = {}
    for entry in node.list("env"):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ConfigError(f"{node.where('env')}: entries with name and value are wanted")
        env[entry["name"]] = str(entry.get("value") or "")
    shared = ("server", "tls-server-name", "insecure-skip-tls-verify", "proxy-url")
    return ExecPlugin(
        command,
        exec_version(node.text("apiVersion"), node.where("").rstrip(".")),
        node.where("").rstrip("."),
        args=tuple(str(arg) for arg in node.list("args")),
        env=env,
        install_hint=node.text("installHint").strip(),
        interactive_mode=node.text("interactiveMode") or "IfAvailable",
        cluster={name: cluster.data[name] for name in shared if name in cluster.data}
        | {
            "certificate-authority-data": base64.b64encode(
                cluster.content("certificate-authority")
            ).decode()
        }
        if node.flag("provideClusterInfo")
        else None,
    )


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where}: {path} can't be read: {error.strerror or error}") from error
