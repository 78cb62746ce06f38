"""A service's way through the API server (``services/proxy``), for those outside of the cluster.

Requests go to the Service of the router where there is one, else of the engine, else to the one
that bears the service's own name; the port is what that Service says, not what we expect of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ome.apimachinery.errors import Forbidden, NotFound, ServiceUnavailable, StatusError
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import SERVICES
from ome.cli.api import Api
from ome.cli.errors import CliError
from ome.cli.forbidden import explained

_PORTS = ("http", "http1", "https")


def proxy_path(api: Api, service: Object) -> str:
    """Raises CliError where the service has no address inside the cluster yet."""
    meta = service["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    routed = [f"{name}-router"] if (service.get("spec") or {}).get("router") is not None else []
    for candidate in (*routed, f"{name}-engine", name):
        found = api.find(SERVICES, candidate, namespace)
        port = _port(found) if found is not None else None
        if port is not None:
            scheme = "https:" if port.get("name") == "https" else ""
            path = SERVICES.path(namespace, f"{scheme}{candidate}:{port['port']}")
            return f"{path}/proxy"
    raise CliError(
        f"{namespace}/{name} has no Service yet through which it could be asked",
        remedy=f"'ome describe isvc {name} -n {namespace}' says what it waits for",
    )


def _port(service: Object) -> Object | None:
    """The port for requests; ``None`` where the Service is only another's name."""
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return None
    ports: list[Object] = spec.get("ports") or []
    named = [port for wanted in _PORTS for port in ports if port.get("name") == wanted]
    return next(iter((*named, *ports)), None)


@contextlib.contextmanager
def in_words(service: Object) -> Iterator[None]:
    """Says of a failure on the way whose it is: the cluster's, the rights', or the engine's."""
    meta = service["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    try:
        yield
    except Forbidden as error:
        raise CliError(explained(error.message)) from error
    except ServiceUnavailable as error:
        raise CliError(
            f"no pod of {namespace}/{name} takes requests: {error.message}",
            remedy=f"'ome describe isvc {name} -n {namespace}' says why",
        ) from error
    except NotFound as error:
        raise CliError(
            f"the engine of {namespace}/{name} does not know the address: {error.message}",
            remedy="It must speak OpenAI's API; 'ome logs' shows what it says",
        ) from error
    except StatusError as error:
        raise CliError(f"the engine of {namespace}/{name} answered: {error.message}") from error


__all__ = ["in_words", "proxy_path"]
