"""Certificate and webhooks of a replica, against the embedded API server over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fakes import webhooks
from tests.fakes.objects import model, service

from ome.admission import pki
from ome.admission.certificates import CONFIGURATIONS, SECRET_NAME, CertificateKeeper
from ome.admission.registration import HOOKS, Address, configurations
from ome.api import resources as o
from ome.api.crds import all_crds
from ome.apimachinery.errors import Forbidden
from ome.apimachinery.objects import Resource
from ome.apimachinery.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    MUTATING_WEBHOOKS,
    NAMESPACES,
    SECRETS,
    VALIDATING_WEBHOOKS,
)
from ome.kube import Client, Informer
from ome.standalone.apiserver import ApiServer, Store

Object = dict[str, Any]
ADDRESS = Address("ome", url="https://127.0.0.1:1")
NAME = "inferenceservice.ome.io"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    store = Store.open(tmp_path / "store.db")
    server = ApiServer(store)
    try:
        await server.start(tmp_path / "api.sock")
        async with Client.unix(tmp_path / "api.sock") as made:
            with contextlib.suppress(Exception):
                await made.create(NAMESPACES, {"metadata": {"name": "ome"}})
            yield made
    finally:
        await server.stop()
        store.close()


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


class Replica:
    """A keeper with running informers; ``used`` is what it presented, in order."""

    def __init__(self, client: Client, clock: Clock, **options: Any) -> None:
        self.used: list[bytes] = []
        self.trusted: list[str] = []
        self._client = client
        self._informers = {resource: Informer(client, resource) for resource in CONFIGURATIONS}
        self.keeper = CertificateKeeper(
            client,
            self._informers,
            address=ADDRESS,
            names=("127.0.0.1",),
            use=self._use,
            clock=clock,
            **{"settle": 0.0, **options},
        )
        self._tasks: list[asyncio.Task[None]] = []

    def _use(self, certificate: bytes, key: bytes) -> None:
        self.used.append(certificate)

    def start(self, *, keep: bool = False) -> None:
        runs = [informer.run() for informer in self._informers.values()]
        if keep:
            runs.append(self.keeper.run())
        self._tasks = [asyncio.create_task(run) for run in runs]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.fixture
async def replicas(client: Client) -> AsyncIterator[Callable[..., Replica]]:
    made: list[Replica] = []
    clock = Clock()

    def make(*, keep: bool = False, **options: Any) -> Replica:
        replica = Replica(client, options.pop("clock", clock), **options)
        replica.start(keep=keep)
        made.append(replica)
        return replica

    yield make
    for replica in made:
        await replica.stop()


async def until(what: str, check: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(15):
            while not await check():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within 15 s: {what}")


async def register(client: Client, address: Address = ADDRESS) -> None:
    for configuration in configurations(address):
        mutating = configuration["kind"] == MUTATING_WEBHOOKS.kind
        resource = MUTATING_WEBHOOKS if mutating else VALIDATING_WEBHOOKS
        await client.apply(resource, configuration, field_manager="chart")


async def bundles(client: Client) -> set[bytes]:
    """All distinct authorities that the API server would trust for our webhooks."""
    found = set()
    for resource in (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS):
        for configuration in (await client.list(resource)).items:
            for webhook in configuration["webhooks"]:
                found.add(base64.b64decode(webhook["clientConfig"].get("caBundle") or ""))
    return found


async def secret(client: Client) -> Object:
    return await client.get(SECRETS, SECRET_NAME, "ome")


async def test_the_first_round_stores_publishes_and_presents(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    replica = replicas()
    assert replica.keeper.problems()
    await replica.keeper.round()
    stored = await secret(client)
    assert stored["type"] == "kubernetes.io/tls"
    assert replica.used == [base64.b64decode(stored["data"]["tls.crt"])]
    assert await bundles(client) == {base64.b64decode(stored["data"]["ca.crt"])}
    assert replica.keeper.problems() == []


async def test_replicas_that_start_at_once_share_one_certificate(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    several = [replicas() for _ in range(4)]
    await asyncio.gather(*(replica.keeper.round() for replica in several))
    assert len({replica.used[-1] for replica in several}) == 1
    assert len(await bundles(client)) == 1


async def test_a_round_with_nothing_to_do_writes_nothing(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    replica = replicas()
    await replica.keeper.round()
    before = await versions(client)
    await replica.keeper.round()
    assert await versions(client) == before
    assert len(replica.used) == 1


async def versions(client: Client) -> list[str]:
    listed = [
        item
        for resource in (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS, SECRETS)
        for item in (await client.list(resource)).items
    ]
    return [item["metadata"]["resourceVersion"] for item in listed]


async def test_an_emptied_bundle_is_filled_again_at_once(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    replica = replicas(keep=True, interval=3600)

    async def trusted() -> bool:
        return await bundles(client) == {replica.keeper.authorities} != {b""}

    await until("trust", trusted)
    live = await client.get(VALIDATING_WEBHOOKS, NAME)
    live["webhooks"][0]["clientConfig"]["caBundle"] = ""
    await client.update(VALIDATING_WEBHOOKS, live)
    await until("trust again", trusted)
    # An upgrade may also bring the configurations later than the first round.
    await client.delete(MUTATING_WEBHOOKS, NAME)
    await register(client)
    await until("trust of what is made anew", trusted)


async def test_webhooks_of_others_are_left_alone(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client, Address("other"))
    foreign = configurations(ADDRESS)[0]
    foreign["metadata"]["name"] = "foreign"
    foreign["webhooks"][0]["name"] = "foreign.example.com"
    await client.create(MUTATING_WEBHOOKS, {**foreign, "webhooks": foreign["webhooks"][:1]})
    await replicas().keeper.round()
    assert await bundles(client) == {b""}


async def test_a_new_authority_is_published_before_its_certificate_is_presented(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    clock = Clock()
    replica = replicas(clock=clock)
    await replica.keeper.round()
    first = replica.keeper.authorities
    seen: list[set[bytes]] = []
    original = replica.keeper._use

    def use(certificate: bytes, key: bytes) -> None:
        seen.append(asked)
        original(certificate, key)

    asked: set[bytes] = set()
    publish = replica.keeper._publish

    async def published(authorities: bytes) -> None:
        nonlocal asked
        await publish(authorities)
        asked = await bundles(client)

    replica.keeper._use = use  # type: ignore[method-assign]
    replica.keeper._publish = published  # type: ignore[method-assign]
    clock.now += timedelta(days=3400)
    await replica.keeper.round()
    assert len(replica.used) == 2
    (trusted,) = seen[0]
    assert trusted == replica.keeper.authorities
    assert trusted.endswith(first)
    assert trusted != first


async def test_whoever_registers_is_told_of_new_authorities_before_they_are_used(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    clock = Clock()
    replica = replicas(clock=clock, settle=3600.0)
    await replica.keeper.round()
    former = replica.keeper.authorities
    clock.now += timedelta(days=3400)
    rotating = asyncio.create_task(replica.keeper.round())

    async def told() -> bool:
        return await bundles(client) == {replica.keeper.authorities} != {former}

    await until("new authorities", told)
    assert len(replica.used) == 1
    rotating.cancel()


async def test_another_replica_waits_too_until_the_api_server_has_learned(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    clock = Clock()
    one, other = replicas(clock=clock), replicas(clock=clock, settle=3600.0)
    await one.keeper.round()
    await other.keeper.round()
    clock.now += timedelta(days=3400)
    await one.keeper.round()
    assert len(one.used) == 2
    waiting = asyncio.create_task(other.keeper.round())

    async def told() -> bool:
        return other.keeper.authorities == one.keeper.authorities

    await until("what the first one stored", told)
    assert len(other.used) == 1
    waiting.cancel()


async def test_deleting_the_secret_makes_another_and_keeps_trusting_what_is_presented(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    await register(client)
    replica = replicas()
    await replica.keeper.round()
    former = replica.keeper.authorities
    await client.delete(SECRETS, SECRET_NAME, "ome")
    await replica.keeper.round()
    assert len(replica.used) == 2
    (trusted,) = await bundles(client)
    assert trusted.endswith(former) and trusted != former


async def test_another_replicas_renewal_is_taken_over(
    client: Client, replicas: Callable[..., Replica]
) -> None:
    early, late = Clock(), Clock()
    one, other = replicas(clock=early), replicas(clock=late)
    await one.keeper.round()
    early.now += timedelta(days=59, hours=23)
    late.now += timedelta(days=60, hours=1)
    await other.keeper.round()
    await one.keeper.round()
    assert one.used[-1] == other.used[-1]
    assert one.used[0] != one.used[-1]


async def test_a_failing_api_is_a_problem_that_passes(
    client: Client, replicas: Callable[..., Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0
    get = client.get

    async def forbidden(resource: Resource, name: str, namespace: str = "") -> Object:
        nonlocal refused
        if resource is SECRETS and refused < 1:
            refused += 1
            raise Forbidden("no access to secrets")
        return await get(resource, name, namespace)

    monkeypatch.setattr(client, "get", forbidden)
    replica = replicas(keep=True)

    async def told() -> bool:
        return "no access to secrets" in replica.keeper.problems()[0]

    await until("the problem", told)

    async def fine() -> bool:
        return not replica.keeper.problems()

    await until("recovery", fine)


async def test_a_replica_registers_itself_and_reviews_with_what_the_api_has(
    client: Client,
) -> None:
    for crd in all_crds():
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    replica = webhooks.Replica(client)
    await replica.start()
    try:

        async def ready() -> bool:
            return not replica.problems()

        await until("readiness", ready)

        async def registered() -> bool:
            items = (await client.list(VALIDATING_WEBHOOKS)).items
            return len(items) == len(o.ALL) and b"" not in await bundles(client)

        await until("registration", registered)
        live = await client.get(VALIDATING_WEBHOOKS, NAME)
        config = live["webhooks"][0]["clientConfig"]
        authorities = base64.b64decode(config["caBundle"]).decode()
        trust = ssl.create_default_context(cadata=authorities)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:

            async def warned() -> list[str]:
                async with session.post(config["url"], json=_review(service())) as answer:
                    return list((await answer.json())["response"].get("warnings") or ())

            assert "model tiny does not exist yet" in (await warned())[0]
            await client.create(o.CLUSTER_BASE_MODELS, model())

            async def seen() -> bool:
                return not any("does not exist" in text for text in await warned())

            await until("the model to be seen", seen)
    finally:
        await replica.stop()


def _review(obj: Object) -> Object:
    hook = next(hook for hook in HOOKS if hook.resource is o.INFERENCE_SERVICES)
    request = {
        "uid": "u",
        "operation": "CREATE",
        "resource": {"group": o.GROUP, "version": o.VERSION, "resource": hook.resource.plural},
        "object": obj,
    }
    kind = "AdmissionReview"
    return {"apiVersion": "admission.k8s.io/v1", "kind": kind, "request": request}


def test_secrets_hold_what_the_server_needs() -> None:
    data = pki.renew({}, ["a"], datetime.now(UTC), pki.Lifetimes())
    assert data is not None
    assert sorted(data) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]
