"""Which API a command speaks to.

``--kubeconfig`` or ``--context`` (or ``$KUBECONFIG``, for ``kubectl ome``) aim at a cluster;
otherwise it is the ``ome up`` of the data folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ome.cli.api import Api, LocalTransport
from ome.cli.errors import CliError
from ome.cli.home import Home
from ome.cli.output import Output


@dataclass(slots=True)
class Context:
    """What the options before and after the subcommand said."""

    data: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    output: Output = field(default_factory=Output)
    plugin: bool = False
    """Called as ``kubectl ome``: kubectl's own configuration counts."""

    @property
    def home(self) -> Home:
        return Home.find(self.data)

    @property
    def remote(self) -> bool:
        return bool(self.kubeconfig or self.context or self.plugin)

    def api(self) -> Api:
        if self.remote:
            return self._remote_api()
        home = self.home
        if not home.is_running():
            raise CliError(
                "OME is not running",
                where=str(home.root),
                remedy="Start it with 'ome up' (or 'ome up --detach'), or aim at a cluster with "
                "--context or --kubeconfig",
            )
        return Api(LocalTransport(home.socket), self.namespace or "default", local=True)

    def _remote_api(self) -> Api:
        from ome.cli.remote import RemoteTransport

        path = Path(self.kubeconfig) if self.kubeconfig else None
        transport = RemoteTransport(path, self.context)
        namespace = self.namespace or transport.namespace or "default"
        return Api(transport, namespace, local=False)
