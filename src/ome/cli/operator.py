"""``ome operator``: the rooms put together for a Kubernetes cluster.

Every replica keeps the caches, serves webhooks, health and metrics. One of them holds the Lease and
acts; the others have read everything already, so that the next one acts as soon as the Lease is
free. Who loses the Lease stops acting, keeps everything else up and stands by again.

Stopping (SIGTERM): first it is no longer ready and gives the Lease back, so that another replica
leads at once; for ``drain`` seconds it still answers webhooks, until nobody sends it any; then the
rest ends.

Nothing the API server says ends the process: a missing right, a missing CRD or a server that is
away are waited out. ``/readyz`` and the log say what is missing, with the rule to add where it is a
right. Only what can't get better by itself is an error at the start: an address that is taken, an
API server that is too old.

Out of memory ends it at once, as the kernel would: caches that missed a change can't be trusted,
and a new process does nothing to what is healthy.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import msgspec

from ome import __version__
from ome.admission.views import LOOKED_AT
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.errors import StatusError
from ome.apimachinery.objects import Object, Resource, labels_of
from ome.apimachinery.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS
from ome.cli import forbidden, shipped
from ome.cli.errors import FAILURE, CliError
from ome.cli.health import HealthServer
from ome.cli.metrics import CONTENT_TYPE, Metrics
from ome.cli.webhooks import Webhooks
from ome.controllers import Operator
from ome.controllers.claims import Inspector
from ome.controllers.plan import OPTIONAL
from ome.kube import Client, Informer, KubeError, LeaderElector, LeadershipLost

log = logging.getLogger("ome.operator")

OLDEST_SERVER = (1, 28)
"""Before it, the API server ignores conditions of webhooks."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_TELL_SECONDS = 15.0
_RIVAL_SECONDS = 5.0
_OPTIONAL = frozenset(f"{kind.plural}.{kind.group}" for kind in OPTIONAL)
L_VERSION = "app.kubernetes.io/version"
_LAST_WORDS = (
    b'{"level":"error","logger":"ome.operator","msg":"out of memory, the operator ends; what it '
    b'manages is not touched. Raise its memory limit if that happens again"}\n'
)
"""Made beforehand: there is no memory left then."""


def own_identity() -> str:
    """Different for every process, also on one host."""
    return f"{socket.gethostname()}_{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Options:
    """Addresses are ``HOST:PORT``; port 0 takes a free one, and the log says which.

    ``webhook_url`` is for operators outside of the cluster. ``webhook_listen`` empty: no webhooks.
    """

    namespace: str = c.DEFAULT_NAMESPACE
    listen: str = ":8080"
    webhook_listen: str = ":9443"
    webhook_url: str = ""
    elect: bool = True
    drain: float = 5.0
    identity: str = field(default_factory=own_identity)
    lease_duration: float = 15.0
    catalog: tuple[Object, ...] = ()
    """What of the shipped catalog is to be there."""


async def run(client: Client, options: Options) -> None:
    """Runs until SIGTERM or SIGINT. Raises CliError where it can't begin."""
    asyncio.get_running_loop().set_exception_handler(_failed)
    await check_server(client)
    try:
        await _Replica(client, options).run()
    except* MemoryError:
        _out_of_memory()


def _failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What is raised where nobody waits for it: in callbacks, and in tasks that are forgotten."""
    if isinstance(context.get("exception"), MemoryError):
        _out_of_memory()
    loop.default_exception_handler(context)


def _out_of_memory() -> NoReturn:
    os.write(sys.stderr.fileno(), _LAST_WORDS)
    os._exit(FAILURE)


async def check_server(client: Client) -> None:
    """Raises CliError for a server that is too old; one that is away is waited for."""
    while True:
        try:
            answer = msgspec.json.decode(await client.request("GET", "/version"))
            break
        except (KubeError, StatusError) as error:
            log.warning("can't ask the API server for its version: %s; trying again", error)
            await asyncio.sleep(2.0)
    text = str(answer.get("gitVersion") or "") if isinstance(answer, dict) else ""
    match = _VERSION.match(text)
    if match is None:
        log.warning("the API server does not say which version it is (%r)", text)
        return
    if (int(match[1]), int(match[2])) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise CliError(
            f"the API server is Kubernetes {text}; OME {__version__} needs {oldest} or newer",
            where=client.endpoint.shown,
            remedy="Upgrade the cluster",
        )
    log.info("the API server is Kubernetes %s", text)


def _inspector() -> Inspector | None:
    """Who looks at models on volume claims: our own image, which installations tell us."""
    image = os.environ.get("OME_IMAGE", "")
    return Inspector(image) if image else None


class _Replica:
    def __init__(self, client: Client, options: Options) -> None:
        self._client = client
        self._options = options
        self._stopping = False
        self._metrics = Metrics()
        client.observer = self._metrics.request
        self._operator = Operator(
            client,
            namespace=options.namespace,
            on_controllers=self._metrics.measure,
            inspector=_inspector(),
        )
        self._crds = Informer(client, CUSTOM_RESOURCE_DEFINITIONS, metadata_only=True)
        self._crds.add_handler(self._crd_changed)
        cached = {informer.resource for informer in self._operator.cluster.informers()}
        self._extra = [Informer(client, kind) for kind in LOOKED_AT if kind not in cached]
        self._webhooks: Webhooks | None = None
        if options.webhook_listen:
            self._webhooks = Webhooks(
                client,
                self._reviewed(),
                namespace=options.namespace,
                url=options.webhook_url,
            )
        self._elector = LeaderElector(
            client,
            c.LEADER_LEASE,
            options.namespace,
            options.identity,
            lease_duration=options.lease_duration,
            renew_deadline=options.lease_duration * 2 / 3,
            retry_period=options.lease_duration * 2 / 15,
            on_new_leader=lambda who: log.info("%s leads now", who),
        )
        self._leads = False
        self._metrics.read(self._informers, self._operator.controllers, lambda: self._leads)
        self._health = HealthServer(
            self.problems, {"/metrics": lambda: (self._metrics.text(), CONTENT_TYPE)}
        )

    def _reviewed(self) -> dict[Resource, Informer]:
        """What webhooks look at, from the controllers' caches where these have it."""
        caches = {i.resource: i for i in (*self._operator.cluster.informers(), *self._extra)}
        found = {kind: caches[kind] for kind in LOOKED_AT}
        found[CONFIG_MAPS] = self._operator.cluster.config
        return found

    def _informers(self) -> list[Informer]:
        hooks = self._webhooks.informers() if self._webhooks is not None else []
        return [*self._operator.informers(), *self._extra, *hooks, self._crds]

    # -- life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await self._health.start(self._options.listen)
        try:
            if self._webhooks is not None:
                await self._webhooks.start(self._options.webhook_listen)
            facts = {
                "version": __version__,
                "identity": self._options.identity,
                "namespace": self._options.namespace,
                "port": self._health.port,
                "webhookPort": self._webhooks.port if self._webhooks is not None else 0,
                "server": self._client.endpoint.shown,
            }
            log.info("the operator starts", extra={"facts": facts})
            await self._until(stop)
        finally:
            if self._webhooks is not None:
                await self._webhooks.stop()
            await self._health.stop()

    async def _until(self, stop: asyncio.Event) -> None:
        """Runs everything until ``stop``, then ends it in order. A part that fails is raised."""
        watching = asyncio.create_task(self._watch(), name="caches and webhooks")
        leading = asyncio.create_task(self._stand_by(), name="leader")
        telling = asyncio.create_task(self._tell(), name="tell")
        asked = asyncio.create_task(stop.wait(), name="stop")
        tasks = (watching, leading, telling, asked)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {asked}:
                task.result()
            log.info("the operator stops")
            self._stopping = True
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
            if self._webhooks is not None and self._options.drain:
                await asyncio.sleep(self._options.drain)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._operator.watch(), name="caches")
            for informer in (*self._extra, self._crds):
                tasks.create_task(informer.run(), name=f"watch {informer.resource}")
            if self._webhooks is not None:
                tasks.create_task(self._webhooks.run(), name="webhooks")

    async def _stand_by(self) -> None:
        """Leads whenever it is our turn, for ever."""
        await self._operator.synced()
        if self._webhooks is not None:
            await self._webhooks.synced()
        # The caches stay; collections need not walk them while a review waits.
        gc.collect()
        gc.freeze()
        while True:
            if rival := self._webhooks.rival() if self._webhooks is not None else "":
                log.error("not acting: %s", rival)
                await asyncio.sleep(_RIVAL_SECONDS)
            elif not self._options.elect:
                await self._lead()
            else:
                try:
                    await self._elector.run(self._lead)
                except LeadershipLost as lost:
                    log.warning("no longer leading, standing by: %s", lost)

    async def _lead(self) -> None:
        self._leads = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(shipped.put(self._client, self._options.catalog), name="catalog")
                await self._operator.lead()
        finally:
            self._leads = False

    # -- what is missing ----------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Why this replica is not ready; empty when it is."""
        if self._stopping:
            return ["stopping"]
        found = list(self._unread())
        if self._webhooks is not None:
            found += self._webhooks.problems() if not found else []
            if rival := self._webhooks.rival():
                found.append(rival)
        return found

    def _unread(self) -> Iterator[str]:
        if problem := self._operator.kinds.problem:
            yield f"which kinds the cluster has: {forbidden.explained(problem)}"
        for informer in self._informers():
            if informer.has_synced:
                continue
            error = informer.stats.last_error
            if "could not find the requested resource" in error and (
                informer.resource.group == o.GROUP
            ):
                error = "the CRD is missing: ome crds | kubectl apply --server-side -f -"
            yield f"{informer.resource}: {forbidden.explained(error) or 'being read'}"

    async def _tell(self) -> None:
        """Logs what keeps us waiting, while it does, and once when all is there."""
        told: list[str] | None = None
        while True:
            await asyncio.sleep(1.0 if told is None else _TELL_SECONDS)
            problems = self.problems()
            failing = [i for i in self._informers() if i.has_synced and i.stats.last_error]
            problems += [
                f"{i.resource}: {forbidden.explained(i.stats.last_error)} (what was read before "
                f"still counts)"
                for i in failing
            ]
            if problems:
                log.warning(
                    "waiting: %s", "; ".join(problems[:5]), extra={"facts": {"problems": problems}}
                )
            elif told is None or told:
                log.info("ready")
            told = problems

    def _crd_changed(self, _event: str, old: Any, new: Any) -> None:
        """Which kinds there are has changed; and ours should be those of this version."""
        snapshot = new if new is not None else old
        name = snapshot.key.name
        if name in _OPTIONAL:  # MODIFIED too: a kind is served some time after its definition
            self._operator.kinds.look(changing=True)
        if not name.endswith(f".{o.GROUP}") or new is None:
            return
        version = labels_of(snapshot.object()).get(L_VERSION)
        before = labels_of(old.object()).get(L_VERSION) if old is not None else None
        if version and version != __version__ and version != before:
            log.warning(
                "CRD %s is of OME %s, this operator is %s: bring it up to date with "
                "'ome crds | kubectl apply --server-side -f -'",
                name,
                version,
                __version__,
            )


def namespace_of(client: Client, given: str | None) -> str:
    """``given``; else ``$POD_NAMESPACE``; else this pod's own; else ``ome``."""
    if given:
        return given
    if found := os.environ.get("POD_NAMESPACE"):
        return found
    return client.namespace if in_cluster(client) and client.namespace else c.DEFAULT_NAMESPACE


def in_cluster(client: Client) -> bool:
    return client.endpoint.source == "service account"


__all__ = ["Options", "check_server", "namespace_of", "own_identity", "run"]
