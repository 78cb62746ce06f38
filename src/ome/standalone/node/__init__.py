"""A Kubernetes node whose pods are processes of this machine.

Who does what, from the outside in:

* ``agent`` watches the pods bound to this node, keeps the Node object and its Lease, reads logs.
* ``podworker`` brings one pod in line with its spec; ``lifecycle`` (what next) and ``status`` (what
  to tell) are its pure halves, ``history`` its memory, ``probes`` its eyes.
* ``launch`` turns a container into a command: ``environment``, ``volumes``, ``paths`` for host
  processes, ``images`` and ``pulling`` where podman or docker is installed.
* ``shimclient`` talks to ``shim``, the small process that owns a pod's containers and outlives OME.

A host process runs as OME's user, in the machine's file system and network. Limits of CPU and
memory are not enforced on it (an address-space limit would break memory-mapped models), nor are
read-only mounts or ``runAsUser``; the pod's ``NotEnforced`` event lists what it asked for in vain.
"""

from ome.standalone.node.agent import NodeAgent, stop_everything
from ome.standalone.node.context import HOST_PROCESS, Settings
from ome.standalone.node.images import ContainerRuntime
from ome.standalone.node.lifecycle import BackOff
from ome.standalone.node.machine import default_name

__all__ = [
    "HOST_PROCESS",
    "BackOff",
    "ContainerRuntime",
    "NodeAgent",
    "Settings",
    "default_name",
    "stop_everything",
]
