"""Keeps models on a node's disk and reports: runs in ``ome up`` and as a DaemonSet."""

from ome.agent.agent import NodeModelAgent

__all__ = ["NodeModelAgent"]
