"""A component's pod template: the runner becomes a container, templates are filled in."""

from __future__ import annotations

from typing import Any

from ome.api import constants as c
from ome.apimachinery.definitions import resolve
from ome.apimachinery.objects import Object, metadata
from ome.apimachinery.strategic import strategic_merge
from ome.rendering import gotemplate
from ome.rendering.errors import RenderError
from ome.rendering.merge import CONTAINER, canonical_resources, pod_spec_of


def place_runner(pod: Object, runner: Object | None, where: str) -> int:
    """Puts the runner into the pod's containers; returns the index of the main container.

    The container of the runner's name is merged with it (their args follow each other); if there
    is none the runner comes last. Without a runner the first container is the main one.
    """
    containers: list[Object] = list(pod.get("containers") or ())
    if runner is None:
        if not containers:
            raise RenderError(
                "NoContainer",
                f"{where} has neither a runner nor containers, so there is nothing to run",
                field=f"{where}.runner",
                fix="name a runtime that has one, or give a runner with an image",
            )
        pod["containers"] = containers
        return 0
    runner = dict(runner)
    runner.setdefault("name", c.MAIN_CONTAINER)
    if not runner["name"]:
        runner["name"] = c.MAIN_CONTAINER
    for index, existing in enumerate(containers):
        if existing.get("name") == runner["name"]:
            args = [*(existing.get("args") or ()), *(runner.get("args") or ())]
            merged = strategic_merge(existing, runner, resolve(CONTAINER))
            if args:
                merged["args"] = args
            containers[index] = merged
            break
    else:
        index = len(containers)
        containers.append(runner)
    pod["containers"] = containers
    return index


def finish(pod: Object, service: Object, where: str, *, probe_default: bool = True) -> None:
    """Fills in templates and the defaults that differ from Kubernetes' own."""
    data = gotemplate.metadata_data(metadata(service))
    for kind in ("initContainers", "containers"):
        if not pod.get(kind):
            continue
        pod[kind] = [
            _render(container, data, f"{where}.{kind}[{index}]")
            for index, container in enumerate(pod[kind])
        ]
        for index, container in enumerate(pod[kind]):
            _defaults(container, probe_default and kind == "containers")
            _refuse_incomplete(container, where)
            canonical_resources(container, f"{where}.{kind}[{index}]")


def _render(container: Object, data: gotemplate.Data, where: str) -> Object:
    try:
        rendered: Any = gotemplate.render_tree(container, data)
    except gotemplate.TemplateError as error:
        raise RenderError(
            "InvalidTemplate", f"{where}: {error}", field=where, fix="correct the template"
        ) from error
    return rendered  # type: ignore[no-any-return]


def _defaults(container: Object, probe_default: bool) -> None:
    container.setdefault("imagePullPolicy", "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if probe_default and container.get("name") == c.MAIN_CONTAINER:
        container.setdefault(
            "readinessProbe",
            {
                "tcpSocket": {"port": first_port(container)},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        )


def _refuse_incomplete(container: Object, where: str) -> None:
    if not container.get("image"):
        raise RenderError(
            "NoImage",
            f"container {container.get('name')} of {where} has no image",
            field=f"{where}.runner.image",
            fix="name a runtime that gives one, or set runner.image",
        )


def first_port(container: Object) -> int:
    ports = container.get("ports") or ()
    return int(ports[0]["containerPort"]) if ports else c.SERVICE_PORT


__all__ = ["finish", "first_port", "place_runner", "pod_spec_of"]
