"""Models on volume claims: looked at by a Job, because only a pod can mount a claim.

The model: a claim that is there and not lost gets one Job in its namespace, which runs ``ome model
inspect`` on the mounted folder and writes what it finds to its log. The Job has no rights and no
service account token; this controller reads the log and fills in the model. A Job belongs to one
model and one generation of its spec; it goes with the model. A failed one is made anew after a
while. A model whose spec says everything already needs none.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ome.api import constants as c
from ome.api import storage_uri
from ome.apimachinery.errors import AlreadyExists, NotFound, StatusError
from ome.apimachinery.objects import (
    Object,
    annotations_of,
    condition,
    key_of,
    metadata,
    uid_of,
)
from ome.apimachinery.resources import JOBS, PERSISTENT_VOLUME_CLAIMS, PODS
from ome.kube import Client

log = logging.getLogger("ome.controllers.claims")

LOOK_SECONDS = 3.0
"""How often a running Job is looked at."""
ABSENT_SECONDS = 30.0
AGAIN_SECONDS = 300.0
"""When a failed Job is made anew."""
L_METADATA = "models.ome.io/metadata-of"
A_GENERATION = "models.ome.io/generation"
_MOUNT = "/model"
_NEEDED = ("modelFormat", "modelArchitecture", "modelCapabilities", "modelParameterSize")
_LONGEST_LOG = 256 * 1024


@dataclass(frozen=True, slots=True)
class Inspector:
    """What Jobs run: OME's own ``image``, or (on one machine) a process of the ``host``.
    ``program`` is how ``ome`` is called there."""

    image: str = ""
    host: bool = False
    program: tuple[str, ...] = ("ome",)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What is known of a model on a claim. ``again`` is when to look next, in seconds."""

    state: str
    message: str
    config: Mapping[str, Any] | None = None
    again: float | None = None


class Claims:
    """``inspector`` is None where nothing can look at a claim."""

    def __init__(self, client: Client, inspector: Inspector | None) -> None:
        self._client = client
        self._inspector = inspector
        self._read: dict[str, Mapping[str, Any]] = {}
        """What Jobs found, by their uid."""

    async def look(self, model: Object) -> Claimed:
        """The next step for a model on a claim, and where it stands."""
        uri = str(model["spec"]["storage"]["storageUri"])
        try:
            place = storage_uri.parse(uri)
        except storage_uri.StorageURIError as error:
            return Claimed("Failed", f"{error}; correct spec.storage.storageUri")
        own = metadata(model).get("namespace") or ""
        namespace = place.namespace or own
        if not namespace:
            return Claimed(
                "Failed",
                f"{uri} does not say in which namespace the claim is; write "
                f"pvc://NAMESPACE:{place.container}/{place.path}",
            )
        if own and namespace != own:
            return Claimed(
                "Failed",
                f"pods of namespace {own} can't mount a claim of namespace {namespace}; "
                "make the BaseModel there, or copy the claim",
            )
        try:
            claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, place.container, namespace)
        except NotFound:
            return Claimed(
                "Failed",
                f"there is no PersistentVolumeClaim {place.container} in namespace {namespace}; "
                "create it, or correct spec.storage.storageUri",
                again=ABSENT_SECONDS,
            )
        if (claim.get("status") or {}).get("phase") == "Lost":
            return Claimed(
                "Failed",
                f"PersistentVolumeClaim {namespace}/{place.container} has lost its volume; "
                "restore the volume",
                again=ABSENT_SECONDS,
            )
        mounted = f"mounted from claim {namespace}/{place.container}"
        if self._inspector is None or _complete(model):
            return Claimed("Ready", mounted)
        return await self._inspect(model, place, namespace, mounted)

    async def _inspect(
        self, model: Object, place: storage_uri.StorageURI, namespace: str, mounted: str
    ) -> Claimed:
        name = job_name(model)
        waiting = Claimed(
            "In_Transit",
            f"waiting for Job {namespace}/{name}, which looks at the files",
            again=LOOK_SECONDS,
        )
        assert self._inspector is not None
        try:
            job = await self._client.get(JOBS, name, namespace)
        except NotFound:
            wanted = metadata_job(model, place, namespace, self._inspector)
            try:
                await self._client.create(JOBS, wanted)
            except AlreadyExists:
                log.debug("Job %s/%s is there already", namespace, name)
            return waiting
        if annotations_of(job).get(A_GENERATION) != _generation(model):
            await self._remove(job)
            return waiting
        if (condition(job, "Complete") or {}).get("status") == "True":
            config = await self._found(job)
            return Claimed("Ready", mounted, config)
        failed = condition(job, "Failed") or {}
        if failed.get("status") != "True":
            return waiting
        if _age(str(failed.get("lastTransitionTime") or "")) > AGAIN_SECONDS:
            await self._remove(job)
            return waiting
        why = _last_error(await self._log(job)) or str(failed.get("message") or "it gave no reason")
        return Claimed("Failed", f"the files could not be looked at: {why}", again=AGAIN_SECONDS)

    async def _found(self, job: Object) -> Mapping[str, Any] | None:
        """What the Job wrote; None where its log is gone."""
        uid = uid_of(job)
        if uid not in self._read:
            found = _last_object(await self._log(job))
            if found is None:
                return None
            self._read[uid] = found
        return self._read[uid]

    async def _log(self, job: Object) -> str:
        """The log of the Job's newest pod; empty where there is none."""
        key = key_of(job)
        listed = await self._client.list(PODS, key.namespace, label_selector=f"job-name={key.name}")
        pods = sorted(listed.items, key=lambda pod: metadata(pod).get("creationTimestamp") or "")
        if not pods:
            return ""
        path = f"{PODS.path(key.namespace, metadata(pods[-1])['name'])}/log"
        try:
            text = await self._client.request(
                "GET", path, params={"limitBytes": str(_LONGEST_LOG)}, accept="*/*"
            )
        except StatusError as error:
            log.info("the log of Job %s can't be read: %s", key, error)
            return ""
        return text.decode(errors="replace")

    async def _remove(self, job: Object) -> None:
        key = key_of(job)
        try:
            await self._client.delete(JOBS, key.name, key.namespace, uid=uid_of(job))
        except NotFound:
            return


def job_name(model: Object) -> str:
    """A name of fixed length: models of both scopes and any name have one."""
    text = f"{model.get('kind')} {key_of(model)}"
    return f"model-metadata-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def metadata_job(
    model: Object, place: storage_uri.StorageURI, namespace: str, inspector: Inspector
) -> Object:
    """The Job that looks at a model on a claim."""
    mount: Object = {"name": "model", "mountPath": _MOUNT, "readOnly": True}
    if place.path:
        mount["subPath"] = place.path.strip("/")
    container: Object = {
        "name": "inspect",
        "image": inspector.image or "ome",
        "command": [*inspector.program, "model", "inspect", _MOUNT, "-o", "config"],
        "volumeMounts": [mount],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    labels = {c.L_PART_OF: c.OPERATOR_NAME, L_METADATA: metadata(model)["name"][:63].strip("-.")}
    annotations = {c.A_HOST_PROCESS: "true"} if inspector.host else {}
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [
            {
                "name": "model",
                "persistentVolumeClaim": {"claimName": place.container, "readOnly": True},
            }
        ],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if inspector.host:
        del pod["securityContext"]
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {
            "name": job_name(model),
            "namespace": namespace,
            "labels": labels,
            "annotations": {A_GENERATION: _generation(model)},
            "ownerReferences": [
                {
                    "apiVersion": model["apiVersion"],
                    "kind": model["kind"],
                    "name": metadata(model)["name"],
                    "uid": uid_of(model),
                }
            ],
        },
        "spec": {
            "backoffLimit": 1,
            "activeDeadlineSeconds": 600,
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    }


def _generation(model: Object) -> str:
    """Changes with where the files are, not with what was filled into the spec."""
    storage = model["spec"]["storage"]
    text = json.dumps([uid_of(model), storage.get("storageUri"), storage.get("path")])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _complete(model: Object) -> bool:
    """Whether the spec says all that a look at the files would."""
    if annotations_of(model).get(c.A_SKIP_CONFIG_PARSING, "").lower() == "true":
        return True
    return all(model["spec"].get(name) for name in _NEEDED)


def _last_object(text: str) -> Mapping[str, Any] | None:
    for line in reversed(text.splitlines()):
        if not line.startswith("{"):
            continue
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return None


def _last_error(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    return lines[-1].removeprefix("error: ")[:500] if lines else ""


def _age(timestamp: str) -> float:
    try:
        then = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (datetime.now(UTC) - then).total_seconds()
