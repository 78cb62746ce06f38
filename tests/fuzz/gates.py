"""One object through everything that looks at objects, and what must be true of each answer.

* Nothing raises but a clean refusal: errors have a field and a sentence that can be read.
* Inputs are only read, and the same input gives the same answer.
* The embedded API server, admission alone, the webhook and a second reading of the CRD agree on
  what is accepted.
* What is accepted can be decided about, explained and rendered, and what is rendered has the right
  types for Kubernetes.
"""

from __future__ import annotations

import gc
import json
import re
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp
from tests.fuzz import oracle
from tests.fuzz.world import SERVICES, Around

from ome.admission import OmeAdmission
from ome.admission.registration import HOOKS
from ome.admission.reviews import answer
from ome.api import resources as o
from ome.api.crds import all_crds, crd
from ome.apimachinery import core_validation, definitions
from ome.apimachinery.errors import BadRequest, FieldError
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import CUSTOM_RESOURCE_DEFINITIONS
from ome.cli import findings, manifests
from ome.cli.checks import schema_of
from ome.cli.output import to_yaml
from ome.controllers.decide import Decision
from ome.selection import explain
from ome.standalone.apiserver import (
    AdmissionRequest,
    AdmissionResponse,
    ApiServer,
    Store,
)

SLOW_SECONDS: Final = 0.05
LONGEST_MESSAGE: Final = 2000
_ROOTS = ("apiVersion", "kind", "metadata", "spec", "status")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CALM = frozenset({"name", "namespace", "labels", "annotations", "finalizers"})


@dataclass(frozen=True)
class Found:
    """Something that must not be. ``slow`` ones have ``seconds``, of this thread's computing."""

    number: int
    kind: str
    stage: str
    what: str
    mutations: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass
class Case:
    """One object on its way. ``accepted`` is the verdict of the embedded API server."""

    number: int
    resource: Resource
    obj: Object
    mutations: tuple[str, ...] = ()
    found: list[Found] = field(default_factory=list)
    slow: list[Found] = field(default_factory=list)
    accepted: bool = False
    rendered: int = 0

    def wrong(self, stage: str, what: str) -> None:
        self.found.append(Found(self.number, self.resource.kind, stage, what, self.mutations))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Whatever is raised inside is a finding; the next stages go on."""
        begun = time.thread_time()
        try:
            yield
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-4:]
            where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(last))
            self.wrong(name, f"{type(error).__name__}: {str(error)[:300]} at {where}")
        taken = time.thread_time() - begun
        if taken > SLOW_SECONDS:
            self.slow.append(
                Found(
                    self.number, self.resource.kind, name, "slow", self.mutations, round(taken, 3)
                )
            )


class _Rules:
    """OME's admission for the embedded API server, over the world instead of the store."""

    def __init__(self) -> None:
        self._rules = OmeAdmission()

    def admit(self, request: AdmissionRequest) -> AdmissionResponse:
        if request.subresource:
            return AdmissionResponse()
        found = self._rules.review(
            request.operation, request.resource, request.object, request.old, Around()
        )
        return AdmissionResponse(found.patched, found.errors, warnings=found.warnings)


class Gates:
    """``await check(case)`` fills the case's findings."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self._admission = OmeAdmission()
        self._around = Around()

    async def check(self, case: Case) -> None:
        before = repr(case.obj)
        expected: Object | None = None
        with case.stage("schema"):
            shaped = self._schema(case)
            with case.stage("admission"):
                expected = self._admitted(case, shaped)
            with case.stage("webhook"):
                self._webhook(case)
            await self._api(case, expected)
            if case.number % 4 == 0:
                await self._apply(case)
            if case.number % 10 == 0:
                with case.stage("validate"):
                    self._files(case)
            if expected is not None:
                with case.stage("decide"):
                    self._decide(case, expected)
        if repr(case.obj) != before:
            case.wrong("all", "the object was changed by somebody who may only read it")

    # -- schema -----------------------------------------------------------------------------------

    def _schema(self, case: Case) -> Object | None:
        """The object as an API server would admit it; None if the schema refuses it."""
        schema = schema_of(case.resource)
        pruned, _ = schema.prune(case.obj)
        shaped = schema.default(pruned)
        if schema.prune(shaped)[1]:
            case.wrong("schema", f"pruned twice: {schema.prune(shaped)[1][:3]}")
        if schema.default(shaped) != shaped:
            case.wrong("schema", "defaults change what has defaults")
        _readable(case, "schema", schema.validate(shaped))
        if _has_status(case.resource):
            # A create drops the status before anything is checked.
            shaped = {k: v for k, v in shaped.items() if k != "status"}
        errors = schema.validate(shaped)
        ours = {e.path for e in errors if e.path.startswith(("spec", "status"))}
        theirs = oracle.violations(case.resource, shaped)
        if bool(ours) != bool(theirs):
            case.wrong("schema", f"the CRD read otherwise: {sorted(ours)[:3]} and {theirs[:3]}")
        return None if errors else shaped

    # -- admission --------------------------------------------------------------------------------

    def _admitted(self, case: Case, shaped: Object | None) -> Object | None:
        """The object as it would be stored; None if it is refused."""
        resource = case.resource
        given = case.obj
        if _has_status(resource):  # which an API server drops before it asks
            given = {k: v for k, v in given.items() if k != "status"}
        raw = self._admission.review("CREATE", resource, given, None, self._around)
        _readable(case, "admission", raw.errors)
        self._admission.mutate("CREATE", resource, case.obj, None, self._around)
        self._admission.review("UPDATE", resource, case.obj, SERVICES[0], self._around)
        if shaped is None:
            return None
        meta = dict(shaped.get("metadata") or {})
        namespace = meta.pop("namespace", "") or "default"
        shaped = {**shaped, "metadata": meta}
        if resource.namespaced:
            meta["namespace"] = namespace
        found = self._admission.review("CREATE", resource, shaped, None, self._around)
        _readable(case, "admission", found.errors)
        if raw.errors and not found.errors:
            case.wrong("admission", f"only the raw object is refused: {raw.errors[0]}"[:400])
        broken = oracle.refused_by_rules(resource, found.patched or shaped)
        if broken and not found.errors:
            case.wrong("admission", f"a CRD's rule refuses what admission accepts: {broken[0]}")
        for text in found.warnings:
            if len(text) > LONGEST_MESSAGE or not text.strip():
                case.wrong("admission", f"a warning nobody can read: {text[:100]!r}")
        if found.errors or found.patched is None:
            return None
        again = self._admission.review("CREATE", resource, found.patched, None, self._around)
        if again.errors or again.patched != found.patched:
            case.wrong("admission", f"admitting it twice differs: {again.errors[:1]}")
        problems = core_validation.validate(resource, _named(found.patched))
        _readable(case, "metadata", problems)
        stored = schema_of(resource).default(found.patched)
        wrong = schema_of(resource).validate(stored)
        if wrong:
            case.wrong("admission", f"what admission made is refused by the schema: {wrong[0]}")
        return None if problems else stored

    def _webhook(self, case: Case) -> None:
        name = str((_meta(case.obj)).get("name") or "")
        request = {
            "uid": "u",
            "operation": "CREATE",
            "resource": {"group": o.GROUP, "version": o.VERSION, "resource": case.resource.plural},
            "name": name,
            "namespace": "default" if case.resource.namespaced else "",
            "object": case.obj,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        body = json.dumps({**review, "request": request}).encode()
        for hook in HOOKS:
            if hook.resource != case.resource:
                continue
            try:
                told = json.loads(answer(body, hook, self._admission, self._around))["response"]
            except BadRequest as error:
                if not error.message.strip():
                    case.wrong("webhook", "refused without a word")
                continue
            if told["allowed"]:
                continue
            status = told["status"]
            if not 400 <= status["code"] < 500 or not status["message"].strip():
                case.wrong("webhook", f"{hook.name}: {status['code']} {status['message'][:200]}")

    # -- the embedded API server ------------------------------------------------------------------

    async def _api(self, case: Case, expected: Object | None) -> None:
        path = case.resource.path("default" if case.resource.namespaced else "")
        status, told = await self._send(case, "POST", f"{path}?dryRun=All", "application/json")
        case.accepted = status == 201
        if case.accepted and expected is None:
            case.wrong("api", "the API server accepts what schema and admission refuse")
        too_deep = "nested more than" in str(told.get("message"))  # a limit of bodies alone
        if not case.accepted and expected is not None and _plain(case) and not too_deep:
            case.wrong("api", f"refused here only: {status} {told.get('message')}"[:400])

    async def _apply(self, case: Case) -> None:
        name = _meta(case.obj).get("name")
        if not isinstance(name, str) or not re.fullmatch("[a-z0-9]{1,300}", name):
            return
        path = case.resource.path("default" if case.resource.namespaced else "", name)
        query = "?dryRun=All&fieldManager=fuzz&force=true"
        await self._send(case, "PATCH", path + query, "application/apply-patch+yaml")

    async def _send(self, case: Case, method: str, path: str, media: str) -> tuple[int, Any]:
        body = json.dumps(case.obj).encode()
        with case.stage("api"):
            async with self.session.request(
                method, f"http://api{path}", data=body, headers={"Content-Type": media}
            ) as response:
                told = json.loads(await response.read())
            if response.status >= 500:
                case.wrong("api", f"{method} {response.status}: {told.get('message')}"[:400])
            elif response.status >= 400 and not str(told.get("message")).strip():
                case.wrong("api", f"{method} {response.status} without a word")
            return response.status, told
        return 0, {}

    # -- the command line -------------------------------------------------------------------------

    def _files(self, case: Case) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
            file.write(to_yaml(case.obj))
            file.flush()
            entries, problems = manifests.collect([file.name])
            examined = findings.examine(entries, problems)
            if entries and repr(entries[0].object) != repr(case.obj):
                case.wrong("validate", "YAML gives back something else than was written")
        unknown = schema_of(case.resource).prune(case.obj)[1]
        if _plain(case) and not unknown and (examined.count("error") == 0) != case.accepted:
            said = "; ".join(str(f) for f in examined.findings if f.severity == "error")
            case.wrong("validate", f"API server {case.accepted}, ome validate: {said}"[:400])

    # -- deciding, explaining, rendering ----------------------------------------------------------

    def _decide(self, case: Case, stored: Object) -> None:
        named = {
            **stored,
            "apiVersion": case.resource.api_version,
            "kind": case.resource.kind,
            "metadata": {**stored["metadata"], "uid": "u"},
        }
        if case.resource == o.INFERENCE_SERVICES:
            services, around = (named,), self._around
        else:
            named["metadata"]["name"] = "fuzzed"
            services, around = SERVICES, Around(named)
            OmeAdmission().review("CREATE", o.INFERENCE_SERVICES, SERVICES[1], None, around)
        for service in services:
            decision = around.decide(service)
            if decision.selection is not None and not explain.lines(decision.selection):
                case.wrong("explain", "nothing is said")
            said = decision.problem.sentence if decision.problem else "fine"
            if not 0 < len(said.strip()) <= LONGEST_MESSAGE or _CONTROL.search(said):
                case.wrong("decide", f"a problem nobody can read: {len(said)} {said[:100]!r}")
            case.rendered += _children(case, decision)
            if case.number % 3 == 0 and _bytes(decision) != _bytes(around.decide(service)):
                case.wrong("decide", "the same input gives other children")


def _children(case: Case, decision: Decision) -> int:
    if decision.rendered is None:
        return 0
    for child in decision.rendered.children:
        json.dumps(child.object)
        schema = _core_schema(child.resource)
        if schema is None:
            continue
        # What probes need may be missing: our schema lets the runtime or the service give it.
        errors = [
            error
            for error in schema.validate(schema.default(child.object))
            if error.reason != "FieldValueRequired"
        ]
        if errors:
            case.wrong("render", f"{child.resource.kind}: {errors[0]}"[:400])
    return len(decision.rendered.children)


@cache
def _has_status(resource: Resource) -> bool:
    return "status" in crd(resource)["spec"]["versions"][0].get("subresources", {})


def _bytes(decision: Decision) -> str:
    made = decision.rendered.children if decision.rendered else ()
    return json.dumps([child.object for child in made])


def _core_schema(resource: Resource) -> Any:
    try:
        return definitions.schema_for(resource)
    except KeyError:
        return None


def _named(obj: Object) -> Object:
    """With the name that an API server makes of ``generateName``."""
    meta = _meta(obj)
    base = meta.get("generateName")
    if meta.get("name") or not isinstance(base, str) or not base:
        return obj
    return {**obj, "metadata": {**meta, "name": f"{base}abcde"}}


def _meta(obj: Object) -> Object:
    meta = obj.get("metadata")
    return meta if isinstance(meta, dict) else {}


def _plain(case: Case) -> bool:
    """Whether nothing is said in metadata that only a server minds, such as a revision."""
    obj, meta = case.obj, _meta(case.obj)
    return (
        obj.get("apiVersion") == case.resource.api_version
        and obj.get("kind") == case.resource.kind
        and meta.keys() <= _CALM
        and isinstance(meta.get("name"), str)
        and meta.get("namespace") in (("default",) if case.resource.namespaced else (None,))
    )


def _readable(case: Case, stage: str, errors: list[FieldError]) -> None:
    for error in errors:
        if error.path and not error.path.startswith(_ROOTS):
            case.wrong(stage, f"no path: {error}"[:300])
        elif not error.message.strip():
            case.wrong(stage, f"no message for {error.path}")
        elif len(error.message) > LONGEST_MESSAGE:
            case.wrong(stage, f"{len(error.message)} characters for {error.path[:100]}")
        elif _CONTROL.search(error.message):
            case.wrong(stage, f"control characters in {error.message[:200]!r}")


@asynccontextmanager
async def gates(folder: Path) -> AsyncIterator[Gates]:
    """A running API server with OME's kinds and rules, in this process."""
    store = Store.open(folder / "db")
    server = ApiServer(store, _Rules())
    socket = folder / "api.sock"
    try:
        await server.start(unix_socket=socket)
        connector = aiohttp.UnixConnector(str(socket))
        async with aiohttp.ClientSession(connector=connector) as session:
            gc.collect()
            gc.freeze()  # what is slow should be what was asked for
            url = f"http://api{CUSTOM_RESOURCE_DEFINITIONS.path()}"
            for crd in all_crds():
                async with session.post(url, json=crd) as response:
                    assert response.status == 201, await response.text()
            yield Gates(session)
    finally:
        gc.unfreeze()
        await server.stop()
        store.close()
