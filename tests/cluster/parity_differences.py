"""Where the embedded API server answers otherwise than kube-apiserver on purpose, and why."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Known:
    """One deliberate difference. ``scenario`` and ``where`` are ``fnmatch`` patterns; ``real`` and
    ``ours`` are patterns of the values as text."""

    scenario: str
    where: str
    reason: str
    real: str = "*"
    ours: str = "*"

    def covers(self, scenario: str, where: str, real: Any, ours: Any) -> bool:
        return (
            fnmatchcase(scenario, self.scenario)
            and fnmatchcase(where, self.where)
            and fnmatchcase(str(real), self.real)
            and fnmatchcase(str(ours), self.ours)
        )


_ABSENT = "<absent>"
_ADMISSION = "no admission plugins: no node is watched for tolerations, no priority is computed"
_CAUSES = "a field of a wrong type is named by its path, not only as a bad patch"
_FAILURE = "kube-apiserver takes some mistakes of a client for failures of its own"
_GO_EMPTY = "Go writes these fields although they are empty"
_GO_NULL = "Go writes times although they are not known"
_LINKS = "list items name their kind, which costs nothing and helps whoever reads one alone"
_NETWORK = "one machine has no service network: no cluster addresses are given out"
_QUIRK = "kube-apiserver notes the owner of what it then throws away"
_SCALE = "kube-apiserver's check of /scale reports the same mistake a second time"
_SCOPE = "not offered on one machine (see the scope in docs)"
_STRICTER = "the embedded server names every wrong field; Go's decoder stops at the first"
_STRUCT = "an absent struct is absent, not a struct of empty fields whose parts are missed"

KNOWN = (
    # what goes for every request
    Known("*", "/*/status", _FAILURE, real="500", ours="4??*"),
    Known("*", "/*/status", _STRICTER, real="400 BadRequest", ours="422 Invalid"),
    Known("*", "/*/body/items/*/kind", _LINKS, real=_ABSENT),
    Known("*", "/*/body/items/*/apiVersion", _LINKS, real=_ABSENT),
    Known("*", "/*/body/spec/tolerations", _ADMISSION, ours=_ABSENT),
    Known("*", "/*/body/spec/priority", _ADMISSION, ours=_ABSENT),
    Known("*", "/*/body/spec/preemptionPolicy", _ADMISSION, ours=_ABSENT),
    Known("*", "/*/body/spec/clusterIP", _NETWORK, ours=_ABSENT),
    Known("*", "/*/body/spec/clusterIPs", _NETWORK, ours=_ABSENT),
    Known("*", "/*/body/spec/ipFamilies", _NETWORK, ours=_ABSENT),
    Known("*", "/*/body/spec/ipFamilyPolicy", _NETWORK, ours=_ABSENT),
    Known("*", "/*/body/status", _GO_EMPTY, real="{}", ours=_ABSENT),
    Known("*", "/*/body/status", _GO_EMPTY, real="{'loadBalancer': {}}", ours=_ABSENT),
    Known("*", "/*/body/status/conditions/*/last*Time", _GO_NULL, real="None", ours=_ABSENT),
    Known("*", "/*f:conditions/*/f:last*Time", _GO_NULL, real="{}", ours=_ABSENT),
    Known("*", "/*/managedFields/*Update status/fieldsV1/f:status/.", _GO_EMPTY, real=_ABSENT),
    # creating, replacing, deleting
    Known("writes-create", "/generation is the server's/*", "a generation is never the client's"),
    Known("writes-create", "/null value/*data*", "a null in a map of texts is left out, not empty"),
    Known("writes-create", "/odd finalizer of a custom kind/warn", "style is not warned of"),
    Known("writes-create", "/owner without uid/body/causes/0", "the path has the item's index"),
    Known("writes-custom", "/*/body/kind", "the kind is called by its name", real="widgets"),
    Known("writes-update", "/other uid/body/message", "no internals of etcd"),
    Known("writes-builtin", "/budget/body/status", "nobody counts pods for a budget"),
    Known("writes-builtin", "/claim/body/metadata/finalizers", "nobody would remove it again"),
    Known("writes-builtin", "/event/body/*", _GO_EMPTY, ours=_ABSENT),
    Known("writes-builtin", "/hpa/body/status", _GO_EMPTY, ours=_ABSENT),
    # reading
    Known("reads-single", "/*/body", "every answer is a Status", real="404 page not found*"),
    Known("reads-discovery", "//api*", _SCOPE, ours=_ABSENT),
    Known("reads-discovery", "/groups", _SCOPE),
    Known("reads-openapi", "/spec/properties/port/anyOf", "x-kubernetes-int-or-string says it all"),
    # patches and subresources
    Known("patches-*", "/wrong type/body/*", _CAUSES),
    Known("patches-json-patch", "/bad value/body/*", _CAUSES),
    Known("patches-apply", "/alone emptied/status", "a list whose last item goes is empty, not"
          " null, which kube-apiserver then refuses itself"),
    Known("patches-subresources", "/*/managedFields/*Update scale/time", "every entry has a time"),
    Known("patches-subresources", "/*/managedFields/*Update status/fieldsV1/f:metadata", _QUIRK),
    Known("patches-subresources", "/scale negative/body/*", "the Scale is what is wrong"),
    Known("patches-subresources", "/scale wrong/body/*", _CAUSES),
    Known("patches-subresources", "/status wrong/body/causes", _SCALE),
    # refusals
    Known("refusals-custom", "/spec is */body/causes", _SCALE),
    Known("refusals-custom", "/rule/status", "no evaluator of CEL is a dependency: OME's own rules"
          " are in its admission"),
    Known("refusals-others", "/a job without restart policy/body/causes/0", "a missing policy is"
          " defaulted first"),
    Known("refusals-others", "/big/body/causes/0", "the whole object is the empty path"),
    Known("refusals-others", "/no */body/causes", _STRUCT),
    Known("refusals-definitions", "/no */2", _STRUCT),
    Known("refusals-definitions", "/two storage/2", _STRUCT),
)  # fmt: skip
