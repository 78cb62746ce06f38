"""Errors in the form that OpenAI's clients understand."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

from ome.standalone.gateway.routes import Service

_NOT_READY_RETRY_SECONDS = 5


class ApiError(Exception):
    """An answer other than the one asked for. ``message`` says what, why and what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        if self.status in (401, 403):
            kind = "authentication_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return web.Response(
            status=self.status,
            body=msgspec.json.encode({"error": error}),
            content_type="application/json",
            headers=self.headers,
        )


def not_ready(service: Service) -> ApiError:
    why = service.why or "it has only just been made"
    reason = f" ({service.reason})" if service.reason else ""
    if service.ready:
        why, reason = "none of its replicas takes requests just now", ""
    where = "" if service.namespace == "default" else f" -n {service.namespace}"
    return ApiError(
        503,
        "service_not_ready",
        f"Service '{service.id}' is not ready: {why.rstrip('.')}{reason}. "
        f"Try again later; 'ome describe isvc {service.name}{where}' shows how far it is.",
        headers={"Retry-After": str(_NOT_READY_RETRY_SECONDS)},
    )


def busy(why: str) -> ApiError:
    return ApiError(
        503,
        "gateway_busy",
        f"The gateway is busy: {why}. Try again in a moment.",
        headers={"Retry-After": "1"},
    )
