"""Who OME is to Oracle's object storage.

``parameters.auth`` chooses: ``UserPrincipal`` (an API key or session token, from the Secret or
from ``~/.oci/config``), ``InstancePrincipal`` (the machine's certificate, the default),
``ResourcePrincipal`` (files or variables that Oracle's services set) or ``OkeWorkloadIdentity``
(the pod's service account). Without the parameter a Secret with an API key means
``UserPrincipal``. Tokens are renewed before they expire. Nothing is put into the environment.
"""

from __future__ import annotations

import asyncio
import base64
import configparser
import json
import os
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from yarl import URL

from ome.storage.credentials import Secrets
from ome.storage.errors import AccessDenied, InvalidLocation
from ome.storage.http import error_for, unreachable
from ome.storage.ocisign import Signer, bare, expiry, load_key, new_key, public_text
from ome.storage.source import SourceSpec

_METADATA = "http://169.254.169.254/opc/v2"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PROXY_PORT = 12250
_MARGIN = 120.0
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)


@dataclass(frozen=True, slots=True)
class Identity:
    """``region`` is where this identity lives, if it knows; ``sign`` gives a valid signer."""

    region: str
    sign: Callable[[], Awaitable[Signer]]


async def identify(spec: SourceSpec, session: aiohttp.ClientSession) -> Identity:
    """The identity that the model asks for. Raises ``AccessDenied`` and ``Unreachable``."""
    secrets = Secrets(spec.credentials)
    own_key = secrets.first("key_content", "private_key", "oci_api_key.pem", "key")
    wanted = spec.parameters.get("auth", "").replace("_", "").replace("-", "").lower()
    if not wanted:
        wanted = "userprincipal" if own_key else "instanceprincipal"
    if wanted == "userprincipal":
        return _user(secrets, own_key) if own_key else _from_file(spec)
    if spec.parameters.get("endpoint"):
        raise InvalidLocation(
            f"{spec.uri} names an endpoint of its own, which this machine's identity is not "
            "shown to",
            remedy="name a Secret with an API key in spec.storage.key",
        )
    if wanted == "instanceprincipal":
        return await _instance(session)
    if wanted == "resourceprincipal":
        return _resource()
    if wanted == "okeworkloadidentity":
        return _workload(session)
    raise InvalidLocation(
        f"{spec.uri} asks for the authentication {spec.parameters['auth']!r}, which OME doesn't "
        "know",
        remedy="use UserPrincipal, InstancePrincipal, ResourcePrincipal or OkeWorkloadIdentity",
    )


def _user(secrets: Secrets, pem: str) -> Identity:
    key = load_key(pem, secrets.first("pass_phrase", "passphrase"))
    token = secrets.first("security_token")
    parts = [secrets.first(name) for name in ("tenancy", "user", "fingerprint")]
    if not token and not all(parts):
        raise AccessDenied(
            "the Secret for Oracle's object storage is incomplete",
            remedy="it needs tenancy, user, fingerprint and key_content (or security_token and "
            "key_content)",
        )
    return Identity(
        secrets.first("region"), _always(Signer(f"ST${token}" if token else "/".join(parts), key))
    )


def _from_file(spec: SourceSpec) -> Identity:
    """The machine's own configuration file, as all of Oracle's tools read it."""
    path = Path(os.environ.get("OCI_CONFIG_PATH") or "~/.oci/config").expanduser()
    profile = os.environ.get("OCI_PROFILE") or "DEFAULT"
    if spec.parameters.get("endpoint"):
        raise InvalidLocation(
            f"{spec.uri} names an endpoint of its own, which this machine's key is not shown to",
            remedy="name a Secret with an API key in spec.storage.key",
        )
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read_string(path.read_text())
        section = config[profile]
        files = {name: Path(section[name]).expanduser() for name in ("key_file",)}
        values = dict(section) | {"key_content": files["key_file"].read_text()}
        if "security_token_file" in section:
            token_file = Path(section["security_token_file"]).expanduser()
            values["security_token"] = token_file.read_text().strip()
    except (OSError, KeyError, configparser.Error) as error:
        raise AccessDenied(
            f"no API key for {spec.uri}: none in a Secret, and {path} has none in {profile}",
            remedy="name a Secret with tenancy, user, fingerprint and key_content in "
            "spec.storage.key",
        ) from error
    return _user(Secrets(values), values["key_content"])


def _resource() -> Identity:
    """Version 2.2: a token and a key, each in a variable or in the file that it names."""
    token = os.environ.get("OCI_RESOURCE_PRINCIPAL_RPST", "")
    pem = os.environ.get("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "")
    if not token or not pem:
        raise AccessDenied(
            "this machine has no resource principal: OCI_RESOURCE_PRINCIPAL_RPST is not set",
            remedy="use another parameters.auth",
        )
    phrase = os.environ.get("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", "")

    async def sign() -> Signer:
        text = await asyncio.to_thread(_value, token)
        key = load_key(await asyncio.to_thread(_value, pem), _value(phrase))
        return Signer(f"ST${text}", key)

    return Identity(os.environ.get("OCI_RESOURCE_PRINCIPAL_REGION", ""), sign)


def _value(text: str) -> str:
    return Path(text).read_text().strip() if text.startswith("/") else text


async def _instance(session: aiohttp.ClientSession) -> Identity:
    base = (os.environ.get("OCI_METADATA_BASE_URL", "").strip() or _METADATA).rstrip("/")

    async def metadata(name: str) -> str:
        return await _text(
            session, "GET", f"{base}/{name}", headers={"Authorization": "Bearer Oracle"}
        )

    try:
        region = (await metadata("instance/region")).strip().lower()
    except Exception as error:
        raise AccessDenied(
            "no credentials for Oracle's object storage: none were given, and this machine is no "
            "instance of Oracle's cloud",
            remedy="name a Secret with an API key in spec.storage.key, or set parameters.auth",
        ) from error
    domain = os.environ.get("OCI_SDK_AUTH_CLIENT_REGION_URL", "").rstrip("/")
    url = URL(f"{domain or f'https://auth.{region}.oraclecloud.com'}/v1/x509")

    async def fetch() -> tuple[str, Signer]:
        leaf, key_text, between = await asyncio.gather(
            metadata("identity/cert.pem"),
            metadata("identity/key.pem"),
            metadata("identity/intermediate.pem"),
        )
        certificate = x509.load_pem_x509_certificate(leaf.encode())
        print_of = certificate.fingerprint(hashes.SHA1())  # what the service asks for
        name = f"{_tenancy(certificate)}/fed-x509/{print_of.hex(':').upper()}"
        key = await asyncio.to_thread(new_key)
        body = json.dumps(
            {
                "certificate": bare(leaf),
                "publicKey": public_text(key),
                "intermediateCertificates": [bare(between)],
            }
        ).encode()
        headers = Signer(name, load_key(key_text)).headers("POST", url, body, with_host=False)
        answer = await _text(session, "POST", str(url), headers=headers, data=body)
        token = str(json.loads(answer)["token"])
        return token, Signer(f"ST${token}", key)

    return Identity(region, _renewed(fetch))


def _tenancy(certificate: x509.Certificate) -> str:
    for attribute in certificate.subject:
        text = str(attribute.value)
        for prefix in ("opc-tenant:", "opc-identity:"):
            if text.startswith(prefix):
                return text.removeprefix(prefix)
    raise AccessDenied(
        "the machine's certificate names no tenancy", remedy="use another parameters.auth"
    )


def _workload(session: aiohttp.ClientSession) -> Identity:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        raise AccessDenied(
            "OkeWorkloadIdentity works in a pod only, and this is none",
            remedy="use another parameters.auth",
        )
    bracketed = f"[{host}]" if ":" in host else host
    url = f"https://{bracketed}:{_PROXY_PORT}/resourcePrincipalSessionTokens"
    authority = os.environ.get("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH") or str(
        _SERVICE_ACCOUNT / "ca.crt"
    )

    async def fetch() -> tuple[str, Signer]:
        account = await asyncio.to_thread((_SERVICE_ACCOUNT / "token").read_text)
        trust = await asyncio.to_thread(ssl.create_default_context, cafile=authority)
        key = await asyncio.to_thread(new_key)
        answer = await _text(
            session,
            "POST",
            url,
            headers={"Authorization": f"Bearer {account.strip()}"},
            data=json.dumps({"podKey": public_text(key)}).encode(),
            trust=trust,
        )
        token = str(json.loads(base64.b64decode(answer))["token"]).removeprefix("ST$")
        return token, Signer(f"ST${token}", key)

    return Identity(os.environ.get("OCI_RESOURCE_PRINCIPAL_REGION", ""), _renewed(fetch))


def _always(signer: Signer) -> Callable[[], Awaitable[Signer]]:
    async def sign() -> Signer:
        return signer

    return sign


def _renewed(
    fetch: Callable[[], Awaitable[tuple[str, Signer]]],
) -> Callable[[], Awaitable[Signer]]:
    """One token for all requests, fetched anew two minutes before it expires."""
    lock = asyncio.Lock()
    held: list[tuple[float, Signer]] = []

    async def sign() -> Signer:
        async with lock:
            if not held or time.time() > held[0][0] - _MARGIN:
                token, signer = await fetch()
                held[:] = [(expiry(token), signer)]
            return held[0][1]

    return sign


async def _text(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    data: bytes | None = None,
    trust: ssl.SSLContext | None = None,
) -> str:
    sent = {"content-type": "application/json", **headers}
    try:
        async with session.request(
            method,
            url,
            headers=sent,
            data=data,
            timeout=_TIMEOUT,
            allow_redirects=False,
            ssl=trust or True,
        ) as response:
            text = await response.text()
            if response.status != 200:
                host = response.url.host or ""
                raise error_for(response.status, response.headers, host, "a token")
            return text
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise unreachable(url, error) from error
