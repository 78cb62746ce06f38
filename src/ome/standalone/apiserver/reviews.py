"""Reviews: questions that are asked with POST and leave no object. Everybody who is known may do
everything; there is no authorisation on one machine."""

from __future__ import annotations

from aiohttp import web

from ome.apimachinery.errors import MethodNotAllowed
from ome.apimachinery.objects import Object
from ome.standalone.apiserver.http import respond_object
from ome.standalone.apiserver.requests import Target, read_any_object

REVIEWS: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("authentication.k8s.io", "v1"): (("selfsubjectreviews", "SelfSubjectReview"),),
    ("authorization.k8s.io", "v1"): (
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
        ("subjectaccessreviews", "SubjectAccessReview"),
    ),
}


async def review(request: web.BaseRequest, target: Target, user: str) -> web.Response | None:
    """The answer, or None if the target is not a review."""
    plurals = dict(REVIEWS.get((target.group, target.version), ()))
    kind = plurals.get(target.plural)
    if kind is None or target.name:
        return None
    if request.method != "POST":
        raise MethodNotAllowed("reviews can only be created")
    body = await read_any_object(request)
    api_version = f"{target.group}/{target.version}"
    answer: Object = {
        **body,
        "kind": kind,
        "apiVersion": api_version,
        "status": _status(kind, user),
    }
    return respond_object(answer, status=201)


def _status(kind: str, user: str) -> Object:
    match kind:
        case "SelfSubjectReview":
            return {"userInfo": {"username": user, "groups": groups_of(user)}}
        case "SelfSubjectRulesReview":
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            return {
                "resourceRules": [everything],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
                "incomplete": False,
            }
    return {"allowed": True, "reason": "every known user may do everything on one machine"}


def groups_of(user: str) -> list[str]:
    if user.startswith("system:serviceaccount:"):
        namespace = user.split(":")[2]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    else:
        groups = ["system:masters"]
    return [*groups, "system:authenticated"]
