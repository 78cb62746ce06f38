"""``/token`` of service accounts: ``kubectl create token``."""

from __future__ import annotations

import datetime

from aiohttp import web

from ome.apimachinery.errors import BadRequest
from ome.standalone.apiserver import writing
from ome.standalone.apiserver.context import Context
from ome.standalone.apiserver.http import respond_object

_SHORTEST, _USUAL, _LONGEST = 600, 3600, 2**32


async def create(context: Context) -> web.StreamResponse:
    body = await writing.read_object(context)
    spec = body.get("spec") or {}
    seconds = spec.get("expirationSeconds") or _USUAL
    if not isinstance(seconds, int) or not _SHORTEST <= seconds <= _LONGEST:
        raise BadRequest(f"spec.expirationSeconds must be at least {_SHORTEST}")
    target = context.target
    account = context.core.engine.live(context.kind, target.namespace, target.name)
    audiences = list(spec.get("audiences") or ["ome"])
    token = await context.core.authenticator.issue(account, seconds, audiences)
    expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": target.name, "namespace": target.namespace},
        "spec": {"audiences": audiences, "expirationSeconds": seconds},
        "status": {
            "token": token,
            "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    }
    return respond_object(answer, status=201)
