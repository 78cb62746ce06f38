"""The webhook server over real TLS: AdmissionReview in, AdmissionReview out."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from tests.fakes.objects import model, runtime, service
from tests.fakes.view import FixedView
from tests.unit.admission.pods import config, pod, weight

from ome.admission import OmeAdmission, pki
from ome.admission.registration import DEFAULTER, HOOKS, POD_MUTATOR, Hook
from ome.admission.webhook import MAX_BODY, WebhookServer
from ome.api import resources as o
from ome.apimachinery.objects import Resource
from ome.apimachinery.patches import json_patch

Object = dict[str, Any]
SERVICE = next(hook for hook in HOOKS if hook.path.startswith("/validate-ome-io-v1beta1-infer"))


def new_identity() -> pki.Identity:
    data = pki.renew({}, ["127.0.0.1"], datetime.now(UTC), pki.Lifetimes())
    assert data is not None
    return pki.identity(data)


def config_map() -> Object:
    data = config(deploy={"defaultDeploymentMode": "RawDeployment"})
    meta = {"name": "inferenceservice-config", "namespace": "ome"}
    return {"kind": "ConfigMap", "metadata": meta, "data": data}


@dataclass
class Api:
    """Plays the API server."""

    server: WebhookServer
    identity: pki.Identity
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    async def ask(self, hook: Hook, obj: Object | None, **request: Any) -> Object:
        """The response to a review of ``obj``."""
        envelope = review(hook, obj, **request)
        async with self.session.post(self.url + hook.path, json=envelope) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "application/json"
            told: Object = await answer.json()
        assert told["apiVersion"] == envelope["apiVersion"]
        assert told["kind"] == "AdmissionReview"
        assert told["response"]["uid"] == envelope["request"]["uid"]
        return dict(told["response"])

    async def ask_raw(self, hook: Hook, obj: Any) -> Object:
        """Like ``ask`` for what may be no object at all."""
        envelope = review(hook, None)
        envelope["request"]["object"] = obj
        async with self.session.post(self.url + hook.path, json=envelope) as answer:
            return dict((await answer.json())["response"])

    async def post(self, hook: Hook, body: bytes | io.BytesIO) -> tuple[int, str]:
        async with self.session.post(self.url + hook.path, data=body) as answer:
            return answer.status, await answer.text()


def review(
    hook: Hook,
    obj: Object | None,
    *,
    old: Object | None = None,
    version: str = "v1",
    resource: Resource | None = None,
    **more: Any,
) -> Object:
    asked = resource or hook.resource
    request: Object = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": asked.group, "version": asked.version, "kind": asked.kind},
        "resource": {"group": asked.group, "version": asked.version, "resource": asked.plural},
        "operation": "UPDATE" if old else "CREATE",
        "name": ((obj or {}).get("metadata") or {}).get("name", ""),
        "namespace": "default" if asked.namespaced else "",
        "userInfo": {"username": "somebody"},
        "object": obj,
        "oldObject": old,
        "dryRun": False,
        "options": None,
        **more,
    }
    return {
        "apiVersion": f"admission.k8s.io/{version}",
        "kind": "AdmissionReview",
        "request": request,
    }


def patched(obj: Object, response: Object) -> Object:
    assert response["patchType"] == "JSONPatch"
    found: Object = json_patch(obj, json.loads(base64.b64decode(response["patch"])))
    return found


@asynccontextmanager
async def serving(*objects: Object, **options: Any) -> AsyncIterator[Api]:
    view = FixedView(config_map(), weight(), *objects)
    server = WebhookServer(OmeAdmission(), view, **options)
    await server.start("127.0.0.1")
    identity = new_identity()
    server.use(identity.certificate, identity.key)
    trust = ssl.create_default_context(cadata=identity.authorities.decode())
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            yield Api(server, identity, session)
    finally:
        await server.stop()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(model(), runtime()) as found:
        yield found


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_service_is_defaulted_in_the_version_of_the_request(api: Api, version: str) -> None:
    response = await api.ask(DEFAULTER, service(), version=version)
    assert response["allowed"] is True
    made = patched(service(), response)
    assert made["metadata"]["annotations"] == {"ome.io/deploymentMode": "RawDeployment"}
    assert made["spec"]["engine"] == {"minReplicas": 1, "maxReplicas": 3}


async def test_what_is_complete_gets_no_patch(api: Api) -> None:
    done = patched(service(), await api.ask(DEFAULTER, service()))
    response = await api.ask(DEFAULTER, done)
    assert "patch" not in response
    assert "patchType" not in response


async def test_a_refusal_lists_all_problems(api: Api) -> None:
    bad = service(engine={"minReplicas": 5, "maxReplicas": 2}, router={"minReplicas": -1})
    bad["metadata"]["annotations"] = {"ome.io/autoscalerClass": "HPA"}
    response = await api.ask(SERVICE, bad)
    assert response["allowed"] is False
    status = response["status"]
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["details"]["kind"] == "InferenceService"
    fields = [cause["field"] for cause in status["details"]["causes"]]
    assert fields == [
        "metadata.annotations[ome.io/autoscalerClass]",
        "spec.engine.maxReplicas",
        "spec.router.minReplicas",
    ]
    assert all(field in status["message"] for field in fields)


async def test_warnings_are_single_lines(api: Api) -> None:
    waiting = service(model="not\nyet")
    response = await api.ask(SERVICE, waiting)
    assert response["allowed"] is True
    assert any("not\\nyet does not exist yet" in text for text in response["warnings"])
    assert not any("\n" in text for text in response["warnings"])


async def test_edits_that_make_nothing_worse_pass(api: Api) -> None:
    old = service(engine={"minReplicas": 5, "maxReplicas": 2})
    new = {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}
    assert (await api.ask(SERVICE, new, old=old))["allowed"] is True


async def test_what_is_being_deleted_passes(api: Api) -> None:
    gone = service(engine={"minReplicas": -1})
    gone["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    for hook in (DEFAULTER, SERVICE):
        response = await api.ask(hook, gone, old=service())
        assert response == {"allowed": True, "uid": response["uid"]}


async def test_a_pod_is_mutated(api: Api) -> None:
    subject = pod({"rdma.ome.io/auto-inject": "true"})
    response = await api.ask(POD_MUTATOR, subject, name="")
    made = patched(subject, response)
    assert len(made["spec"]["containers"][0]["env"]) == 21
    again = await api.ask(POD_MUTATOR, made, name="")
    assert "patch" not in again


async def test_a_pod_is_refused_with_all_problems_and_under_its_generated_name(api: Api) -> None:
    subject = pod(
        {"ome.io/inject-fine-tuned-adapter": "no", "ome.io/inject-serving-sidecar": "true"}
    )
    status = (await api.ask(POD_MUTATOR, subject, name=""))["status"]
    assert 'Pod "chat-engine-5d4f-" is invalid' in status["message"]
    assert len(status["details"]["causes"]) == 2


BROKEN: dict[Resource, Object] = {
    o.SERVING_RUNTIMES: {"engineConfig": {"worker": {"size": 0}}},
    o.CLUSTER_SERVING_RUNTIMES: {"modelSizeRange": {"min": "9B", "max": "1B"}},
    o.BASE_MODELS: {"storage": {"storageUri": "nowhere"}},
    o.CLUSTER_BASE_MODELS: {"storage": {"path": "../etc"}},
    o.FINE_TUNED_WEIGHTS: {"storage": {"storageUri": "ftp://x"}},
    o.BENCHMARK_JOBS: {"endpoint": {}, "task": "text-to-text"},
}


@pytest.mark.parametrize("resource", BROKEN, ids=lambda resource: resource.plural)
async def test_every_kind_has_its_path(api: Api, resource: Resource) -> None:
    hook = next(hook for hook in HOOKS if hook.resource is resource)
    obj = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": "x"},
        "spec": BROKEN[resource],
    }
    response = await api.ask(hook, obj)
    assert response["allowed"] is False
    assert response["status"]["details"]["kind"] == resource.kind
    assert (await api.ask(hook, {**obj, "spec": {}}))["allowed"] in (True, False)


async def test_a_status_update_passes(api: Api) -> None:
    assert (await api.ask(SERVICE, {"spec": 1}, subResource="status"))["allowed"] is True


async def test_another_kind_at_a_path_is_refused(api: Api) -> None:
    response = await api.ask(SERVICE, service(), resource=o.BASE_MODELS)
    assert response["allowed"] is False
    assert "correct the webhook configuration" in response["status"]["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no AdmissionReview"),
        (b"{}", "no AdmissionReview"),
        (b"\xff\xfe", "no AdmissionReview"),
        (b'{"apiVersion":"v1","kind":"Pod"}', "is not understood"),
        (b'{"apiVersion":"admission.k8s.io/v2","kind":"AdmissionReview"}', "is not understood"),
        (b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', "no request"),
        (b"[" * 200_000, "no AdmissionReview"),
    ],
)
async def test_what_is_no_review_is_a_bad_request(api: Api, body: bytes, said: str) -> None:
    status, text = await api.post(SERVICE, body)
    assert status == 400
    assert said in text


@pytest.mark.parametrize("obj", [[], "text", {"metadata": "x"}])
async def test_what_is_no_object_is_refused(api: Api, obj: Any) -> None:
    response = await api.ask_raw(SERVICE, obj)
    assert response["status"]["code"] == 400
    assert (await api.ask(SERVICE, service()))["allowed"] is True


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ([], "spec"),
        ({"engine": "x"}, "spec.engine"),
        ({"predictor": {"containers": ["x"], "minReplicas": 1}}, "spec.predictor.containers[0]"),
        ({"engine": {"runner": {"env": "x"}}, "router": 3}, "spec.router"),
    ],
)
async def test_what_the_schema_will_refuse_is_left_to_it_and_then_named(
    api: Api, spec: Any, field: str
) -> None:
    obj = {**service(), "spec": spec}
    defaulted = await api.ask(DEFAULTER, obj)
    assert defaulted == {"allowed": True, "uid": defaulted["uid"]}
    refused = await api.ask(SERVICE, obj)
    assert refused["status"]["code"] == 422
    assert field in [cause["field"] for cause in refused["status"]["details"]["causes"]]


async def test_deep_objects_are_refused(api: Api) -> None:
    deep: Object = {}
    for _ in range(400):
        deep = {"a": deep}
    assert "allowed" in await api.ask(SERVICE, service(engine={"x": deep}))
    text = json.dumps(review(SERVICE, service())).replace('"engine": {}', '"engine": %s')
    status, said = await api.post(SERVICE, (text % ('{"a":' * 9000 + "1" + "}" * 9000)).encode())
    assert status == 400
    assert "nested too deeply" in said


async def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    status, _ = await api.post(SERVICE, io.BytesIO(b" " * (MAX_BODY + 1)))
    assert status == 413


async def test_a_review_that_does_not_arrive_in_time_is_given_up(api: Api) -> None:
    trust = ssl.create_default_context(cadata=api.identity.authorities.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=trust)
    path = f"{SERVICE.path}?timeout=50ms"
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{".encode())
    await writer.drain()
    async with asyncio.timeout(10):
        line = await reader.readline()
    writer.close()
    assert line.split()[1] == b"408"


async def test_a_fault_of_ours_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FixedView):
        def list(self, resource: Resource, namespace: str = "") -> list[Object]:
            raise RuntimeError("a bug")

    async with serving() as api:
        api.server._view = Broken()
        response = await api.ask(SERVICE, service())
    assert response["allowed"] is False
    assert response["status"]["code"] == 500
    assert "a bug" in caplog.text
    assert "a bug" not in response["status"]["message"]


async def test_until_it_is_ready_it_answers_nothing() -> None:
    waiting = ["basemodels.ome.io have not been read yet"]
    async with serving(problems=lambda: waiting) as api:
        async with api.session.get(f"{api.url}/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, waiting[0])
        assert (await api.post(SERVICE, json.dumps(review(SERVICE, service())).encode()))[0] == 503
        async with api.session.get(f"{api.url}/healthz") as answer:
            assert answer.status == 200
        waiting.clear()
        async with api.session.get(f"{api.url}/readyz") as answer:
            assert answer.status == 200
        assert (await api.ask(SERVICE, service()))["allowed"] is True


async def test_without_a_certificate_it_is_not_ready() -> None:
    server = WebhookServer(OmeAdmission(), FixedView())
    assert server.problems() == ["there is no certificate yet"]


async def test_a_new_certificate_is_presented_without_a_restart(api: Api) -> None:
    assert (await api.ask(SERVICE, service()))["allowed"] is True
    fresh = new_identity()
    api.server.use(fresh.certificate, fresh.key)
    # The connection that is open goes on with the former one.
    assert (await api.ask(SERVICE, service()))["allowed"] is True
    trust = ssl.create_default_context(cadata=fresh.authorities.decode())
    connector = aiohttp.TCPConnector(ssl=trust)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"{api.url}/healthz") as answer,
    ):
        assert answer.status == 200


async def test_stopping_lets_a_review_finish() -> None:
    async with serving(model(), runtime()) as api:
        asked = [asyncio.create_task(api.ask(SERVICE, service())) for _ in range(20)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        await api.server.stop()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    answered = [found for found in outcomes if isinstance(found, dict)]
    assert answered
    assert all(found["allowed"] for found in answered)
    refused = [found for found in outcomes if not isinstance(found, dict)]
    assert all(isinstance(found, aiohttp.ClientConnectionError) for found in refused)
