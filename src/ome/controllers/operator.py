"""All controllers of OME over one set of caches: ``run_operator``.

What triggers what:

============================ ===================================================================
change of                    brings back
============================ ===================================================================
InferenceService             itself (but for a status that was written here), and the models it
                             names (a deleted model may wait for it)
a child, a pod               the service whose label it carries
a model                      itself and every service that names it
a node's report, a node      the models that the report speaks of
fine-tuned weights           services that name them
a runtime                    services that name it, and those that choose by themselves
an accelerator class,
the configuration            every service; the class itself
a node, a pod's place        the accelerator classes
a node that is lost or back  services that have pods there
a benchmark, its Job or pod  the benchmark; so does the service that it measures
============================ ===================================================================
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ome.api import constants as c
from ome.apimachinery.objects import Key, key_of
from ome.apimachinery.resources import HORIZONTAL_POD_AUTOSCALERS, POD_DISRUPTION_BUDGETS
from ome.benchmark.storage import Fetcher
from ome.controllers.accelerators import Accelerators, node_changed, pod_changed
from ome.controllers.benchmarks import FOLLOW_SECONDS, BenchmarkCaches, Benchmarks
from ome.controllers.claims import Inspector
from ome.controllers.cluster import Cluster, lost_since, service_of
from ome.controllers.configuration import ConfigurationReporter
from ome.controllers.inferenceservice import InferenceServices
from ome.controllers.kinds import Kinds
from ome.controllers.models import PROGRESS_SECONDS, Models, drop_report
from ome.controllers.settings import gone
from ome.controllers.unlabelled import Unlabelled
from ome.kube import Client, Controller, Events, Informer
from ome.rendering import Capabilities
from ome.rendering.scalerstatus import hpa_problem

if TYPE_CHECKING:
    from aiohttp import ClientSession

log = logging.getLogger("ome.controllers.operator")

SERVICE_WORKERS = 16
"""They wait for the API server most of the time."""
GATHER_SECONDS = 0.05
"""Changes of children come in bursts: so long they are gathered before the service is looked at."""
QUIET_SECONDS = 1.0
"""How long changes of nodes and pods are gathered before accelerator classes are looked at."""
MODEL_WORKERS = 4
STATUS_IS_NOTHING_TO_US = frozenset({HORIZONTAL_POD_AUTOSCALERS, POD_DISRUPTION_BUDGETS})
"""Children that Kubernetes keeps writing the status of."""


class Operator:
    """Composed but not running; :meth:`run` works until cancelled.

    Its two halves can be run apart, for replicas of which one leads: :meth:`watch` keeps the caches
    and writes nothing, :meth:`lead` acts. Who has watched can lead without a gap; who has led may
    lead again. ``on_controllers`` is given the controllers of each term before they run.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str = "ome",
        http: ClientSession | None = None,
        capabilities: Capabilities | None = None,
        on_controllers: Callable[[list[Controller]], None] | None = None,
        progress_seconds: float = PROGRESS_SECONDS,
        inspector: Inspector | None = None,
    ) -> None:
        self._inspector = inspector
        self._client = client
        self._http = http
        self._own_http: ClientSession | None = None
        self._capabilities = capabilities
        self._on_controllers = on_controllers or (lambda _controllers: None)
        self._progress_seconds = progress_seconds
        self._led = False
        self.cluster = Cluster(client, namespace)
        self.kinds = Kinds(
            client,
            self.cluster,
            found=lambda informer: informer.add_handler(self._child_changed),
            changed=self._everything_changed,
        )
        self.configuration = ConfigurationReporter(c.INFERENCE_SERVICE_CONFIG, namespace)
        self._last_config = self.cluster.settings.config
        self.benchmark_caches = BenchmarkCaches(client, namespace)
        self._prepare()
        self._connect()

    def _prepare(self) -> None:
        """What one term of leadership needs. Until it begins, keys gather in the queues."""
        client = self._client
        self.events = Events(client, "ome")
        self.reconciler = InferenceServices(client, self.cluster, self.events, http=self._session)
        self.reconciler.look_for_kinds = self.kinds.look
        self.services = Controller(
            "inferenceservice", self.reconciler.reconcile, workers=SERVICE_WORKERS
        )
        self.reconciler.enqueue = self.services.enqueue
        self.unlabelled = Unlabelled(client, self.cluster)
        self.models = {
            kind: Controller(
                kind.lower(),
                Models(
                    kind, client, self.cluster, self.events, self._progress_seconds, self._inspector
                ).reconcile,
                workers=MODEL_WORKERS,
            )
            for kind in (*self.cluster.models, "FineTunedWeight")
        }
        self.accelerators = Controller(
            "acceleratorclass", Accelerators(client, self.cluster).reconcile, workers=1
        )
        self.reports = Controller("nodereport", self._drop_report, workers=1)
        follow = min(self._progress_seconds, FOLLOW_SECONDS)
        own = self._inspector
        fetcher = Fetcher(own.image or "ome", own.program) if own is not None else None
        benchmarks = Benchmarks(
            client, self.cluster, self.benchmark_caches, self.events, follow, fetcher
        )
        self.benchmarks = Controller("benchmarkjob", benchmarks.reconcile, workers=2)
        self._on_controllers(self.controllers())

    def controllers(self) -> list[Controller]:
        return [
            self.services,
            *self.models.values(),
            self.accelerators,
            self.reports,
            self.benchmarks,
        ]

    async def _drop_report(self, key: Key) -> None:
        await drop_report(self._client, self.cluster, key)

    def _session(self) -> ClientSession:
        """The session for first answers; our own one is made when it is first needed."""
        if self._http is not None:
            return self._http
        if self._own_http is None:
            from aiohttp import ClientSession

            self._own_http = ClientSession()
        return self._own_http

    async def run(self) -> None:
        """Fills the caches, then works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.watch(), name="caches")
            await self.synced()
            await self.lead()

    async def watch(self) -> None:
        """Keeps the caches, until cancelled. What a server refuses is tried again for ever."""
        async with asyncio.TaskGroup() as tasks:
            for informer in self.informers():
                tasks.create_task(informer.run(), name=f"watch {informer.resource}")
            tasks.create_task(self.kinds.run(self._capabilities), name="kinds")

    def informers(self) -> list[Informer]:
        """All caches, also those that are being read for the first time."""
        benchmarks = self.benchmark_caches.informers()
        return [*self.cluster.informers(), *self.cluster.coming(), *benchmarks]

    async def synced(self) -> None:
        """Waits until the caches have been filled once."""
        await self.cluster.synced()
        for informer in self.benchmark_caches.informers():
            await informer.synced()
        await self.kinds.synced()

    async def lead(self) -> None:
        """Acts, until cancelled. The caches must be filled, and kept by :meth:`watch`."""
        if self._led:
            self._prepare()
            self._enqueue_all()
        self._led = True
        log.info("caches are filled: %d services", len(self.cluster.services))
        if not self.cluster.config.keys():
            self.cluster.settings = gone(None)
            self.configuration.changed(self.cluster.settings.problems, None)
        reporters = (self.configuration, self.benchmark_caches.configuration)
        for reporter in reporters:
            reporter.lead(self.events)
        self.reconciler.resume()
        try:
            async with asyncio.TaskGroup() as tasks:
                for controller in self.controllers():
                    tasks.create_task(controller.run(), name=controller.name)
                tasks.create_task(self.unlabelled.run(), name="labels")
        finally:
            for reporter in reporters:
                reporter.follow()
            await self.reconciler.close()
            await self.events.close()
            session, self._own_http = self._own_http, None
            if session is not None:
                await session.close()

    def _enqueue_all(self) -> None:
        self._everything_changed()
        for kind, informer in self.cluster.models.items():
            for key in informer.keys():  # noqa: SIM118 - a method of informers
                self.models[kind].enqueue(key)
        for key in self.cluster.weights.keys():  # noqa: SIM118 - a method of informers
            self.models["FineTunedWeight"].enqueue(key)
        for key in self.cluster.reports.keys():  # noqa: SIM118 - a method of informers
            self.reports.enqueue(Key("", key.name))
        for key in self.cluster.accelerators.keys():  # noqa: SIM118 - a method of informers
            self.accelerators.enqueue(key)
        for key in self.benchmark_caches.benchmarks.keys():  # noqa: SIM118 - a method of informers
            self.benchmarks.enqueue(key)

    # -- what triggers what -------------------------------------------------------------------

    def _connect(self) -> None:
        cluster = self.cluster
        cluster.services.add_handler(self._service_changed)
        for resource, informer in cluster.children.items():
            kept_to_itself = resource in STATUS_IS_NOTHING_TO_US
            informer.add_handler(self._meant_changed if kept_to_itself else self._child_changed)
        cluster.pods.add_handler(self._child_changed)
        for kind, informer in cluster.models.items():
            informer.add_handler(self._model_changed(kind))
        for informer in cluster.runtimes:
            informer.add_handler(self._runtime_changed)
        cluster.weights.add_handler(self._weight_changed)
        cluster.accelerators.add_handler(self._accelerator_changed)
        cluster.pods.add_handler(self._pod_changed)
        cluster.reports.add_handler(self._report_changed)
        cluster.nodes.add_handler(self._node_changed)
        cluster.config.add_handler(self._config_changed)
        # After a new term of leadership it is another controller that is woken.
        self.benchmark_caches.connect(cluster.services, lambda key: self.benchmarks.enqueue(key))

    def _service_changed(self, _event: str, old: Any, new: Any) -> None:
        if old is None or new is None or _meta(old) != _meta(new):
            self.services.enqueue((new or old).key)
        elif not self.reconciler.has_written(new.key, new.resource_version):
            self.services.enqueue_after(new.key, GATHER_SECONDS)  # of the status alone
        if new is None or old is None or _model_name(old) != _model_name(new):
            for obj in (old, new):
                self._wake_models_of(obj)
        elif bool(new.metadata.get("deletionTimestamp")) != bool(
            old.metadata.get("deletionTimestamp")
        ):
            self._wake_models_of(new)

    def _wake_models_of(self, service: Any) -> None:
        """A model that is being deleted may have waited for this service."""
        name = _model_name(service) if service is not None else ""
        if not name:
            return
        for kind, namespace in (("ClusterBaseModel", ""), ("BaseModel", service.key.namespace)):
            snapshot = self.cluster.models[kind].snapshot(namespace, name)
            if snapshot is not None and snapshot.metadata.get("deletionTimestamp"):
                self.models[kind].enqueue(Key(namespace, name))

    def _meant_changed(self, event: str, old: Any, new: Any) -> None:
        """A child changed whose status says nothing about the service."""
        if event != "MODIFIED" or _meant(old) != _meant(new):
            self._child_changed(event, old, new)

    def _child_changed(self, event: str, old: Any, new: Any) -> None:
        if event == "DELETED":
            self.unlabelled.vanished(old)
        # Somebody may have given the child another label: then it is the old one's that misses it.
        for label in {service_of(obj): None for obj in (new, old) if obj is not None}:
            for key in self.cluster.services_of_label(label):
                self.services.enqueue_after(key, GATHER_SECONDS)

    def _model_changed(self, kind: str) -> Callable[[str, Any, Any], None]:
        def changed(_event: str, old: Any, new: Any) -> None:
            key = (new or old).key
            self.models[kind].enqueue(key)
            for user in self.cluster.services_of_model(kind, key):
                self.services.enqueue(user)
            for weights in self.cluster.weights_of_model(kind, key):
                self.models["FineTunedWeight"].enqueue(weights)

        return changed

    def _runtime_changed(self, _event: str, old: Any, new: Any) -> None:
        for user in self.cluster.services_of_runtime((new or old).key):
            self.services.enqueue(user)

    def _weight_changed(self, _event: str, old: Any, new: Any) -> None:
        self.models["FineTunedWeight"].enqueue((new or old).key)
        for user in self.cluster.services_of_weight((new or old).key.name):
            self.services.enqueue(user)

    def _report_changed(self, _event: str, old: Any, new: Any) -> None:
        before: Mapping[str, str] = (old.get("data") or {}) if old is not None else {}
        after: Mapping[str, str] = (new.get("data") or {}) if new is not None else {}
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        for kind, key in self.cluster.models_of_report(changed):
            self.models[kind].enqueue(key)

    def _pod_changed(self, _event: str, old: Any, new: Any) -> None:
        if len(self.cluster.accelerators) and pod_changed(old, new):
            self._look_at_accelerators()

    def _look_at_accelerators(self) -> None:
        for key in self.cluster.accelerators.keys():  # noqa: SIM118 - a method of informers
            self.accelerators.enqueue_after(key, QUIET_SECONDS)

    def _node_changed(self, event: str, old: Any, new: Any) -> None:
        if node_changed(old, new):
            self._look_at_accelerators()
        if event == "MODIFIED":
            if lost_since(old.object()) != lost_since(new.object()):
                self._wake_services_on(new.key.name)
            return
        key = key_of(new or old)
        report = self.cluster.reports.snapshot(self.cluster.namespace, key.name)
        if report is not None:
            self._report_changed("MODIFIED", None, report)
        if event == "DELETED":
            self.reports.enqueue(Key("", key.name))

    def _wake_services_on(self, node: str) -> None:
        for value in self.cluster.services_on_node(node):
            for key in self.cluster.services_of_label(value):
                self.services.enqueue(key)

    def _config_changed(self, _event: str, _old: Any, new: Any) -> None:
        live = new.object() if new is not None else None
        self.configuration.changed(self.cluster.settings.problems, live)
        if self.cluster.settings.config != self._last_config:
            self._last_config = self.cluster.settings.config
            self._everything_changed()

    def _accelerator_changed(self, _event: str, old: Any, new: Any) -> None:
        self.accelerators.enqueue((new or old).key)
        if old is None or new is None or _offer(old) != _offer(new):
            self._everything_changed()

    def _everything_changed(self) -> None:
        for key in self.cluster.services.keys():  # noqa: SIM118 - a method of informers
            self.services.enqueue(key)


def _meant(child: Any) -> tuple[Any, ...]:
    """What others can only change by wanting something else, and what an autoscaler can't do."""
    return _meta(child), child.get("spec"), hpa_problem(child)


def _meta(obj: Any) -> dict[str, Any]:
    """Metadata but for what every write changes. Of our own kinds a new spec is in it too, as a
    new generation."""
    passing = ("resourceVersion", "managedFields")
    return {name: value for name, value in obj.metadata.items() if name not in passing}


def _offer(accelerator: Any) -> tuple[Any, bool]:
    """What choosing a class depends on."""
    available = (accelerator.get("status") or {}).get("availableNodes")
    return accelerator.get("spec"), available is None or available > 0


def _model_name(service: Any) -> str:
    return ((service.get("spec") or {}).get("model") or {}).get("name") or ""


async def run_operator(
    client: Client,
    *,
    namespace: str = "ome",
    http: ClientSession | None = None,
    capabilities: Capabilities | None = None,
    progress_seconds: float = PROGRESS_SECONDS,
    inspector: Inspector | None = None,
) -> None:
    """Runs all controllers of OME until cancelled.

    ``namespace`` is where the configuration and the nodes' reports are. ``http`` is used to ask
    services for their first answer; ``progress_seconds`` is how often a model's status follows its
    download; ``inspector`` looks at models on volume claims.
    """
    operator = Operator(
        client,
        namespace=namespace,
        http=http,
        capabilities=capabilities,
        progress_seconds=progress_seconds,
        inspector=inspector,
    )
    await operator.run()
