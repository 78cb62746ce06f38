"""From a storage URI to the pieces that the storage room understands (which knows no API)."""

from __future__ import annotations

from collections.abc import Mapping

from ome.api import storage_uri
from ome.storage import SourceSpec
from ome.storage.errors import InvalidLocation

NOTHING_TO_FETCH = frozenset({"pvc"})
"""Schemes that no node has to bring: the claim is mounted by the pod."""


def parse(uri: str, parameters: Mapping[str, str]) -> SourceSpec:
    """Raises ``InvalidLocation`` with the form that would be right."""
    try:
        found = storage_uri.parse(uri)
    except storage_uri.StorageURIError as error:
        raise InvalidLocation(
            str(error), remedy="correct the model's spec.storage.storageUri"
        ) from error
    return SourceSpec(
        scheme=found.scheme,
        uri=uri,
        container=found.container,
        path=found.path,
        revision=found.revision,
        region=found.region,
        account=found.account,
        namespace=found.namespace,
        parameters=parameters,
    )
