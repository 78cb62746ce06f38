"""What the operator would decide about services: for ``explain`` and ``plan``.

The same function decides as in the operator (``controllers.decide``). It sees the objects of the
files and, where an API answers, what is there, else the shipped catalog. The files go first; but a
model that is there already keeps what a node has read out of its files, as it does when applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ome.api import resources as ours
from ome.api.constants import A_SERVING_RUNTIME
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Object, Resource, key_of
from ome.apimachinery.patches import merge_patch
from ome.cli import checks, kinds, manifests, prepare
from ome.cli.api import Api
from ome.cli.errors import CliError, usage
from ome.cli.target import Context
from ome.controllers.decide import Decision, World, decide
from ome.controllers.plan import OPTIONAL
from ome.controllers.settings import OperatorSettings, read
from ome.rendering import Capabilities, Observed
from ome.selection import compile_runtimes

_MODELS = (ours.BASE_MODELS, ours.CLUSTER_BASE_MODELS)
_SERVICE_WORDS = ("isvc", "service", "services", "inferenceservice", "inferenceservices")
_RUNTIMES = (ours.SERVING_RUNTIMES, ours.CLUSTER_SERVING_RUNTIMES)
_KINDS_OF_MODELS = tuple(resource.kind for resource in _MODELS)
_KINDS_OF_RUNTIMES = tuple(resource.kind for resource in _RUNTIMES)


@dataclass(slots=True)
class Offline:
    """``services`` are those of the files, to be decided about."""

    services: list[Object] = field(default_factory=list)
    objects: dict[tuple[str, str, str], Object] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    settings: OperatorSettings = field(default_factory=OperatorSettings)
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(frozenset(OPTIONAL)))
    """Without a cluster everything that it could have is taken for installed."""

    api: Api | None = None
    """The API that answers; None where only files speak."""
    stored: bool = False
    """The services are as the API has them, not as a file wants them."""

    def add(self, resource: Resource, found: Iterable[Object]) -> None:
        """Objects that are there already stay: what was added first goes first."""
        for obj in found:
            key = key_of(obj)
            namespace = (key.namespace or "default") if resource.namespaced else ""
            place = (resource.kind, namespace, key.name)
            earlier = self.objects.setdefault(place, obj)
            if earlier is not obj and resource in _MODELS:
                self.objects[place] = merge_patch(obj, earlier)

    def decide(self, service: Object, observed: Observed | None = None) -> Decision:
        """``observed``: the children that run, where they shall count."""
        namespace = service["metadata"]["namespace"]
        return decide(
            World(
                service=service,
                settings=self.settings,
                runtimes=compile_runtimes(self._of(_RUNTIMES, namespace)),
                model=lambda kind, name: self._model(kind, name, namespace),
                weight=lambda name: self.objects.get((ours.FINE_TUNED_WEIGHTS.kind, "", name)),
                capabilities=self.capabilities,
                observed=observed or Observed(),
                model_names=lambda: [m["metadata"]["name"] for m in self._of(_MODELS, namespace)],
                accelerators={
                    a["metadata"]["name"]: a
                    for a in self._of((ours.ACCELERATOR_CLASSES,), namespace)
                },
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


def load(
    context: Context, files: tuple[str, ...], names: tuple[str, ...] = (), *, users: bool = False
) -> Offline:
    """Services of files (checked against the schemas), or services by name from the running API.

    With ``users``, files without a service speak of the services of the running API that use what
    is in them."""
    if bool(files) == bool(names):
        raise usage("say either a file (-f FILE) or the name of a service")
    return _of_names(context, names) if names else _of_files(context, files, users)


def _of_names(context: Context, names: tuple[str, ...]) -> Offline:
    from ome.cli.commands.get import not_found

    api = context.api()
    world = Offline(stored=True)
    if len(names) > 1 and names[0].lower() in _SERVICE_WORDS:
        names = names[1:]  # `ome explain isvc NAME`, as the other commands have it
    for word in names:
        kind, slash, name = word.partition("/")
        if slash and kinds.resource_for(kind, api) != ours.INFERENCE_SERVICES:
            raise usage(f"'{word}' is no service", "Say the name of an InferenceService")
        name = name if slash else word
        found = api.find(ours.INFERENCE_SERVICES, name, api.namespace)
        if found is None:
            there = [
                o["metadata"]["name"] for o in api.list(ours.INFERENCE_SERVICES, api.namespace)
            ]
            raise not_found(ours.INFERENCE_SERVICES, name, api.namespace, there)
        world.services.append(found)
    _add_running(world, api)
    return world


def _add_running(world: Offline, api: Api) -> None:
    """What is there: models, runtimes, accelerators and the operator's configuration."""
    for resource in (
        *_MODELS,
        *_RUNTIMES,
        ours.ACCELERATOR_CLASSES,
        ours.FINE_TUNED_WEIGHTS,
    ):
        world.add(resource, api.list(resource))
    world.api = api
    world.sources.append(f"the API at {api.where}")
    world.settings = read(_configuration(api))
    world.capabilities = _served(api)


def _served(api: Api) -> Capabilities:
    """Which of the kinds that a cluster may lack this one has."""
    groups = {group["name"] for group in api.read("/apis").get("groups") or ()}
    found: set[Resource] = set()
    for group, version in {(kind.group, kind.version) for kind in OPTIONAL}:
        if group not in groups:
            continue
        try:
            listed = api.read(f"/apis/{group}/{version}").get("resources") or ()
        except NotFound:
            continue  # the group is there in other versions
        plurals = {entry["name"] for entry in listed}
        found |= {
            kind
            for kind in OPTIONAL
            if (kind.group, kind.version) == (group, version) and kind.plural in plurals
        }
    return Capabilities(frozenset(found))


def _of_files(context: Context, files: tuple[str, ...], users: bool) -> Offline:
    entries = manifests.read(files)
    resources = checks.check_all(entries)
    world = Offline(sources=["the files"])
    for entry, resource in zip(entries, resources, strict=True):
        obj = _filled(entry.object, resource, context.namespace or "default")
        if resource == ours.INFERENCE_SERVICES:
            world.services.append(obj)
        else:
            world.add(resource, [obj])
    api = _running(context)
    if not world.services:
        if api is None or not users:
            raise CliError("there is no InferenceService in it", where=", ".join(files))
        world.services, world.stored = _users(api, world.objects), True
    if api is not None:
        _add_running(world, api)
    else:
        shipped = manifests.read([str(p) for p in prepare.host_runtimes()])
        world.add(ours.CLUSTER_SERVING_RUNTIMES, [m.object for m in shipped])
        world.sources.append("the shipped catalog")
    return world


def _users(api: Api, given: Mapping[tuple[str, str, str], Object]) -> list[Object]:
    """The services that use one of these objects, or may come to use it: those without a runtime
    so far."""
    return [
        service
        for service in api.list(ours.INFERENCE_SERVICES)
        if any(_uses(service, *place) for place in given)
    ]


def _uses(service: Object, kind: str, namespace: str, name: str) -> bool:
    if namespace and namespace != service["metadata"].get("namespace"):
        return False
    spec, status = service.get("spec") or {}, service.get("status") or {}
    model = spec.get("model") or {}
    if kind in _KINDS_OF_MODELS:
        return bool(model.get("name") == name)
    if kind in _KINDS_OF_RUNTIMES:
        named = (spec.get("runtime") or {}).get("name")
        chosen = (status.get("annotations") or {}).get(A_SERVING_RUNTIME)
        return name == (named or chosen or name)
    if kind == ours.FINE_TUNED_WEIGHTS.kind:
        return name in (model.get("fineTunedWeights") or ()) or model.get("name") == name
    components = (status.get("components") or {}).values()
    chosen = {(c.get("selectedAccelerator") or {}).get("acceleratorClass") for c in components}
    return kind == ours.ACCELERATOR_CLASSES.kind and name in chosen


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
