"""Who am I, and may I? One administrator, who may do everything."""

from __future__ import annotations

from typing import Final

from ome.apimachinery.objects import Object

_AUTHENTICATION: Final = "authentication.k8s.io"
_AUTHORIZATION: Final = "authorization.k8s.io"
_KNOWN: Final = {
    (_AUTHENTICATION, "selfsubjectreviews"),
    (_AUTHORIZATION, "selfsubjectaccessreviews"),
    (_AUTHORIZATION, "selfsubjectrulesreviews"),
    (_AUTHORIZATION, "subjectaccessreviews"),
}


def knows(group: str, plural: str) -> bool:
    return (group, plural) in _KNOWN


def answer(plural: str, body: Object, user: str) -> Object:
    """The review with its status filled in."""
    if plural == "selfsubjectreviews":
        groups = ["system:masters", "system:authenticated"]
        status: Object = {"userInfo": {"username": user, "groups": groups}}
        api_version, kind = f"{_AUTHENTICATION}/v1", "SelfSubjectReview"
    elif plural == "selfsubjectrulesreviews":
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        status = {
            "incomplete": False,
            "resourceRules": [everything],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
        api_version, kind = f"{_AUTHORIZATION}/v1", "SelfSubjectRulesReview"
    else:
        status = {"allowed": True, "reason": "this machine has one administrator"}
        kind = (
            "SubjectAccessReview"
            if plural == "subjectaccessreviews"
            else ("SelfSubjectAccessReview")
        )
        api_version = f"{_AUTHORIZATION}/v1"
    return {**body, "apiVersion": api_version, "kind": kind, "metadata": {}, "status": status}
