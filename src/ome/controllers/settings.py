"""The operator's configuration as controllers and rendering use it.

What the ConfigMap means, and what is wrong with it, is :mod:`ome.api.config`'s business. A value
that can't be used keeps its last good one and is in ``problems``, so that a typo is reported and
stops nothing. A ConfigMap that goes while we run leaves what it said last: losing it must not move
every service to other addresses. At a start without one the defaults count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import msgspec

from ome.api import constants as c
from ome.api.config import InferenceServiceConfig, Ingress, Keda, MultinodeProber
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object

_PROBER_AMOUNTS: Final = {"cpu": "100m", "memory": "100Mi"}
"""What a prober asks for, and its limit, where the configuration names no amount."""


@dataclass(frozen=True)
class KedaSection:
    """What services that scale with KEDA leave out."""

    section: Keda

    @property
    def enabled(self) -> bool:
        return self.section.enable_keda

    @property
    def server_address(self) -> str:
        return self.section.prom_server_address

    @property
    def query(self) -> str:
        return self.section.custom_prom_query

    @property
    def threshold(self) -> str:
        return self.section.scaling_threshold

    @property
    def operator(self) -> str:
        return self.section.scaling_operator


@dataclass(frozen=True)
class ProberSection:
    """The pod that watches the engine of a Ray cluster."""

    section: MultinodeProber

    @property
    def image(self) -> str:
        return self.section.image

    @property
    def unavailable_threshold_seconds(self) -> int:
        """After so long without an answer a Ray cluster is made anew."""
        return self.section.unavailable_threshold_seconds

    @property
    def resources(self) -> dict[str, dict[str, str]]:
        given = self.section.requirements()
        return {side: {**_PROBER_AMOUNTS, **given.get(side, {})} for side in ("requests", "limits")}

    @property
    def startup(self) -> dict[str, int]:
        """The numbers of a startup probe."""
        return {
            "failureThreshold": self.section.startup_failure_threshold,
            "periodSeconds": self.section.startup_period_seconds,
            "initialDelaySeconds": self.section.startup_initial_delay_seconds,
            "timeoutSeconds": self.section.startup_timeout_seconds,
        }


@dataclass(frozen=True)
class OperatorSettings:
    config: InferenceServiceConfig = field(default_factory=InferenceServiceConfig)
    problems: tuple[FieldError, ...] = ()
    """What of the ConfigMap has no effect, and why."""

    @cached_property
    def ingress(self) -> Ingress:
        section = self.config.ingress
        if section.ingress_domain:
            return section
        return msgspec.structs.replace(section, ingress_domain=Ingress().ingress_domain)

    @property
    def keda(self) -> KedaSection:
        return KedaSection(self.config.keda_config)

    @property
    def prober(self) -> ProberSection:
        return ProberSection(self.config.multinode_prober)

    @property
    def default_deployment_mode(self) -> str:
        return self.config.deploy.default_deployment_mode

    @property
    def completion_probe(self) -> bool:
        """Ready needs a real answer through the service's address."""
        return self.config.readiness.probe == "completion"

    @property
    def scales_from_zero(self) -> bool:
        """Something starts the first replica of a Deployment when it is asked."""
        return self.config.scaling.from_zero

    @property
    def rollouts_at_once(self) -> int:
        """How many services follow a change of something shared at the same time."""
        return self.config.rollout.services_at_once


def read(config_map: Object | None, last: OperatorSettings | None = None) -> OperatorSettings:
    """The settings of that ConfigMap. Values that can't be used, and all of them where the
    ConfigMap is gone, stay as they were in ``last``."""
    if config_map is None:
        return gone(last)
    data: Any = config_map.get("data") or {}
    config, problems = InferenceServiceConfig.from_config_map(data, last.config if last else None)
    return OperatorSettings(config, tuple(problems))


def gone(last: OperatorSettings | None) -> OperatorSettings:
    """Without the ConfigMap: what it said last, or the defaults."""
    what = "what it said last counts" if last is not None else "the defaults count"
    problem = FieldError(
        c.INFERENCE_SERVICE_CONFIG,
        f"there is no such ConfigMap; {what}. What to do: run 'ome install' or 'helm upgrade'",
    )
    return OperatorSettings(
        last.config if last is not None else InferenceServiceConfig(), (problem,)
    )
