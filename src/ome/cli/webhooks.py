"""The webhooks of one replica, put together: server, certificate, and who is asked.

Two forms. In a cluster the chart makes the webhook configurations, which lead to our Service; a
replica only keeps the trust in them fresh. Outside (``url``) the replica also makes them, and puts
back what somebody deletes. A configuration that leads to another installation is never touched:
:meth:`Webhooks.rival` names it, and whoever finds one must not act.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ome.admission import OmeAdmission
from ome.admission.certificates import CONFIGURATIONS, MANAGER, CertificateKeeper
from ome.admission.registration import HOOKS, Address, configurations
from ome.admission.views import CachedView
from ome.admission.webhook import WebhookServer
from ome.api import constants as c
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object, Resource, metadata
from ome.cli.errors import CliError
from ome.cli.health import address as parse_address
from ome.kube import Client, Informer, KubeError

log = logging.getLogger("ome.webhooks")

_NAMES = frozenset(hook.name for hook in HOOKS)
_RETRY_SECONDS = 5.0
_LABEL = f"{c.L_PART_OF}={c.OPERATOR_NAME}"


class Webhooks:
    """``caches`` are those of :class:`ome.admission.views.CachedView`; others keep them."""

    def __init__(
        self,
        client: Client,
        caches: Mapping[Resource, Informer],
        *,
        namespace: str,
        url: str = "",
    ) -> None:
        self._client = client
        self._view = CachedView(caches)
        self._configurations = {
            resource: Informer(client, resource, label_selector=_LABEL)
            for resource in CONFIGURATIONS
        }
        self._address = Address(namespace, url=url)
        self._keeper = CertificateKeeper(
            client,
            self._configurations,
            address=self._address,
            names=_names(self._address),
            use=self._use,
        )
        self._server = WebhookServer(
            OmeAdmission(namespace=namespace), self._view, problems=self._waiting
        )
        self._certified = asyncio.Event()
        self._changed = asyncio.Event()
        self._registered = not url
        for informer in self._configurations.values():
            informer.add_handler(lambda *_: self._changed.set())

    @property
    def port(self) -> int:
        return self._server.port

    def informers(self) -> list[Informer]:
        return list(self._configurations.values())

    async def start(self, listen: str) -> None:
        """Listens; answers 503 until it is ready. Raises CliError."""
        host, port = parse_address(listen)
        try:
            await self._server.start(host, port)
        except OSError as error:
            why = error.strerror or str(error)
            raise CliError(
                f"can't listen on {listen} for webhooks: {why}", remedy="Give --webhook-listen"
            ) from error

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self.informers():
                tasks.create_task(informer.run(), name=f"watch {informer.resource}")
            tasks.create_task(self._keeper.run(), name="webhook certificate")
            if self._address.url:
                tasks.create_task(self._register(), name="webhook registration")

    async def stop(self) -> None:
        await self._server.stop()

    def problems(self) -> list[str]:
        """Why this replica can't review yet; empty when it can."""
        found = [*self._waiting(), *self._keeper.problems()]
        if not self._registered:
            found.append("the webhooks are not registered yet")
        return found

    def rival(self) -> str:
        """Another installation that the webhooks lead to; empty where there is none."""
        for configuration in self._live():
            for webhook in configuration.get("webhooks") or ():
                config = webhook.get("clientConfig") or {}
                if webhook.get("name") in _NAMES and _foreign(config, self._address):
                    return (
                        f"the webhooks in {configuration['kind']} "
                        f"{metadata(configuration)['name']} lead to {_shown(config)}: another "
                        f"installation of OME is in charge here. Uninstall one of the two"
                    )
        return ""

    async def synced(self) -> None:
        for informer in self.informers():
            await informer.synced()

    # -- inside -------------------------------------------------------------------------------

    def _live(self) -> Iterator[Object]:
        for informer in self.informers():
            yield from informer.list()

    def _waiting(self) -> list[str]:
        return [f"{name} have not been read yet" for name in self._view.waiting_for()]

    def _use(self, certificate: bytes, key: bytes) -> None:
        self._server.use(certificate, key)
        self._certified.set()

    async def _register(self) -> None:
        """Makes the configurations that lead to our URL, and keeps them there.

        Only once reviews can be answered: the first request may come a moment later.
        """
        await self.synced()
        await self._certified.wait()
        while self._waiting():  # noqa: ASYNC110 - caches have no event for all of them
            await asyncio.sleep(0.1)
        while True:
            self._changed.clear()
            wait: float | None = None
            try:
                await self._put()
                self._registered = True
            except (StatusError, KubeError) as error:
                log.warning("the webhooks could not be registered: %s", error)
                wait = _RETRY_SECONDS
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _put(self) -> None:
        """Writes nothing where everything is as it should be. Whom an existing one trusts is the
        certificate keeper's business."""
        live = {(obj["kind"], metadata(obj)["name"]): obj for obj in self._live()}
        for wanted, bare in zip(
            configurations(self._address, self._keeper.authorities),
            configurations(self._address),
            strict=True,
        ):
            name = metadata(wanted)["name"]
            if _contains(live.get((wanted["kind"], name)), bare):
                continue
            resource = next(r for r in CONFIGURATIONS if r.kind == wanted["kind"])
            await self._client.apply(resource, wanted, field_manager=MANAGER)
            log.info("%s %s leads to %s", wanted["kind"], name, self._address.url)


def _names(address: Address) -> tuple[str, ...]:
    if not address.url:
        return address.dns_names()
    parts = urlsplit(address.url)
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise CliError(f"{address.url!r} is no URL for webhooks", remedy="Write https://HOST:PORT")
    return (parts.hostname,)


def _foreign(config: Mapping[str, Any], address: Address) -> bool:
    service = config.get("service")
    if address.url:
        return bool(service)
    if not service:
        return bool(config.get("url"))
    return (service.get("namespace"), service.get("name")) != (address.namespace, address.service)


def _shown(config: Mapping[str, Any]) -> str:
    service = config.get("service") or {}
    return str(
        config.get("url")
        or f"Service {service.get('name')} in namespace {service.get('namespace')}"
    )


def _contains(live: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there; the server may have filled in more."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(_contains(live.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(map(_contains, live, wanted))
        )
    return bool(live == wanted)
