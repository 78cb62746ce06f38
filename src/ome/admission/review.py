"""One review of one write: defaulting first, then validation.

The rules that hold for every kind:

* *All* problems are reported at once, each with its field and what to do.
* A write that makes nothing worse passes: on an update, only problems that the old object didn't
  have refuse it. So metadata edits, finalizer removals and scaling of objects that were stored
  under other rules always go through.
* An object that is being deleted is never looked at.

Pods of services are looked at when they are created, to add what their annotations ask for
(:mod:`ome.admission.pods`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ome.admission.accelerators import accelerator_errors, accelerator_warnings
from ome.admission.benchmarks import benchmark_errors, benchmark_warnings
from ome.admission.defaulting import default_service
from ome.admission.models import model_errors, model_warnings
from ome.admission.pods import concerns, mutate_pod
from ome.admission.runtimes import runtime_errors, runtime_warnings
from ome.admission.services import service_errors, service_warnings
from ome.admission.shapes import MISSHAPEN, look
from ome.admission.view import View
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.errors import FieldError, one_line
from ome.apimachinery.objects import Object, Resource, is_deleting
from ome.apimachinery.resources import CONFIG_MAPS, PODS

_LONGEST_WARNING: Final = 1000


class Review(NamedTuple):
    """``patched`` is the object to store. With errors the write is refused."""

    patched: Object | None
    errors: list[FieldError]
    warnings: list[str]


_ERRORS: dict[str, Callable[[Object], list[FieldError]]] = {
    o.INFERENCE_SERVICES.plural: service_errors,
    o.SERVING_RUNTIMES.plural: runtime_errors,
    o.CLUSTER_SERVING_RUNTIMES.plural: runtime_errors,
    o.BASE_MODELS.plural: model_errors,
    o.CLUSTER_BASE_MODELS.plural: model_errors,
    o.FINE_TUNED_WEIGHTS.plural: model_errors,
    o.BENCHMARK_JOBS.plural: benchmark_errors,
    o.ACCELERATOR_CLASSES.plural: accelerator_errors,
}


class OmeAdmission:
    """``namespace`` is where the operator's configuration is."""

    def __init__(self, *, namespace: str = "ome", migrate_predictors: bool = True) -> None:
        self._namespace = namespace
        self._migrate = migrate_predictors

    def review(
        self,
        operation: str,
        resource: Resource,
        obj: Object | None,
        old: Object | None,
        view: View,
    ) -> Review:
        """``operation`` is CREATE, UPDATE or DELETE; writes to subresources don't belong here."""
        try:
            return self._review(operation, resource, obj, old, view)
        except MISSHAPEN:
            settled, problems = look(resource, obj)
            if problems:
                return Review(obj, problems, [])
            if settled == obj:
                raise
            return self._review(operation, resource, settled, old, view)

    def _review(
        self,
        operation: str,
        resource: Resource,
        obj: Object | None,
        old: Object | None,
        view: View,
    ) -> Review:
        patched, errors, warnings = self._mutate(operation, resource, obj, old, view)
        if errors or patched is None or resource.group != o.GROUP:
            return Review(patched, errors, warnings)
        if operation == "DELETE" or is_deleting(patched):
            return Review(patched, [], [])
        check = _ERRORS.get(resource.plural)
        errors = check(patched) if check else []
        if old is not None and check is not None and errors:
            known = {(error.path, error.message) for error in check(old)}
            errors = [error for error in errors if (error.path, error.message) not in known]
        if errors:
            return Review(patched, errors, warnings)
        if old is None or old.get("spec") != patched.get("spec"):
            warnings += _warnings(resource, patched, old, view)
        readable = (one_line(text, _LONGEST_WARNING) for text in warnings)
        return Review(patched, [], list(dict.fromkeys(readable)))

    def mutate(
        self,
        operation: str,
        resource: Resource,
        obj: Object | None,
        old: Object | None,
        view: View,
    ) -> Review:
        """Only what is filled in: the first half of :meth:`review`.

        Errors are those that leave nothing sensible to fill in, which only pods can have. What the
        schema will refuse stays as it is, so that the schema's words reach the user.
        """
        try:
            return self._mutate(operation, resource, obj, old, view)
        except MISSHAPEN:
            settled, problems = look(resource, obj)
            if problems:
                return Review(obj, [], [])
            if settled == obj:
                raise
            return self._mutate(operation, resource, settled, old, view)

    def _mutate(
        self,
        operation: str,
        resource: Resource,
        obj: Object | None,
        old: Object | None,
        view: View,
    ) -> Review:
        if operation == "DELETE" or obj is None or is_deleting(obj):
            return Review(obj, [], [])
        if _is(resource, o.INFERENCE_SERVICES):
            patched, warnings = default_service(
                obj, old, view, namespace=self._namespace, migrate=self._migrate
            )
            return Review(patched, [], warnings)
        if _is(resource, PODS) and operation == "CREATE" and concerns(obj):
            config_map = view.get(CONFIG_MAPS, self._namespace, c.INFERENCE_SERVICE_CONFIG) or {}
            found = mutate_pod(
                obj,
                config_map.get("data"),
                lambda name: view.get(o.FINE_TUNED_WEIGHTS, "", name),
            )
            return Review(*found)
        return Review(obj, [], [])


def _is(resource: Resource, other: Resource) -> bool:
    return (resource.group, resource.plural) == (other.group, other.plural)


def _warnings(resource: Resource, obj: Object, old: Object | None, view: View) -> list[str]:
    if resource.plural == o.INFERENCE_SERVICES.plural:
        return service_warnings(obj, view)
    if resource.plural in (o.SERVING_RUNTIMES.plural, o.CLUSTER_SERVING_RUNTIMES.plural):
        return runtime_warnings(obj, view)
    if resource.plural in (o.BASE_MODELS.plural, o.CLUSTER_BASE_MODELS.plural):
        return model_warnings(obj, old)
    if resource.plural == o.ACCELERATOR_CLASSES.plural:
        return accelerator_warnings(obj)
    if resource.plural == o.BENCHMARK_JOBS.plural:
        return benchmark_warnings(obj, old)
    return []
