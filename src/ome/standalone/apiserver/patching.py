"""PATCH bodies: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

from typing import Any

from ome.apimachinery.errors import BadRequest, Invalid, UnsupportedMediaType
from ome.apimachinery.objects import Object
from ome.apimachinery.patches import json_patch, merge_patch
from ome.apimachinery.strategic import strategic_merge
from ome.standalone.apiserver.kinds import Kind

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def check_type(kind: Kind, media: str) -> str:
    """The patch type, or 415 with those that this kind takes."""
    known = [JSON_PATCH, MERGE_PATCH, APPLY_PATCH]
    if not kind.custom:
        known.append(STRATEGIC_PATCH)
    if media not in known:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format ({media}); accepted media types "
            f"include: {', '.join(known)}"
        )
    return media


def refused(why: str) -> Invalid:
    """A patch whose result can't be stored."""
    cause = {"reason": "FieldValueInvalid", "message": f"Invalid value: {why}", "field": "patch"}
    return Invalid(f"the patch is invalid: {why}", details={"causes": [cause]})


def patched(kind: Kind, media: str, obj: Object, patch: Any) -> Object:
    """The object with a patch applied. Raises 400 or 422."""
    if media == JSON_PATCH:
        result = json_patch(obj, patch)
    else:
        if not isinstance(patch, dict):
            raise BadRequest("the patch must be an object")
        if media == STRATEGIC_PATCH:
            result = strategic_merge(obj, patch, kind.schema)
        else:
            result = merge_patch(obj, patch)
    if not isinstance(result, dict):
        raise refused("it leaves no object")
    if not isinstance(result.get("metadata"), dict):
        raise BadRequest("the patch does not leave an object with metadata")
    return result
