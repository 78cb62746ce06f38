"""What the operator would decide about files, without a cluster: for ``explain`` and ``plan``.

The same function decides as in the operator (``controllers.decide``). It sees the objects of the
files, the shipped catalog, and, where an API answers, what is there (the files go first).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ome.api import resources as ours
from ome.apimachinery.objects import Object, Resource, key_of
from ome.cli import checks, manifests, prepare
from ome.cli.api import Api
from ome.cli.errors import CliError
from ome.cli.target import Context
from ome.controllers.decide import Decision, World, decide
from ome.controllers.settings import OperatorSettings, read
from ome.selection import compile_runtimes

_MODELS = (ours.BASE_MODELS, ours.CLUSTER_BASE_MODELS)
_RUNTIMES = (ours.SERVING_RUNTIMES, ours.CLUSTER_SERVING_RUNTIMES)


@dataclass(slots=True)
class Offline:
    """``services`` are those of the files, to be decided about."""

    services: list[Object] = field(default_factory=list)
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    settings: OperatorSettings = field(default_factory=OperatorSettings)

    def add(self, resource: Resource, found: Iterable[Object]) -> None:
        """Objects that are there already stay: what was added first goes first."""
        for obj in found:
            key = key_of(obj)
            namespace = (key.namespace or "default") if resource.namespaced else ""
            self.objects.setdefault((resource.kind, namespace, key.name), obj)

    def decide(self, service: Object) -> Decision:
        namespace = service["metadata"]["namespace"]
        return decide(
            World(
                service=service,
                settings=self.settings,
                runtimes=compile_runtimes(self._of(_RUNTIMES, namespace)),
                model=lambda kind, name: self._model(kind, name, namespace),
                model_names=lambda: [m["metadata"]["name"] for m in self._of(_MODELS, namespace)],
            )
        )

    def _model(self, kind: str, name: str, namespace: str) -> Object | None:
        where = namespace if kind == ours.BASE_MODELS.kind else ""
        return self.objects.get((kind, where, name))

    def _of(self, resources: tuple[Resource, ...], namespace: str) -> list[Object]:
        wanted = {r.kind for r in resources}
        return [
            obj
            for (kind, where, _), obj in sorted(self.objects.items())
            if kind in wanted and where in ("", namespace)
        ]


def load(context: Context, files: tuple[str, ...]) -> Offline:
    """Reads the files (checked against the schemas), the catalog and the running API."""
    entries = manifests.read(files)
    resources = checks.check_all(entries)
    world = Offline(sources=["the files"])
    for entry, resource in zip(entries, resources, strict=True):
        obj = _filled(entry.object, resource, context.namespace or "default")
        if resource == ours.INFERENCE_SERVICES:
            world.services.append(obj)
        else:
            world.add(resource, [obj])
    if not world.services:
        raise CliError("there is no InferenceService in it", where=", ".join(files))
    api = _running(context)
    if api is not None:
        for resource in (*_MODELS, *_RUNTIMES):
            world.add(resource, api.list(resource))
        world.sources.append(f"the API at {api.where}")
        world.settings = read(_configuration(api))
    else:
        shipped = manifests.read([str(p) for p in prepare.host_runtimes()])
        world.add(ours.CLUSTER_SERVING_RUNTIMES, [m.object for m in shipped])
        world.sources.append("the shipped catalog")
    return world


def _filled(obj: Object, resource: Resource, namespace: str) -> Object:
    """As the API server would store it: namespace, and the schema's defaults."""
    if resource.namespaced and not obj["metadata"].get("namespace"):
        obj = {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
    return checks.schema_of(resource).default(obj) if resource in ours.ALL else obj


def _running(context: Context) -> Api | None:
    if context.remote or context.home.is_running():
        return context.api()
    return None


def _configuration(api: Api) -> Object | None:
    from ome.api.constants import INFERENCE_SERVICE_CONFIG
    from ome.apimachinery.resources import CONFIG_MAPS

    return api.find(CONFIG_MAPS, INFERENCE_SERVICE_CONFIG, "ome")
