"""Kubeconfigs as kubectl reads them, the files in a pod, and complaints that help."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.kube.certificates import Authority
from tests.unit.kube.fakeapi import FakeApi
from tests.unit.kube.waiting import until

from ome.apimachinery.resources import CONFIG_MAPS
from ome.kube import Client, ConfigError, Unreachable, connect
from ome.kube.config import find_endpoint, from_kubeconfig, in_cluster
from ome.kube.endpoint import Credential, Endpoint

Doc = dict[str, Any]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def kubeconfig(
    path: Path,
    cluster: Doc | None = None,
    user: Doc | None = None,
    *,
    name: str = "one",
    context: Doc | None = None,
) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "contexts": [
                    {"name": name, "context": {"cluster": name, "user": name, **(context or {})}}
                ],
                "clusters": [
                    {"name": name, "cluster": {"server": "https://127.0.0.1:1", **(cluster or {})}}
                ],
                "users": [{"name": name, "user": user or {}}],
            }
        )
    )
    return path


async def headers(endpoint: Endpoint) -> dict[str, str]:
    return dict((await endpoint.credentials.current()).headers)


# -- what is found where ----------------------------------------------------------------------


async def test_several_files_are_merged_and_the_first_wins(tmp_path: Path) -> None:
    one = kubeconfig(tmp_path / "a", {"server": "http://first"}, {"token": "t1"})
    two = kubeconfig(tmp_path / "b", {"server": "http://second"}, {"token": "t2"})
    three = kubeconfig(tmp_path / "c", {"server": "http://third"}, {"token": "t3"}, name="other")
    env = {"KUBECONFIG": f"{one}:{tmp_path / 'absent'}:{two}:{three}", "HOME": str(tmp_path)}
    endpoint = find_endpoint(env=env)
    assert endpoint.url == "http://first"
    assert await headers(endpoint) == {"Authorization": "Bearer t1"}
    other = find_endpoint(context="other", env=env)
    assert (other.url, other.namespace) == ("http://third", "default")


def test_the_context_names_the_namespace(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "c", context={"namespace": "team"})
    assert Client(endpoint=find_endpoint(path)).namespace == "team"


def test_the_home_folder_comes_last(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", {"server": "http://home/prefix/"})
    endpoint = find_endpoint(env={"HOME": str(tmp_path)}, service_account=tmp_path / "none")
    assert endpoint.url == "http://home/prefix"


def test_a_unix_socket_may_be_the_server(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "c", {"server": "unix:///run/api.sock"})
    endpoint = find_endpoint(path)
    assert endpoint.unix_socket == "/run/api.sock"
    assert endpoint.shown == "unix:///run/api.sock"


async def test_paths_are_relative_to_the_file_they_stand_in(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ca.pem").write_text("CA")
    (tmp_path / "sub" / "cert").write_text("CERT")
    (tmp_path / "sub" / "token").write_text(" T\n")
    path = kubeconfig(
        tmp_path / "sub" / "config",
        {"certificate-authority": "ca.pem"},
        {"client-certificate": "cert", "client-key-data": b64(b"KEY"), "tokenFile": "token"},
    )
    endpoint = from_kubeconfig([path])
    credential = await endpoint.credentials.current()
    assert endpoint.ca == b"CA"
    assert (credential.certificate, credential.key) == (b"CERT", b"KEY")
    assert credential.headers == {"Authorization": "Bearer T"}


async def test_passwords_and_impersonation_become_headers(tmp_path: Path) -> None:
    user = {"username": "u", "password": "p", "as": "somebody"}
    endpoint = from_kubeconfig([kubeconfig(tmp_path / "c", user=user)])
    assert await headers(endpoint) == {
        "Authorization": f"Basic {b64(b'u:p')}",
        "Impersonate-User": "somebody",
    }


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "host:6443"}, {}, r"c: clusters\[one\]\.cluster\.server: an address such as"),
        ({"server": 5}, {}, r"clusters\[one\]\.cluster\.server: a string is wanted, not 5"),
        (
            {"certificate-authority-data": "%%"},
            {},
            r"cluster\.certificate-authority-data: not base64",
        ),
        ({"certificate-authority": "gone.pem"}, {}, r"certificate-authority: .*gone\.pem can't be"),
        (
            {"insecure-skip-tls-verify": True, "certificate-authority-data": "QQ=="},
            {},
            "remove one of them",
        ),
        ({"insecure-skip-tls-verify": "yes"}, {}, "true or false is wanted"),
        ({"proxy-url": "socks5://x"}, {}, r"proxy-url: only http:// and https:// proxies work"),
        ({}, {"client-key-data": "QQ=="}, r"users\[one\]\.user\.client-certificate: missing"),
        ({}, {"auth-provider": {"name": "gcp"}}, r"user\.auth-provider: .*exec plugin"),
        ({}, {"as-groups": ["g"]}, r"user\.as-groups: only"),
        ({}, {"exec": {"apiVersion": "x"}}, r"users\[one\]\.user\.exec\.command: missing"),
        (
            {},
            {"exec": {"command": "c", "apiVersion": "x"}},
            r"exec\.apiVersion: 'x' is not one of client\.authentication\.k8s\.io/v1",
        ),
        ({}, {"exec": []}, ""),
        ({}, {"exec": "x"}, r"exec: a mapping is wanted"),
    ],
)
def test_complaints_name_file_and_field(
    tmp_path: Path, cluster: Doc, user: Doc, message: str
) -> None:
    path = kubeconfig(tmp_path / "c", cluster, user)
    if not message:
        from_kubeconfig([path])
        return
    with pytest.raises(ConfigError, match=message):
        from_kubeconfig([path])


def test_missing_entries_are_named_with_what_there_is(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "c")
    with pytest.raises(ConfigError, match=r"no context 'two' in contexts \(there are: one\)"):
        from_kubeconfig([path], "two")
    kubeconfig(path, context={"user": "nobody"})
    with pytest.raises(ConfigError, match="no user 'nobody' in users"):
        from_kubeconfig([path])
    path.write_text("{}")
    with pytest.raises(ConfigError, match="current-context is not set"):
        from_kubeconfig([path])
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="not YAML"):
        from_kubeconfig([path])
    path.write_text("[]")
    with pytest.raises(ConfigError, match="not a kubeconfig"):
        from_kubeconfig([path])


def test_nothing_configured_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="KUBECONFIG is not set"):
        find_endpoint(env={"HOME": str(tmp_path)}, service_account=tmp_path)
    with pytest.raises(ConfigError, match="names no file that exists"):
        find_endpoint(env={"KUBECONFIG": "/nonexistent/a:/nonexistent/b"})


# -- in a pod ---------------------------------------------------------------------------------


async def test_in_a_pod_the_service_account_is_used_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("t1")
    (tmp_path / "ca.crt").write_text("CA")
    (tmp_path / "namespace").write_text("ome")
    env = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/x"}
    endpoint = find_endpoint(env=env, service_account=tmp_path)
    assert endpoint.url == "https://[fd00::1]:443"
    assert (endpoint.namespace, endpoint.ca) == ("ome", b"CA")
    assert await headers(endpoint) == {"Authorization": "Bearer t1"}
    (tmp_path / "token").write_text("t2")
    assert await headers(endpoint) == {"Authorization": "Bearer t1"}
    monkeypatch.setattr("ome.kube.credentials._REREAD", -1.0)
    endpoint.credentials.invalidate()
    assert await headers(endpoint) == {"Authorization": "Bearer t2"}
    (tmp_path / "token").unlink()
    assert await headers(endpoint) == {"Authorization": "Bearer t2"}  # better than nothing


async def test_outside_a_pod_or_without_a_token_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not in a pod"):
        in_cluster(env={}, service_account=tmp_path)
    (tmp_path / "ca.crt").write_text("CA")
    env = {"KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "1"}
    endpoint = in_cluster(env=env, service_account=tmp_path)
    with pytest.raises(ConfigError, match=r"the token file .* can't be read"):
        await endpoint.credentials.current()


async def test_a_rotated_token_is_picked_up_when_the_old_one_is_refused(
    api: FakeApi, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("old")
    api.tokens = {"old"}
    path = kubeconfig(tmp_path / "c", {"server": api.url}, {"tokenFile": "token"})
    async with await connect(path) as client:
        await client.discover()
        (tmp_path / "token").write_text("new")
        api.tokens = {"new"}
        await client.discover(refresh=True)
        api.tokens = {"newer"}
        (tmp_path / "token").write_text("newer")
        async for _ in client.stream("GET", "/api"):
            pass


# -- exec plugins -----------------------------------------------------------------------------

PLUGIN = """\
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
count = here / "count"
count.write_text(count.read_text() + "x" if count.exists() else "x")
(here / "info").write_text(os.environ["KUBERNETES_EXEC_INFO"])
status = json.loads(os.environ["STATUS"])
if not status:
    sys.exit("please log in")
status = {k: v.replace("#", str(len(count.read_text()))) for k, v in status.items()}
print(json.dumps({"kind": "ExecCredential", "apiVersion": sys.argv[1], "status": status}))
"""
V1 = "client.authentication.k8s.io/v1"


def plugin(tmp_path: Path, status: Doc, **more: Any) -> Doc:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    return {
        "exec": {
            "apiVersion": V1,
            "command": sys.executable,
            "args": [str(tmp_path / "plugin.py"), V1],
            "env": [{"name": "STATUS", "value": json.dumps(status)}],
            "interactiveMode": "Never",
            "installHint": "Install it with: get-plugin",
            **more,
        }
    }


async def test_a_plugin_runs_once_until_its_token_expires(api: FakeApi, tmp_path: Path) -> None:
    later = {"token": "t#", "expirationTimestamp": "2999-01-01T00:00:00Z"}
    path = kubeconfig(
        tmp_path / "c", {"server": api.url}, plugin(tmp_path, later, provideClusterInfo=True)
    )
    async with await connect(path) as client:
        await client.discover()
        await client.discover(refresh=True)
    assert {seen.headers["Authorization"] for seen in api.requests} == {"Bearer t1"}
    info = json.loads((tmp_path / "info").read_text())
    assert info["spec"]["cluster"]["server"] == api.url
    assert info["spec"]["interactive"] is False
    expired = {"token": "t#", "expirationTimestamp": "2001-01-01T00:00:00Z"}
    endpoint = from_kubeconfig([kubeconfig(tmp_path / "c", {}, plugin(tmp_path, expired))])
    assert await headers(endpoint) == {"Authorization": "Bearer t2"}
    assert await headers(endpoint) == {"Authorization": "Bearer t3"}


async def test_a_plugin_is_asked_again_when_its_token_is_refused(
    api: FakeApi, tmp_path: Path
) -> None:
    api.tokens = {"t2"}
    path = kubeconfig(tmp_path / "c", {"server": api.url}, plugin(tmp_path, {"token": "t#"}))
    async with await connect(path) as client:
        await client.discover()
    assert (tmp_path / "count").read_text() == "xx"


@pytest.mark.parametrize(
    ("status", "more", "message"),
    [
        ({"token": "t"}, {"command": "no-such-plugin"}, "can't be run: .*\nInstall it with: get-"),
        ({}, {}, "failed with code 1: please log in"),
        ({"expirationTimestamp": "2999-01-01T00:00:00Z"}, {}, "neither a token nor"),
        ({"clientCertificateData": "x"}, {}, "come together"),
        ({"token": "t", "expirationTimestamp": "soon"}, {}, "printed can't be used"),
        ({"token": "t"}, {"args": ["-c", "print(1)"]}, "printed can't be used"),
        (
            {"token": "t"},
            {"apiVersion": "client.authentication.k8s.io/v1beta1"},
            "not client.authentication.k8s.io/v1beta1 ExecCredential",
        ),
        ({"token": "t"}, {"interactiveMode": "Always"}, "wants a terminal"),
    ],
)
async def test_plugin_troubles_are_told_with_a_remedy(
    tmp_path: Path, status: Doc, more: Doc, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())  # no terminal
    path = kubeconfig(tmp_path / "c", {}, plugin(tmp_path, status, **more))
    async with await connect(path) as client:
        with pytest.raises(ConfigError, match=message) as caught:
            await client.request("GET", "/api")
    assert f"{path}: users[one].user.exec" in str(caught.value)


async def test_a_plugin_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome.kube.credentials._EXEC_TIMEOUT", 0.1)
    user = plugin(tmp_path, {}, args=["-c", "import time; time.sleep(60)"])
    endpoint = from_kubeconfig([kubeconfig(tmp_path / "c", {}, user)])
    with pytest.raises(ConfigError, match="gave no answer"):
        await endpoint.credentials.current()


# -- TLS --------------------------------------------------------------------------------------


async def test_client_certificates_prove_who_we_are(tmp_path: Path) -> None:
    authority = Authority()
    context = authority.server_context(
        authority.issue("server", ip="127.0.0.1"), tmp_path, mutual=True
    )
    mine = authority.issue("me", client=True)
    user = {
        "client-certificate-data": b64(mine.certificate),
        "client-key-data": b64(mine.key),
    }
    async with await FakeApi().start(tls=context) as api:
        cluster = {"server": api.url, "certificate-authority-data": b64(authority.pem)}
        async with await connect(kubeconfig(tmp_path / "c", cluster, user)) as client:
            await client.discover()
        # The same pair out of an exec plugin.
        status = {
            "clientCertificateData": mine.certificate.decode(),
            "clientKeyData": mine.key.decode(),
        }
        path = kubeconfig(tmp_path / "d", cluster, plugin(tmp_path, status))
        async with await connect(path) as client:
            await client.discover()
        async with await connect(kubeconfig(tmp_path / "e", cluster), attempts=1) as client:
            with pytest.raises(Unreachable):
                await client.discover()


async def test_a_renewed_certificate_leaves_open_watches_alone(tmp_path: Path) -> None:
    authority = Authority()
    server = authority.issue("server", ip="127.0.0.1")
    context = authority.server_context(server, tmp_path, mutual=True)
    mine = [authority.issue(name, client=True) for name in ("one", "two")]

    class Renewing:
        """Another certificate each time that it is asked."""

        asked = 0

        async def current(self) -> Credential:
            self.asked += 1
            pair = mine[self.asked % 2]
            return Credential({}, pair.certificate, pair.key)

        def invalidate(self) -> bool:
            return True

    async with await FakeApi().start(tls=context) as api:
        endpoint = Endpoint(api.url, credentials=Renewing(), ca=authority.pem)
        async with Client(endpoint=endpoint) as client:
            events = client.watch(CONFIG_MAPS)
            following = asyncio.create_task(anext(events))
            await until(lambda: api.open_watches == 1)
            for _ in range(3):
                await client.list(CONFIG_MAPS)
            await api.put("/api/v1/configmaps", {"metadata": {"name": "x", "namespace": "a"}})
            assert (await asyncio.wait_for(following, 5)).type == "ADDED"
            await events.aclose()


async def test_an_unknown_authority_is_refused_with_a_remedy(tmp_path: Path) -> None:
    authority = Authority()
    context = authority.server_context(authority.issue("server", ip="127.0.0.1"), tmp_path)
    async with await FakeApi().start(tls=context) as api:
        for trust in ({}, {"certificate-authority-data": b64(Authority().pem)}):
            path = kubeconfig(tmp_path / "c", {"server": api.url, **trust})
            async with await connect(path) as client:
                with pytest.raises(Unreachable, match="certificate is not trusted"):
                    await client.discover()
        assert api.requests == []
        cluster: Doc = {"server": api.url, "insecure-skip-tls-verify": True}
        async with await connect(kubeconfig(tmp_path / "c", cluster)) as client:
            await client.discover()


async def test_the_server_may_have_another_name_in_its_certificate(tmp_path: Path) -> None:
    authority = Authority()
    context = authority.server_context(authority.issue("server", host="kube.test"), tmp_path)
    async with await FakeApi().start(tls=context) as api:
        cluster = {"server": api.url, "certificate-authority-data": b64(authority.pem)}
        async with await connect(kubeconfig(tmp_path / "c", cluster)) as client:
            with pytest.raises(Unreachable, match="certificate is not trusted"):
                await client.discover()
        cluster["tls-server-name"] = "kube.test"
        async with await connect(kubeconfig(tmp_path / "c", cluster)) as client:
            await client.discover()


async def test_a_bad_authority_or_pair_is_a_configuration_error(tmp_path: Path) -> None:
    one, two = Authority().issue("a", client=True), Authority().issue("b", client=True)
    path = kubeconfig(tmp_path / "c", {"certificate-authority-data": b64(b"no PEM")})
    async with await connect(path) as client:
        with pytest.raises(ConfigError, match=r"certificate-authority .*c.* not a PEM"):
            await client.discover()
    mixed = {"client-certificate-data": b64(one.certificate), "client-key-data": b64(two.key)}
    async with await connect(kubeconfig(tmp_path / "c", {}, mixed)) as client:
        with pytest.raises(ConfigError, match="do not fit together"):
            await client.discover()
