"""Keeps the webhooks' certificate: stored in a Secret, trusted by the API server, presented by us.

All replicas share the Secret ``ome-webhook-server-cert`` and do the same; none leads. A write
carries the version that was read, so of two that renew at once one wins and the other takes over
what it made. The order of one round makes rotation seamless:

1. read the Secret, and renew what is in it if need be (:mod:`ome.admission.pki`);
2. put its authorities into ``caBundle`` of our webhooks, wherever they are not there;
3. present its certificate. Where its authorities are others than those of what we present so far,
   only after a moment in which the API server learns of them.

Rounds happen at the start, whenever somebody changes a webhook configuration (an upgrade of the
chart empties ``caBundle``), and every minute; a failed one is tried again after a second or more.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from ome.admission import pki
from ome.admission.registration import HOOKS, Address
from ome.api import constants as c
from ome.apimachinery.errors import AlreadyExists, Conflict, NotFound, StatusError
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS
from ome.kube import Client
from ome.kube.errors import KubeError

log = logging.getLogger("ome.admission.certificates")

SECRET_NAME: Final = "ome-webhook-server-cert"
MANAGER: Final = "ome-webhook"
CONFIGURATIONS: Final = (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)
_ATTEMPTS: Final = 10
_LONGEST_RETRY: Final = 30.0


class Configurations(Protocol):
    """What is needed of an :class:`ome.kube.Informer` on webhook configurations."""

    def list(self, namespace: str = "") -> list[Object]: ...

    def add_handler(self, fn: Callable[[Any, Any, Any], None]) -> None: ...

    async def synced(self) -> None: ...


class CertificateKeeper:
    """``use`` is called with certificate and key (PEM) whenever there is another one.

    ``names``: hosts and IP addresses under which the API server reaches us. Times in seconds.
    """

    def __init__(
        self,
        client: Client,
        configurations: Mapping[Resource, Configurations],
        *,
        address: Address,
        names: Sequence[str],
        use: Callable[[bytes, bytes], None],
        secret_name: str = SECRET_NAME,
        lifetimes: pki.Lifetimes | None = None,
        interval: float = 60.0,
        settle: float = 5.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._configurations = configurations
        self._address = address
        self._names = tuple(names)
        self._use = use
        self._secret_name = secret_name
        self._lifetimes = lifetimes or pki.Lifetimes()
        self._interval = interval
        self._settle = settle
        self._clock = clock
        self._used: pki.Identity | None = None
        self._authorities = b""
        self._one_at_a_time = asyncio.Lock()
        self._problem = "the certificate has not been read yet"
        self._wake = asyncio.Event()
        for informer in configurations.values():
            informer.add_handler(lambda *_: self._wake.set())

    @property
    def authorities(self) -> bytes:
        """PEM of what clients have to trust, also before it is used; empty before the first round.

        Whoever writes webhook configurations puts this into ``caBundle``.
        """
        return self._authorities

    def problems(self) -> list[str]:
        """Why there is nothing to present; empty once there is, also if renewal fails."""
        return [] if self._used is not None else [self._problem]

    async def run(self) -> None:
        """Until cancelled."""
        retry = 1.0
        while True:
            self._wake.clear()
            try:
                await self.round()
                retry, wait = 1.0, self._interval * random.uniform(0.9, 1.1)
            except (StatusError, KubeError) as error:
                self._problem = f"the certificate could not be kept: {error}"
                log.warning("%s", self._problem)
                wait = retry * random.uniform(0.5, 1.0)
                retry = min(retry * 2, _LONGEST_RETRY)
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def round(self) -> None:
        """One round. Raises StatusError or KubeError; may be repeated."""
        async with self._one_at_a_time:
            await self._round()

    async def _round(self) -> None:
        identity = await self._stored()
        for informer in self._configurations.values():
            await informer.synced()
        self._authorities = identity.authorities
        await self._publish(identity.authorities)
        if identity == self._used:
            return
        if self._used is not None and identity.authorities != self._used.authorities:
            await asyncio.sleep(self._settle)
        self._use(identity.certificate, identity.key)
        self._used = identity
        log.info("the webhooks have a new certificate")

    # -- the Secret -----------------------------------------------------------------------------

    async def _stored(self) -> pki.Identity:
        """What the Secret holds, after renewing it where necessary."""
        namespace = self._address.namespace
        for _ in range(_ATTEMPTS):
            try:
                secret = await self._client.get(SECRETS, self._secret_name, namespace)
            except NotFound:
                secret = None
            data = (secret or {}).get("data") or {}
            if self._used is not None and not data.get(pki.CA):
                # Somebody deleted the Secret to get another one: what we present stays trusted.
                data = {**data, pki.CA: base64.b64encode(self._used.authorities).decode()}
            fresh = pki.renew(data, self._names, self._clock(), self._lifetimes)
            if fresh is None:
                return pki.identity(data)
            try:
                await self._write(secret, fresh)
            except (AlreadyExists, Conflict, NotFound):
                continue  # another replica was faster: take over what it made
            log.info("renewed the certificate in Secret %s/%s", namespace, self._secret_name)
            return pki.identity(fresh)
        raise Conflict(f"Secret {namespace}/{self._secret_name} changes all the time")

    async def _write(self, secret: Object | None, data: Mapping[str, str]) -> None:
        if secret is not None:
            merged = {**(secret.get("data") or {}), **data}
            await self._client.update(SECRETS, {**secret, "data": merged}, field_manager=MANAGER)
            return
        made: Object = {
            "apiVersion": SECRETS.api_version,
            "kind": SECRETS.kind,
            "metadata": {
                "name": self._secret_name,
                "namespace": self._address.namespace,
                "labels": {c.L_PART_OF: c.OPERATOR_NAME},
            },
            "type": "kubernetes.io/tls",
            "data": dict(data),
        }
        await self._client.create(SECRETS, made, field_manager=MANAGER)

    # -- trust ----------------------------------------------------------------------------------

    async def _publish(self, authorities: bytes) -> None:
        """Puts the authorities where the API server looks."""
        wanted = base64.b64encode(authorities).decode()
        for resource, informer in self._configurations.items():
            for configuration in informer.list():
                if _stale(configuration, self._address, wanted):
                    await self._trust(resource, configuration["metadata"]["name"], wanted)

    async def _trust(self, resource: Resource, name: str, wanted: str) -> None:
        for _ in range(_ATTEMPTS):
            try:
                live = copy_json(await self._client.get(resource, name))
                stale = list(_stale(live, self._address, wanted))
                if not stale:
                    return
                for webhook in stale:
                    webhook["clientConfig"]["caBundle"] = wanted
                await self._client.update(resource, live, field_manager=MANAGER)
            except Conflict:
                continue
            except NotFound:
                return
            log.info("%s %s trusts our certificate now", resource.kind, name)
            return
        raise Conflict(f"{resource.kind} {name} changes all the time")


def _stale(configuration: Object, address: Address, wanted: str) -> list[Object]:
    """The webhooks of the configuration that are ours and trust something else."""
    return [
        webhook
        for webhook in _ours(configuration, address)
        if webhook["clientConfig"].get("caBundle") != wanted
    ]


_NAMES: Final = frozenset(hook.name for hook in HOOKS)


def _ours(configuration: Object, address: Address) -> Iterator[Object]:
    """By name and by address: one that leads elsewhere belongs to another installation."""
    for webhook in configuration.get("webhooks") or ():
        if webhook.get("name") not in _NAMES:
            continue
        config = webhook.get("clientConfig") or {}
        service = config.get("service") or {}
        if address.url:
            if str(config.get("url") or "").startswith(address.url.rstrip("/") + "/"):
                yield webhook
        elif (service.get("namespace"), service.get("name")) == (
            address.namespace,
            address.service,
        ):
            yield webhook
