"""BenchmarkJobs: waits for the service, makes one Job, follows it, keeps what it has measured.

* The Job is made once. What ended stays as it ended, whatever becomes of the Job afterwards.
* Results are read from the pod's log, run by run, and kept in a ConfigMap at once: what was
  measured is there even if the service, the node or the Job goes away.
* Nothing here asks for a Secret: keys go from Secrets into the pod by reference only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from ome.api import config, names
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import FieldError, NotFound, StatusError
from ome.apimachinery.objects import (
    Key,
    Object,
    condition,
    is_deleting,
    key_of,
    labels_of,
    metadata,
    owner_reference,
    uid_of,
)
from ome.benchmark import job as jobs
from ome.benchmark import summary
from ome.benchmark.outcome import Told
from ome.benchmark.storage import Fetcher
from ome.controllers import benchmarklog
from ome.controllers import benchmarkstate as states
from ome.controllers.cluster import Cluster
from ome.controllers.configuration import ConfigurationReporter
from ome.controllers.executor import NameTaken, execute
from ome.controllers.plan import Apply, Plan, owns
from ome.kube import Client, Events, Informer, PatchType, Result
from ome.rendering import RenderError

log = logging.getLogger("ome.controllers.benchmarks")

FOLLOW_SECONDS = 5.0
"""How often a running benchmark's log is read, at most."""


@cache
def program() -> dict[str, str]:
    """The program of the pod, by file name."""
    folder = files("ome.benchmark").joinpath("pod")
    return {f.name: f.read_text() for f in folder.iterdir() if f.name.endswith(".py")}


class BenchmarkCaches:
    """Jobs and pods of benchmarks, the benchmarks themselves, and their settings."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.benchmarks = Informer(client, o.BENCHMARK_JOBS)
        self.jobs = Informer(client, r.JOBS, label_selector=jobs.L_BENCHMARK)
        self.pods = Informer(client, r.PODS, label_selector=jobs.L_BENCHMARK)
        self._config = Informer(
            client,
            r.CONFIG_MAPS,
            namespace,
            field_selector=f"metadata.name={c.BENCHMARK_JOB_CONFIG}",
        )
        self.settings = config.BenchmarkJobConfig()
        self.configuration = ConfigurationReporter(c.BENCHMARK_JOB_CONFIG, namespace)
        self._config.add_handler(self._read_settings)
        self.benchmarks.add_index("service", _service_of)
        self.benchmarks.add_index("job", lambda obj: [_job_of(obj)])
        self.pods.add_index("job", lambda obj: [_owner_of(obj)])

    def informers(self) -> list[Informer]:
        return [self.benchmarks, self.jobs, self.pods, self._config]

    def connect(self, services: Informer, enqueue: Callable[[Key], None]) -> None:
        """What brings a benchmark back: itself, its Job, its pod, the service that it measures."""

        def changed(_event: str, old: Any, new: Any) -> None:
            enqueue((new or old).key)

        def job_changed(_event: str, old: Any, new: Any) -> None:
            for key in self.benchmarks.keys_by_index("job", str((new or old).key)):
                enqueue(key)

        def pod_changed(_event: str, old: Any, new: Any) -> None:
            for key in self.benchmarks.keys_by_index("job", _owner_of(new or old)):
                enqueue(key)

        def service_changed(_event: str, old: Any, new: Any) -> None:
            for key in self.benchmarks.keys_by_index("service", str((new or old).key)):
                enqueue(key)

        self.benchmarks.add_handler(changed)
        self.jobs.add_handler(job_changed)
        self.pods.add_handler(pod_changed)
        services.add_handler(service_changed)
        self._config.add_handler(lambda *_: self._all(enqueue))

    def _all(self, enqueue: Callable[[Key], None]) -> None:
        for key in self.benchmarks.keys():  # noqa: SIM118 - a method of informers
            enqueue(key)

    def _read_settings(self, _event: str, _old: Any, new: Any) -> None:
        """What the ConfigMap said last counts where it is gone."""
        live = None if new is None else new.object()
        problems: list[FieldError] = []
        if live is not None:
            self.settings, problems = config.BenchmarkJobConfig.from_config_map(
                live.get("data"), self.settings
            )
        self.configuration.changed(problems, live)


def _service_of(benchmark: Mapping[str, Any]) -> list[str]:
    endpoint = (benchmark.get("spec") or {}).get("endpoint") or {}
    named = endpoint.get("inferenceService") or {}
    key = Key(str(named.get("namespace") or ""), str(named.get("name") or ""))
    return [str(key)] if key.name else []


def _job_of(benchmark: Mapping[str, Any]) -> str:
    key = key_of(benchmark)
    return str(Key(key.namespace, jobs.job_name(key.name)))


def _owner_of(pod: Mapping[str, Any]) -> str:
    name = labels_of(pod).get("batch.kubernetes.io/job-name") or labels_of(pod).get("job-name")
    return str(Key(metadata(pod).get("namespace") or "", name or ""))


class Benchmarks:
    """The reconciler."""

    def __init__(
        self,
        client: Client,
        cluster: Cluster,
        caches: BenchmarkCaches,
        events: Events,
        follow_seconds: float = FOLLOW_SECONDS,
        fetcher: Fetcher | None = None,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._caches = caches
        self._events = events
        self._follow_seconds = follow_seconds
        self._fetcher = fetcher

    async def reconcile(self, key: Key) -> Result | None:
        benchmark = self._caches.benchmarks.get(key.namespace, key.name)
        if benchmark is None:
            return None
        if is_deleting(benchmark):
            await self._let_go(benchmark)
            return None
        if states.is_final(benchmark):
            return None
        name = jobs.job_name(key.name)
        live = self._caches.jobs.get(key.namespace, name)
        if live is not None and owns(benchmark, live):
            return await self._follow(benchmark, live)
        if states.has_begun(benchmark):
            return await self._vanished(benchmark, name)
        await self._begin(benchmark)
        return None

    async def _vanished(self, benchmark: Object, name: str) -> Result | None:
        """The cache may be behind, so the server is asked before an end is made of it."""
        try:
            live = await self._client.get(r.JOBS, name, key_of(benchmark).namespace)
        except NotFound:
            await self._write(benchmark, states.lost(benchmark, name, _now()))
            return None
        if owns(benchmark, live):
            return Result(self._follow_seconds)
        await self._write(benchmark, states.lost(benchmark, name, _now()))
        return None

    # -- before the run -----------------------------------------------------------------------

    async def _begin(self, benchmark: Object) -> None:
        if jobs.is_suspended(benchmark):
            await self._write(benchmark, states.waiting(benchmark, "Suspended: it is suspended"))
            return
        service = self._service(benchmark)
        named = _service_of(benchmark)
        if named and (obstacle := _obstacle(named[0], service)):
            await self._write(benchmark, states.waiting(benchmark, obstacle))
            return
        given = jobs.BenchmarkInput(
            job=benchmark,
            settings=self._caches.settings.benchmarkjob.pod_config,
            program=program(),
            service=service,
            model=self._model(service),
            accelerator=self._accelerator(service),
            fetcher=self._fetcher,
        )
        try:
            children = jobs.render(given)
            await self._create(benchmark, children)
        except RenderError as error:
            await self._write(benchmark, states.unrenderable(benchmark, error))
        except NameTaken as taken:
            problem = RenderError("NameTaken", str(taken), fix="rename the benchmark")
            await self._write(benchmark, states.unrenderable(benchmark, problem))
        except StatusError as refused:
            if refused.code >= 500 or refused.code in (409, 429):
                raise
            problem = RenderError("Refused", refused.message, field="spec.podOverride")
            await self._write(benchmark, states.unrenderable(benchmark, problem))

    async def _create(self, benchmark: Object, children: jobs.BenchmarkChildren) -> None:
        made = metadata(children.job)["name"]
        plan = Plan(benchmark)
        plan.applies.append(
            Apply(r.CONFIG_MAPS, children.program, "adopt", "keep the program of the benchmark")
        )
        plan.applies.append(Apply(r.JOBS, children.job, "create", f"create Job {made}"))
        await execute(plan, self._client, self._events)
        await self._write(benchmark, states.waiting(benchmark, "waiting for the pod"))

    def _service(self, benchmark: Object) -> Object | None:
        named = ((benchmark.get("spec") or {}).get("endpoint") or {}).get("inferenceService")
        if not named:
            return None
        return self._cluster.services.get(
            str(named.get("namespace") or ""), str(named.get("name") or "")
        )

    def _model(self, service: Object | None) -> Object | None:
        spec = (service or {}).get("spec") or {}
        reference = spec.get("model") or {}
        legacy = ((spec.get("predictor") or {}).get("model") or {}).get("baseModel")
        name = reference.get("name") or legacy
        if service is None or not name:
            return None
        namespace = key_of(service).namespace
        for kind in (reference.get("kind"), "BaseModel", "ClusterBaseModel"):
            if kind in self._cluster.models:
                found = self._cluster.model(kind, name, namespace)
                if found is not None:
                    return {"kind": kind, **found}
        return None

    def _accelerator(self, service: Object | None) -> Object | None:
        """The class that was selected for the engine, or else is asked for."""
        if service is None:
            return None
        spec, status = service.get("spec") or {}, service.get("status") or {}
        engine = spec.get("engine") or {}
        name = (
            _selected_class((status.get("components") or {}).get("engine"))
            or (engine.get("acceleratorOverride") or {}).get("acceleratorClass")
            or (spec.get("acceleratorSelector") or {}).get("acceleratorClass")
        )
        return self._cluster.accelerators.get("", name) if name else None

    # -- the run ------------------------------------------------------------------------------

    async def _follow(self, benchmark: Object, live: Object) -> Result | None:
        await self._keep_suspended(benchmark, live)
        key, results = key_of(benchmark), jobs.results_name(key_of(benchmark).name)
        pods = [p for p in self._caches.pods.by_index("job", _job_of(benchmark)) if _of(p, live)]
        pods.sort(key=lambda p: str(metadata(p).get("creationTimestamp")), reverse=True)
        told = await benchmarklog.told(self._client, pods[0]) if pods else Told()
        status = states.followed(
            benchmark,
            live,
            pods[:1],
            told,
            results=results,
            now=_now(),
            aside=self._aside(benchmark),
        )
        if told.runs:
            await self._keep_results(benchmark, told, status["state"])
        await self._write(benchmark, status)
        if status.get("completionTime"):
            log.info("%s: benchmark %s: %s", key, status["state"], status.get("details"))
            return None
        return Result(self._follow_seconds) if status["state"] == "Running" else None

    async def _keep_suspended(self, benchmark: Object, live: Object) -> None:
        wanted = jobs.is_suspended(benchmark)
        if bool((live.get("spec") or {}).get("suspend")) == wanted or _is_over(live):
            return
        key = key_of(live)
        patch = {"spec": {"suspend": wanted}}
        await self._client.patch(
            r.JOBS, key.name, patch, namespace=key.namespace, type=PatchType.MERGE
        )
        text = "suspend the run" if wanted else "begin the run anew"
        self._events.normal(benchmark, "Suspended" if wanted else "Resumed", text)

    def _aside(self, benchmark: Object) -> str:
        named = _service_of(benchmark)
        if not named or self._service(benchmark) is not None:
            return ""
        return f" (InferenceService {named[0]} was deleted meanwhile)"

    async def _keep_results(self, benchmark: Object, told: Told, state: str) -> None:
        key, meta = key_of(benchmark), metadata(benchmark)
        service = self._service(benchmark)
        runs = summary.with_cost(
            told.runs, self._accelerator(service), self._gpus(benchmark, service)
        )
        found = summary.document(benchmark, told, runs, state)
        wanted: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": jobs.results_name(key.name),
                "namespace": key.namespace,
                "labels": {jobs.L_BENCHMARK: names.label_value(meta["name"])},
                "ownerReferences": [owner_reference(benchmark)],
            },
            "data": summary.data(found),
        }
        named = f"metadata.name={jobs.results_name(key.name)}"
        listed = await self._client.list(r.CONFIG_MAPS, key.namespace, field_selector=named)
        live = listed.items[0] if listed.items else None
        if live is not None and len(summary.runs_of(live.get("data"))) > len(runs):
            return  # the log has lost its beginning
        if live is None or live.get("data") != wanted["data"]:
            await self._client.apply(r.CONFIG_MAPS, wanted, field_manager=c.MANAGER)

    def _gpus(self, benchmark: Object, service: Object | None) -> int:
        facts = (benchmark.get("spec") or {}).get("serviceMetadata") or {}
        if facts.get("gpuCount"):
            return int(facts["gpuCount"])
        if service is None:
            return 0
        pods = self._cluster.pods_of(service)
        return sum(_gpus_of(pod) for name in ("engine", "decoder") for pod in pods.get(name, ()))

    # -- writing ------------------------------------------------------------------------------

    async def _write(self, benchmark: Object, status: Object) -> None:
        old = benchmark.get("status") or {}
        if {k: v for k, v in old.items() if k != "lastReconcileTime"} == {
            k: v for k, v in status.items() if k != "lastReconcileTime"
        }:
            return
        status["lastReconcileTime"] = _now()
        try:
            await self._client.update(
                o.BENCHMARK_JOBS,
                {**benchmark, "status": status},
                subresource="status",
                field_manager=c.MANAGER_STATUS,
            )
        except NotFound:
            return
        if old.get("state") != status["state"]:
            text = str(status.get("failureMessage") or status.get("details") or "")
            tell = self._events.warning if status["state"] == "Failed" else self._events.normal
            tell(benchmark, str(status["state"]), text)

    async def _let_go(self, benchmark: Object) -> None:
        """Its children go by themselves; only an earlier manager's finalizer can hold it back."""
        finalizers = metadata(benchmark).get("finalizers") or []
        if c.FINALIZER_BENCHMARK_JOB not in finalizers:
            return
        path = f"/metadata/finalizers/{finalizers.index(c.FINALIZER_BENCHMARK_JOB)}"
        patch: list[Object] = [
            {"op": "test", "path": path, "value": c.FINALIZER_BENCHMARK_JOB},
            {"op": "remove", "path": path},
        ]
        key = key_of(benchmark)
        try:
            await self._client.patch(
                o.BENCHMARK_JOBS, key.name, patch, namespace=key.namespace, type=PatchType.JSON
            )
        except NotFound:
            return


def _obstacle(name: str, service: Object | None) -> str:
    """Why the service can't be measured yet; empty where it can."""
    if service is None or is_deleting(service):
        return f"ServiceNotFound: waiting for InferenceService {name}, which does not exist"
    ready = condition(service, "Ready") or {}
    if ready.get("status") == "True":
        return ""
    why = ready.get("message") or ready.get("reason") or "nothing is known about it yet"
    return f"NotReady: waiting for InferenceService {name}: {why}"


def _selected_class(component: Any) -> str:
    found = (component or {}).get("selectedAccelerator") or {}
    return str(found.get("acceleratorClass") or "")


def _gpus_of(pod: Mapping[str, Any]) -> int:
    total = 0
    for container in (pod.get("spec") or {}).get("containers") or ():
        limits = (container.get("resources") or {}).get("limits") or {}
        total += int(limits.get(c.NVIDIA_GPU) or 0)
    return total


def _of(pod: Object, job: Object) -> bool:
    return any(ref.get("uid") == uid_of(job) for ref in metadata(pod).get("ownerReferences") or ())


def _is_over(live: Mapping[str, Any]) -> bool:
    return any(
        (condition(live, type_) or {}).get("status") == "True" for type_ in ("Complete", "Failed")
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
