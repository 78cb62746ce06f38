"""``AdmissionReview`` in, ``AdmissionReview`` out: the protocol of webhooks, without the network.

Versions v1 and v1beta1 differ in nothing that matters here; the answer bears the request's. A
review that can't be read raises BadRequest; everything else is an answer, also a fault of ours.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ome.admission.registration import Hook
from ome.admission.review import OmeAdmission
from ome.admission.view import View
from ome.apimachinery.errors import (
    BadRequest,
    FieldError,
    InternalError,
    Invalid,
    StatusError,
    one_line,
)
from ome.apimachinery.objects import Object, metadata
from ome.apimachinery.patches import json_patch_diff

log = logging.getLogger("ome.admission.webhook")

GROUP: Final = "admission.k8s.io"
_VERSIONS: Final = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
_LONGEST_WARNING: Final = 1000
"""Warnings become HTTP headers, in which the API server accepts no control characters."""


class _GroupResource(msgspec.Struct):
    group: str = ""
    resource: str = ""


class _Request(msgspec.Struct, rename="camel"):
    uid: str
    operation: str
    resource: _GroupResource
    name: str = ""
    namespace: str = ""
    sub_resource: str = ""
    object: Any = None
    old_object: Any = None


class _Review(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    request: _Request | None = None


_DECODER: Final = msgspec.json.Decoder(_Review)
_ENCODER: Final = msgspec.json.Encoder()


def answer(body: bytes, hook: Hook, admission: OmeAdmission, view: View) -> bytes:
    """The encoded answer to an encoded review that came in at ``hook``."""
    review = _decode(body)
    assert review.request is not None
    try:
        response = _respond(review.request, hook, admission, view)
    except StatusError as error:
        response = _refused(error)
    except RecursionError:
        response = _refused(BadRequest("the object is nested too deeply"))
    except Exception:
        log.exception("%s failed on %s %s", hook.name, review.request.operation, _subject(review))
        text = "a fault in OME kept it from reviewing this object; its log has the details"
        response = _refused(InternalError(text))
    response["uid"] = review.request.uid
    return _ENCODER.encode(
        {"apiVersion": review.api_version, "kind": "AdmissionReview", "response": response}
    )


def _decode(body: bytes) -> _Review:
    try:
        review = _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise BadRequest(f"this is no AdmissionReview: {error}") from error
    except RecursionError as error:
        raise BadRequest("the object is nested too deeply") from error
    if review.kind != "AdmissionReview" or review.api_version not in _VERSIONS:
        raise BadRequest(
            f"{review.kind} of {review.api_version} is not understood: send an AdmissionReview of "
            f"{' or '.join(_VERSIONS)}"
        )
    if review.request is None or not review.request.uid:
        raise BadRequest("this AdmissionReview has no request with a uid")
    return review


def _respond(request: _Request, hook: Hook, admission: OmeAdmission, view: View) -> Object:
    resource = hook.resource
    if (request.resource.group, request.resource.resource) != (resource.group, resource.plural):
        raise BadRequest(
            f"{hook.path} reviews {resource}, not {request.resource.resource}."
            f"{request.resource.group}: correct the webhook configuration"
        )
    if request.sub_resource:
        return {"allowed": True}
    obj, old = _given(request, "object"), _given(request, "old_object")
    review = admission.mutate if hook.mutating else admission.review
    found = review(request.operation, resource, obj, old, view)
    if found.errors:
        response = _refused(_invalid(hook, request, obj, found.errors))
    else:
        response = {"allowed": True}
        if hook.mutating and obj is not None and found.patched is not None:
            operations = json_patch_diff(obj, found.patched)
            if operations:
                patch = base64.b64encode(_ENCODER.encode(operations)).decode()
                response |= {"patchType": "JSONPatch", "patch": patch}
    if found.warnings:
        response["warnings"] = [one_line(text, _LONGEST_WARNING) for text in found.warnings]
    return response


def _given(request: _Request, field: str) -> Object | None:
    """The object, in the namespace that the request is for."""
    obj = getattr(request, field)
    if obj is None:
        return None
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata", {}), dict | None):
        raise BadRequest(f"request.{field} is no Kubernetes object")
    if request.namespace and not metadata(obj).get("namespace"):
        obj = {**obj, "metadata": {**metadata(obj), "namespace": request.namespace}}
    return obj


def _invalid(
    hook: Hook, request: _Request, obj: Object | None, errors: Sequence[FieldError]
) -> Invalid:
    meta = metadata(obj or {})
    name = request.name or meta.get("name") or meta.get("generateName") or ""
    return Invalid.of(hook.resource.kind, name, errors, hook.resource.group)


def _refused(error: StatusError) -> Object:
    return {"allowed": False, "status": error.to_status()}


def _subject(review: _Review) -> str:
    request = review.request
    assert request is not None
    return f"{request.resource.resource} {request.namespace}/{request.name}"
