"""OME, the Open Model Engine: serve large language models on one machine and on Kubernetes."""

from ome._version import __version__

__all__ = ["__version__"]
