"""What is wrong with the shape of an object, for objects that our rules stumbled over.

Rules read objects as their schema describes them. A mutating webhook is asked before the API server
has looked at the schema, so it also sees texts where objects should be. Rules don't guard against
that everywhere; instead, what makes one fail is looked at here.
"""

from __future__ import annotations

from functools import cache

from ome.api import resources as o
from ome.apimachinery.errors import FieldError
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.schema import Schema

MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError)
"""What a rule raises that meets something of another type than the schema allows."""


def look(resource: Resource, obj: Object | None) -> tuple[Object | None, list[FieldError]]:
    """The object as an API server hands it to webhooks (no nulls, no unknown fields), and every
    violation of our schema. Kinds that are not ours stay as they are."""
    if resource.group != o.GROUP or not isinstance(obj, dict):
        return obj, []
    schema = _schema(resource.kind)
    settled = schema.default(schema.prune(obj)[0])
    return settled, schema.validate(settled)


@cache
def _schema(kind: str) -> Schema:
    from ome.api.crds import crd  # only when something is wrong: it takes a while to make

    resource = o.by_kind(kind)
    assert resource is not None
    version = crd(resource)["spec"]["versions"][0]
    return Schema.from_crd(version["schema"]["openAPIV3Schema"])
