"""The bed's API as a test sees it: blocking, without any of our own client's code in between."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from typing import Any

from tests.cluster.bed.controlplane import ControlPlane

Object = dict[str, Any]

DEPLOYMENTS = "apis/apps/v1/deployments"
SERVICES = "api/v1/services"
CONFIG_MAPS = "api/v1/configmaps"
PODS = "api/v1/pods"
EVENTS = "api/v1/events"
SCALERS = "apis/autoscaling/v2/horizontalpodautoscalers"
BUDGETS = "apis/policy/v1/poddisruptionbudgets"
ACCOUNTS = "api/v1/serviceaccounts"
ROLES = "apis/rbac.authorization.k8s.io/v1/roles"
BINDINGS = "apis/rbac.authorization.k8s.io/v1/rolebindings"
INFERENCE_SERVICES = "apis/ome.io/v1beta1/inferenceservices"
RUNTIMES = "apis/ome.io/v1beta1/servingruntimes"
MODELS = "apis/ome.io/v1beta1/clusterbasemodels"
CHILDREN = (DEPLOYMENTS, SERVICES, CONFIG_MAPS, SCALERS, BUDGETS, ACCOUNTS, ROLES, BINDINGS)
"""Kinds that a service in RawDeployment mode may have children of."""


class Refused(Exception):  # noqa: N818 - what the server said, to be looked at
    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(f"{code}: {text}")


class Direct:
    """Kinds are written ``apis/GROUP/VERSION/PLURAL``, as above."""

    def __init__(self, bed: ControlPlane, namespace: str = "") -> None:
        self._url, self._token = bed.url, bed.tokens["admin"]
        self.namespace = namespace
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def call(
        self, method: str, path: str, body: Any = None, media: str = "application/json"
    ) -> Object:
        """Raises :class:`Refused`, or OSError where nobody answers. A server that has just started
        and asks for patience is given it."""
        end = time.monotonic() + 30
        while True:
            try:
                return self._call(method, path, body, media)
            except Refused as error:
                if error.code != 429 or time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def _call(self, method: str, path: str, body: Any, media: str) -> Object:
        request = urllib.request.Request(
            f"{self._url}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": media},
        )
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
                found: Object = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None

    def path(self, kind: str, name: str = "") -> str:
        root, _, plural = kind.rpartition("/")
        where = f"namespaces/{self.namespace}/" if self.namespace else ""
        return f"{root}/{where}{plural}" + (f"/{name}" if name else "")

    def find(self, kind: str, name: str) -> Object | None:
        try:
            return self.call("GET", self.path(kind, name))
        except Refused as error:
            if error.code == 404:
                return None
            raise

    def get(self, kind: str, name: str) -> Object:
        return self.call("GET", self.path(kind, name))

    def list(self, kind: str, labels: str = "") -> list[Object]:
        query = f"?labelSelector={labels}" if labels else ""
        found: list[Object] = self.call("GET", self.path(kind) + query)["items"]
        return found

    def create(self, kind: str, obj: Object) -> Object:
        return self.call("POST", self.path(kind), obj)

    def apply(self, kind: str, obj: Object) -> Object:
        path = self.path(kind, obj["metadata"]["name"]) + "?fieldManager=user&force=true"
        return self.call("PATCH", path, obj, "application/apply-patch+yaml")

    def patch(self, kind: str, name: str, patch: Object, subresource: str = "") -> Object:
        path = self.path(kind, name) + (f"/{subresource}" if subresource else "")
        return self.call(
            "PATCH", path + "?fieldManager=hand", patch, "application/merge-patch+json"
        )

    def json_patch(self, kind: str, name: str, *steps: Object) -> Object:
        path = self.path(kind, name) + "?fieldManager=hand"
        return self.call("PATCH", path, list(steps), "application/json-patch+json")

    def delete(self, kind: str, name: str, propagation: str = "Background") -> bool:
        """False where there was none."""
        try:
            self.call("DELETE", self.path(kind, name), {"propagationPolicy": propagation})
        except Refused as error:
            if error.code == 404:
                return False
            raise
        return True


def condition(obj: Object, type_: str) -> Object:
    found = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in found if c["type"] == type_), {})
