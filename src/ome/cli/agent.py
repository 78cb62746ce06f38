"""``ome agent``: the model agent as a process of its own, with health, metrics and progress.

``/progress`` gives the live figures of all downloads by model, fresher than the node's ConfigMap.
SIGTERM stops downloads where they are; they go on with the next start.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ome import __version__
from ome.agent import NodeModelAgent
from ome.cli.agentmetrics import AgentMetrics
from ome.cli.errors import CliError
from ome.cli.forbidden import explained
from ome.cli.health import HealthServer
from ome.cli.metrics import CONTENT_TYPE, Metrics
from ome.kube import Client

log = logging.getLogger("ome.agent")
_TELL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Options:
    node_name: str
    models_root: Path
    namespace: str = "ome"
    host_paths: Mapping[str, Path] = field(default_factory=dict)
    slots: int = 2
    listen: str = ":8080"


async def run(client: Client, options: Options) -> None:
    """Until SIGTERM or SIGINT. Raises CliError where it can't begin."""
    metrics = Metrics()
    client.observer = metrics.request
    try:
        agent = NodeModelAgent(
            client,
            options.node_name,
            options.models_root,
            host_path_map=options.host_paths,
            namespace=options.namespace,
            slots=options.slots,
        )
    except OSError as error:
        raise CliError(
            f"the models can't be kept there: {error.strerror}", where=str(options.models_root)
        ) from error
    metrics.measure(agent.controllers())
    metrics.read(agent.informers, agent.controllers)
    metrics.registry.register(AgentMetrics(agent.stats))

    def problems() -> list[str]:
        return [
            f"{informer.resource}: {explained(informer.stats.last_error) or 'being read'}"
            for informer in agent.informers()
            if not informer.has_synced
        ]

    def progress() -> tuple[bytes, str]:
        found = {str(key): value for key, value in agent.progress().items()}
        return json.dumps(found).encode(), "application/json"

    pages = {"/metrics": lambda: (metrics.text(), CONTENT_TYPE), "/progress": progress}
    health = HealthServer(problems, pages)
    await health.start(options.listen)
    facts = {"version": __version__, "node": options.node_name, "port": health.port}
    log.info("the model agent starts", extra={"facts": facts})
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = (
        asyncio.create_task(agent.run(), name="agent"),
        asyncio.create_task(stop.wait(), name="stop"),
        asyncio.create_task(_tell(problems), name="tell"),
    )
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        log.info("the model agent stops")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await health.stop()


async def _tell(problems: Callable[[], list[str]]) -> None:
    """Logs what keeps the agent from working, while it does."""
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        if found := problems():
            log.warning("waiting: %s", "; ".join(found))
