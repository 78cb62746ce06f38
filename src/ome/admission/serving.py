"""The webhooks of one replica, put together: caches, certificate, server, registration.

Every replica runs this, the leader and the others alike. In what order things get ready doesn't
matter to the caller: :meth:`Webhooks.problems` says what is still missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from ome.admission import views
from ome.admission.certificates import CONFIGURATIONS, MANAGER, CertificateKeeper
from ome.admission.registration import Address, configurations
from ome.admission.review import OmeAdmission
from ome.admission.webhook import WebhookServer
from ome.api import constants as c
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Resource
from ome.apimachinery.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from ome.kube import Client, Informer
from ome.kube.errors import KubeError

log = logging.getLogger("ome.admission.serving")

_RETRY = 2.0


class Webhooks:
    """``run`` until cancelled.

    ``url`` makes the API server call that address instead of the Service; ``{port}`` in it stands
    for the port that is listened on. With ``register`` the webhook configurations are applied too;
    otherwise whoever installs OME does that.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str = c.DEFAULT_NAMESPACE,
        host: str = "",
        port: int = c.WEBHOOK_PORT,
        url: str = "",
        register: bool = False,
        migrate_predictors: bool = True,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._host, self._port, self._url = host, port, url
        self._register = register
        self._caches: dict[Resource, Informer] = views.informers(client, namespace)
        self._view = views.CachedView(self._caches)
        self._configurations = {resource: Informer(client, resource) for resource in CONFIGURATIONS}
        self._keeper: CertificateKeeper | None = None
        self.server = WebhookServer(
            OmeAdmission(namespace=namespace, migrate_predictors=migrate_predictors),
            self._view,
            problems=self._problems,
        )

    def problems(self) -> list[str]:
        """Why reviews are not answered yet; empty when they are."""
        return self.server.problems()

    def _problems(self) -> list[str]:
        found = [f"{resource} have not been read yet" for resource in self._view.waiting_for()]
        return found + (self._keeper.problems() if self._keeper else ["starting"])

    async def run(self, started: Callable[[], None] = lambda: None) -> None:
        """``started`` is called once the port is open; raises OSError where it can't be."""
        await self.server.start(self._host, self._port)
        try:
            address = Address(
                self._namespace, url=self._url.replace("{port}", str(self.server.port))
            )
            self._keeper = CertificateKeeper(
                self._client,
                self._configurations,
                address=address,
                names=_names(address),
                use=self.server.use,
            )
            started()
            async with asyncio.TaskGroup() as tasks:
                for informer in (*self._caches.values(), *self._configurations.values()):
                    tasks.create_task(informer.run(), name=f"watch {informer.resource}")
                tasks.create_task(self._keeper.run(), name="webhook certificate")
                if self._register:
                    tasks.create_task(self._apply(address), name="register webhooks")
        finally:
            await self.server.stop()

    async def _apply(self, address: Address) -> None:
        """Registers once reviews can be answered: before that, nobody could write anything."""
        assert self._keeper is not None
        while self.problems():  # noqa: ASYNC110 - several things get ready in their own time
            await asyncio.sleep(0.05)
        waiting = configurations(address, self._keeper.authorities)
        while waiting:
            mutating = waiting[0]["kind"] == MUTATING_WEBHOOKS.kind
            resource = MUTATING_WEBHOOKS if mutating else VALIDATING_WEBHOOKS
            try:
                await self._client.apply(resource, waiting[0], field_manager=MANAGER)
            except (StatusError, KubeError) as error:
                log.warning("registering %s: %s", waiting[0]["metadata"]["name"], error)
                await asyncio.sleep(_RETRY)
            else:
                waiting.pop(0)
        log.info("the webhooks are registered")


def _names(address: Address) -> tuple[str, ...]:
    """What the certificate must be good for."""
    host = urlsplit(address.url).hostname if address.url else None
    return (*address.dns_names(), host) if host else address.dns_names()
