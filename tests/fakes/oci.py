"""Oracle's object storage on loopback, with its signatures, its metadata service and its logins.

Every request must carry a valid RSA-SHA256 signature by a key that this fake knows: the user's API
key, or the session key that a token was issued for. The verification follows the documentation, and
was compared once with what the official SDK sends. Faults are set per test.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime

from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TENANCY = "ocid1.tenancy.oc1..aaaa"
USER = "ocid1.user.oc1..bbbbbb"
FINGERPRINT = "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34"
_FIELD = re.compile(r'(\w+)="([^"]*)"')


def make_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@dataclass
class FakeOci:
    """``objects`` by (bucket, name). ``skew``: how far this server's clock is ahead, in seconds."""

    namespace: str = "tenant"
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=lambda: {"models"})
    page_size: int = 2
    multipart_only: set[str] = field(default_factory=set)
    """Names of objects whose MD5 is not known."""
    skew: float = 0.0
    fail_with: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    token_seconds: float = 3600
    requests: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0

    def __post_init__(self) -> None:
        self.user_key = make_key()
        self._keys = {f"{TENANCY}/{USER}/{FINGERPRINT}": self.user_key.public_key()}
        self._uploads: dict[str, tuple[str, str, dict[int, bytes]]] = {}

    @property
    def secret(self) -> dict[str, str]:
        """What a Secret for this storage holds."""
        return {
            "tenancy": TENANCY,
            "user": USER,
            "fingerprint": FINGERPRINT,
            "key_content": pem(self.user_key),
        }

    async def start(self) -> str:
        app = web.Application(client_max_size=1 << 30)
        routes = app.router
        routes.add_get("/n", self._namespace_of)
        routes.add_get("/n/{ns}/b/{bucket}/o", self._list)
        routes.add_get("/n/{ns}/b/{bucket}/o/{name:.+}", self._get)
        routes.add_put("/n/{ns}/b/{bucket}/o/{name:.+}", self._put)
        routes.add_post("/n/{ns}/b/{bucket}/u", self._begin)
        routes.add_get("/n/{ns}/b/{bucket}/u/{name:.+}", self._parts)
        routes.add_put("/n/{ns}/b/{bucket}/u/{name:.+}", self._part)
        routes.add_post("/n/{ns}/b/{bucket}/u/{name:.+}", self._commit)
        routes.add_delete("/n/{ns}/b/{bucket}/u/{name:.+}", self._abort)
        routes.add_get("/opc/v2/{rest:.+}", self._metadata)
        routes.add_post("/v1/x509", self._login)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self.url

    async def stop(self) -> None:
        await self._runner.cleanup()

    # Signatures.

    async def _verify(self, request: web.Request, *, login: bool = False) -> None:
        kind, _, rest = request.headers.get("Authorization", "").partition(" ")
        fields = dict(_FIELD.findall(rest))
        names = fields.get("headers", "").split()
        needed = {"date", "(request-target)"} | (set() if login else {"host"})
        if request.method == "POST":
            needed |= {"content-length", "content-type", "x-content-sha256"}
            digest = hashlib.sha256(await request.read()).digest()
            if request.headers.get("x-content-sha256") != base64.b64encode(digest).decode():
                raise self._refused("the body is not what was signed")
        if kind != "Signature" or fields.get("version") != "1" or needed - set(names):
            raise self._refused("no signature, or not over what it must cover")
        signed_at = request.headers.get("date", "")
        apart = abs(_seconds(signed_at) - (time.time() + self.skew))
        if apart > 300:
            raise self._refused("the date is too far from mine")
        target = f"{request.method.lower()} {request.raw_path}"
        text = "\n".join(
            f"{n}: {target if n == '(request-target)' else request.headers[n]}" for n in names
        )
        key = self._keys.get(fields.get("keyId", ""))
        try:
            if key is None:
                raise self._refused("unknown key")
            key.verify(
                base64.b64decode(fields["signature"]),
                text.encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature:
            raise self._refused("the signature is wrong") from None

    def _refused(self, why: str) -> web.HTTPException:
        return web.HTTPUnauthorized(
            text=json.dumps({"code": "NotAuthenticated", "message": why}),
            headers={"Date": formatdate(time.time() + self.skew, usegmt=True)},
        )

    # Object storage.

    async def _bucket(self, request: web.Request) -> str:
        await self._verify(request)
        if self.fail_with:
            status, headers = self.fail_with.pop(0)
            raise _status(status, headers)
        bucket = request.match_info["bucket"]
        if request.match_info["ns"] != self.namespace or bucket not in self.buckets:
            raise web.HTTPNotFound(text=json.dumps({"code": "BucketNotFound"}))
        return bucket

    async def _namespace_of(self, request: web.Request) -> web.Response:
        await self._verify(request)
        self.requests["namespace"] += 1
        return web.json_response(self.namespace)

    async def _list(self, request: web.Request) -> web.Response:
        bucket = await self._bucket(request)
        self.requests["list"] += 1
        prefix, start = request.query.get("prefix", ""), request.query.get("start", "")
        names = sorted(n for b, n in self.objects if b == bucket and n.startswith(prefix))
        names = [n for n in names if n >= start]
        page = names[: self.page_size]
        answer: dict[str, object] = {"objects": [self._about(bucket, n) for n in page]}
        if len(names) > len(page):
            answer["nextStartWith"] = names[self.page_size]
        return web.json_response(answer)

    def _about(self, bucket: str, name: str) -> dict[str, object]:
        data = self.objects[bucket, name]
        md5 = _md5(data)
        if name in self.multipart_only:
            md5 = f"{md5}-3"
        return {"name": name, "size": len(data), "md5": md5, "etag": _etag(data)}

    async def _get(self, request: web.Request) -> web.StreamResponse:
        bucket = await self._bucket(request)
        self.requests["get"] += 1
        data = self.objects.get((bucket, request.match_info["name"]))
        if data is None:
            raise web.HTTPNotFound(text=json.dumps({"code": "ObjectNotFound"}))
        if request.headers.get("If-Match", _etag(data)) != _etag(data):
            raise web.HTTPPreconditionFailed
        total, span = len(data), request.http_range
        start, stop = span.start or 0, min(span.stop or total, total)
        if start >= total > 0:
            return web.Response(status=416)
        body = data[start:stop]
        self.sent += len(body)
        headers = {"ETag": _etag(data), "Content-Range": f"bytes {start}-{stop - 1}/{total}"}
        return web.Response(status=206, body=body, headers=headers)

    async def _put(self, request: web.Request) -> web.Response:
        bucket = await self._bucket(request)
        data = await request.read()
        self._received(data)
        self.objects[bucket, request.match_info["name"]] = data
        return web.Response(headers={"ETag": _etag(data)})

    async def _begin(self, request: web.Request) -> web.Response:
        bucket = await self._bucket(request)
        name = (await request.json())["object"]
        upload = f"upload-{len(self._uploads)}"
        self._uploads[upload] = (bucket, name, {})
        return web.json_response({"uploadId": upload, "object": name})

    def _upload(self, request: web.Request) -> tuple[str, str, dict[int, bytes]]:
        found = self._uploads.get(request.query["uploadId"])
        if found is None or found[1] != request.match_info["name"]:
            raise web.HTTPNotFound(text=json.dumps({"code": "NoSuchUpload"}))
        return found

    async def _part(self, request: web.Request) -> web.Response:
        await self._bucket(request)
        data = await request.read()
        self._received(data)
        self._upload(request)[2][int(request.query["uploadPartNum"])] = data
        return web.Response(headers={"ETag": _etag(data), "opc-content-md5": _md5(data)})

    def _received(self, data: bytes) -> None:
        self.requests["put"] += 1
        self.received += len(data)

    async def _parts(self, request: web.Request) -> web.Response:
        await self._bucket(request)
        _, _, parts = self._upload(request)
        return web.json_response(
            [
                {"partNumber": number, "size": len(data), "etag": _etag(data)}
                for number, data in sorted(parts.items())
            ]
        )

    async def _commit(self, request: web.Request) -> web.Response:
        await self._bucket(request)
        bucket, name, parts = self._upload(request)
        wanted = (await request.json())["partsToCommit"]
        if any(_etag(parts[p["partNum"]]) != p["etag"] for p in wanted):
            raise web.HTTPBadRequest(text=json.dumps({"code": "InvalidUploadPart"}))
        data = b"".join(parts[p["partNum"]] for p in sorted(wanted, key=lambda p: p["partNum"]))
        self.objects[bucket, name] = data
        self.multipart_only.add(name)
        del self._uploads[request.query["uploadId"]]
        return web.Response(headers={"ETag": _etag(data)})

    async def _abort(self, request: web.Request) -> web.Response:
        await self._bucket(request)
        self._upload(request)
        del self._uploads[request.query["uploadId"]]
        return web.Response(status=204)

    # Identities.

    def make_instance(self) -> None:
        """From now on the metadata service has a certificate for this machine."""
        self.machine_key = make_key()
        between = make_key()
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, "ocid1.instance.oc1..cccc"),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"opc-tenant:{TENANCY}"),
            ]
        )
        now = datetime.datetime.now(datetime.UTC)

        def certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
            builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
            builder = builder.public_key(key.public_key()).serial_number(7)
            builder = builder.not_valid_before(now - datetime.timedelta(days=1))
            builder = builder.not_valid_after(now + datetime.timedelta(days=1))
            return builder.sign(between, hashes.SHA256())

        leaf = certificate(self.machine_key)
        pem_of = serialization.Encoding.PEM
        self._documents = {
            "instance/region": "eu-zurich-1",
            "identity/cert.pem": leaf.public_bytes(pem_of).decode(),
            "identity/key.pem": pem(self.machine_key),
            "identity/intermediate.pem": certificate(between).public_bytes(pem_of).decode(),
        }
        print_of = leaf.fingerprint(hashes.SHA1()).hex(":").upper()
        self._keys[f"{TENANCY}/fed-x509/{print_of}"] = self.machine_key.public_key()

    async def _metadata(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer Oracle":
            raise web.HTTPForbidden
        text = getattr(self, "_documents", {}).get(request.match_info["rest"])
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text)

    async def _login(self, request: web.Request) -> web.Response:
        await self._verify(request, login=True)
        self.requests["login"] += 1
        body = await request.json()
        key = serialization.load_der_public_key(base64.b64decode(body["publicKey"]))
        x509.load_der_x509_certificate(base64.b64decode(body["certificate"]))
        return web.json_response({"token": self.issue(key)})

    def issue(self, key: object) -> str:
        """A session token for the holder of this key."""
        payload = {
            "exp": time.time() + self.token_seconds,
            "iat": time.time(),
            "n": len(self._keys),
        }
        parts = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "RS256"}, payload)
        ]
        token = ".".join([*parts, "c2ln"])
        self._keys[f"ST${token}"] = key
        return token


@functools.lru_cache(maxsize=64)
def _etag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@functools.lru_cache(maxsize=64)
def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _seconds(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() if date else 0.0


def _status(status: int, headers: dict[str, str]) -> web.HTTPException:
    kind = type("Injected", (web.HTTPException,), {"status_code": status})
    found: web.HTTPException = kind(headers=headers, text="{}")
    return found
