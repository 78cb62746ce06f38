"""Says what is wrong with a ConfigMap of the configuration, once per problem, to those who look in
different places: the log (every replica), and a Warning event on the ConfigMap (who leads).

When a problem is gone that is said too, so that whoever corrects a typo sees that it counted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object
from ome.kube import Events

log = logging.getLogger("ome.controllers.configuration")

PROBLEM = "ConfigurationProblem"
CORRECTED = "ConfigurationRead"


class ConfigurationReporter:
    """Between :meth:`lead` and :meth:`follow` events are written, otherwise only the log."""

    def __init__(self, name: str, namespace: str) -> None:
        self._where = f"{namespace}/{name}"
        self._absent: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
        }
        self._config_map = self._absent
        self._events: Events | None = None
        self._told: tuple[str, ...] = ()

    def lead(self, events: Events) -> None:
        """From now on it is ours to write events; what is wrong now is told anew."""
        self._events = events
        for problem in self._told:
            events.warning(self._config_map, PROBLEM, problem)

    def follow(self) -> None:
        self._events = None

    def changed(self, found: Iterable[FieldError], config_map: Object | None) -> None:
        """``found`` is all that is wrong with the ConfigMap now."""
        self._config_map = config_map or self._absent
        problems = tuple(str(problem) for problem in found)
        extra = {"object": self._where}
        for problem in problems:
            if problem not in self._told:
                log.warning("configuration: %s", problem, extra=extra)
                if self._events is not None:
                    self._events.warning(self._config_map, PROBLEM, problem)
        if self._told and not problems:
            log.info("configuration: everything in it counts again", extra=extra)
            if self._events is not None:
                self._events.normal(
                    self._config_map, CORRECTED, "Everything in the configuration counts again"
                )
        self._told = problems
