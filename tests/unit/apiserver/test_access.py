"""Certificates, tokens, discovery documents, and who may reach the server."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from tests.unit.apiserver.home import CORE, CRDS, Home, crd

from ome.standalone.apiserver import ApiServer, Store, TlsConfig, auth, tls
from ome.standalone.apiserver.tls import ensure_certificates

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def test_certificates_are_made_once_and_keys_are_private(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path / "tls")
    before = [p.read_bytes() for p in (files.ca, files.cert, files.key)]
    assert ensure_certificates(tmp_path / "tls") == files
    assert [p.read_bytes() for p in (files.ca, files.cert, files.key)] == before
    for key in (files.key, tmp_path / "tls" / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
    assert set(tls._names_in(certificate)) == {"localhost", "127.0.0.1", "::1"}


def test_a_certificate_near_its_end_or_for_other_hosts_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(tls, "_SERVER_DAYS", 10)
        files = ensure_certificates(tmp_path)
    authority, first = files.ca.read_bytes(), files.cert.read_bytes()
    ensure_certificates(tmp_path)
    second = files.cert.read_bytes()
    assert second != first
    ensure_certificates(tmp_path, ("localhost", "box.local"))
    assert files.cert.read_bytes() != second
    assert files.ca.read_bytes() == authority
    certificate = x509.load_pem_x509_certificate(files.cert.read_bytes())
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left > datetime.timedelta(days=300)


def test_damaged_certificates_are_made_again(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path)
    files.key.write_text("nothing")
    ensure_certificates(tmp_path)
    assert b"PRIVATE KEY" in files.key.read_bytes()
    (tmp_path / "ca.key").unlink()
    ensure_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)


async def test_over_tls_only_a_known_token_is_let_in(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path / "tls")
    store = Store.open(tmp_path / "db")
    server = ApiServer(store)
    await server.start(tls=TlsConfig("127.0.0.1", 0, files.cert, files.key), tokens={"good": "me"})
    context = ssl.create_default_context(cafile=str(files.ca))
    base = f"https://localhost:{server.tls_port}"

    async def get(path: str, authorization: str = "") -> tuple[int, Any]:
        headers = {"Authorization": authorization} if authorization else {}
        async with session.get(base + path, ssl=context, headers=headers) as response:
            text = response.content_type == "text/plain"
            return response.status, await (response.text() if text else response.json())

    try:
        async with aiohttp.ClientSession() as session:
            assert (await get("/api/v1/namespaces", "Bearer good"))[0] == 200
            assert (await get("/api/v1/namespaces"))[0] == 403
            for bad in ("Bearer bad", "Basic good", "Bearer a.b.c", "Bearer", "Bearer \u00e9"):
                status, body = await get("/api/v1/namespaces", bad)
                assert (status, body["reason"]) == (401, "Unauthorized")
            assert await get("/healthz") == (200, "ok")
            assert (await get("/version"))[0] == 200
    finally:
        await server.stop()
        store.close()


async def test_a_service_account_token_ends_with_its_time_and_its_account(
    api: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = f"{CORE}/serviceaccounts"
    await api.ok("POST", accounts, {"metadata": {"name": "robot"}})
    request = {"spec": {"expirationSeconds": 600}}
    token = (await api.ok("POST", f"{accounts}/robot/token", request))["status"]["token"]
    authenticator = auth.Authenticator(api.store)
    assert authenticator.user(f"Bearer {token}") == "system:serviceaccount:default:robot"

    def refused(value: str) -> bool:
        try:
            authenticator.user(f"Bearer {value}")
        except auth.Unauthorized:
            return True
        return False

    head, claims, signature = token.split(".")
    assert refused(f"{head}.{claims}x.{signature}")
    assert refused(f"{head}.{claims}.{signature[:-2]}")
    later = time.time() + 601
    with monkeypatch.context() as patched:
        patched.setattr(auth.time, "time", lambda: later)
        assert refused(token)
    await api.ok("DELETE", f"{accounts}/robot")
    await api.ok("POST", accounts, {"metadata": {"name": "robot"}})
    assert refused(token)
    assert (await api("POST", f"{accounts}/robot/token", {"spec": {"expirationSeconds": 1}})
            ).status == 400  # fmt: skip


async def test_the_unix_socket_is_for_its_owner_and_goes_with_the_server(api: Home) -> None:
    assert stat.S_IMODE(api.socket.stat().st_mode) == 0o600
    await api.server.stop()
    assert not api.socket.exists()


async def test_a_stale_socket_file_is_no_hindrance(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "api.sock"))
    left.close()
    home = Home(tmp_path)
    await home.up()
    assert (await home("GET", "/healthz")).status == 200
    await home.down()


async def test_a_port_in_use_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    files = ensure_certificates(tmp_path / "tls")
    store = Store.open(tmp_path / "db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = TlsConfig("127.0.0.1", taken.getsockname()[1], files.cert, files.key)
        server = ApiServer(store)
        with pytest.raises(OSError):
            await server.start(tmp_path / "api.sock", config)
    assert not (tmp_path / "api.sock").exists()
    store.close()


async def test_discovery_in_its_three_forms(api: Home) -> None:
    await api.ok("POST", CRDS, crd())
    aggregated = await api("GET", "/apis", accept=f"{AGGREGATED},application/json")
    assert aggregated.headers["Content-Type"] == AGGREGATED
    groups = {g["metadata"]["name"]: g for g in aggregated.body["items"]}
    (version,) = groups["example.com"]["versions"]
    assert version["resources"][0]["resource"] == "widgets"
    assert version["resources"][0]["subresources"][0]["subresource"] == "status"
    legacy = await api.ok("GET", "/apis")
    assert "example.com" in {g["name"] for g in legacy["groups"]}
    assert (await api.ok("GET", "/api"))["versions"] == ["v1"]
    core = await api.ok("GET", "/api/v1")
    assert {"pods", "pods/log", "pods/binding"} <= {r["name"] for r in core["resources"]}
    one = await api.ok("GET", "/apis/example.com/v1")
    assert [r["name"] for r in one["resources"]] == ["widgets", "widgets/status"]
    assert (await api.ok("GET", "/apis/example.com"))["preferredVersion"]["version"] == "v1"
    await api.ok("DELETE", f"{CRDS}/widgets.example.com")
    async with asyncio.timeout(10):
        while (await api("GET", "/apis/example.com")).status != 404:
            await asyncio.sleep(0.01)


async def test_openapi_gets_a_new_hash_when_a_crd_changes(api: Home) -> None:
    def where(index: Any) -> str:
        return str(index["paths"]["apis/example.com/v1"]["serverRelativeURL"])

    made = await api.ok("POST", CRDS, crd())
    first = where(await api.ok("GET", "/openapi/v3"))
    document = await api.ok("GET", first)
    assert "com.example.v1.Widget" in document["components"]["schemas"]
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "new"
    await api.ok("PUT", f"{CRDS}/widgets.example.com", made)
    second = where(await api.ok("GET", "/openapi/v3"))
    assert second != first
    document = await api.ok("GET", second)
    assert document["components"]["schemas"]["com.example.v1.Widget"]["description"] == "new"


async def test_reviews_say_who_asks_and_that_all_is_allowed(api: Home) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    who = (await api.ok("POST", path, {}))["status"]["userInfo"]
    assert who["username"] == "system:admin"
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert (await api.ok("POST", path, {"spec": {}}))["status"]["allowed"] is True
    assert (await api("GET", path)).status == 405
