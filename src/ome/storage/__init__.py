"""Moving models from where they lie to disk. Knows nothing of Kubernetes and of model formats.

``open_source`` turns a location into a :class:`Source`; ``transfer.download`` brings a source to
disk: resumable, verified, published all at once. Importing this package is cheap; what is heavy is
imported when a transfer starts, which OME does in a process of its own.
"""

from ome.storage.errors import StorageError
from ome.storage.manifest import Manifest
from ome.storage.meter import Progress
from ome.storage.opening import known_vendor, open_source
from ome.storage.source import FileEntry, Source, SourceSpec

__all__ = [
    "FileEntry",
    "Manifest",
    "Progress",
    "Source",
    "SourceSpec",
    "StorageError",
    "known_vendor",
    "open_source",
]
