"""Kubernetes' object rules, as pure functions. Knows nothing of OME, of clocks or of sockets.

================================  ==============================================================
``objects, resources, errors``    the seam: what an object, a kind and a failed request are
``quantity, names, selectors``    small value rules
``patches, strategic``            merge patch, JSON patch, strategic merge patch
``schema, validation, formats``   structural schemas: prune, default, validate
``definitions``                   the schemas of Kubernetes' own kinds
``structural, openapi``           the same inlined for CRDs, and as OpenAPI documents
``core_defaults, pod_defaults``   what the API server fills into its own kinds
``core_validation`` and beside    what it refuses beyond types
``apply``                         server-side apply and ownership of fields; on ``fieldsets``
                                  (sets of paths), ``fieldwalk`` (objects by their schema) and
                                  ``managedfields`` (the stored form)
================================  ==============================================================

A write goes through them in this order: ``Schema.prune``, ``Schema.default``, ``Schema.validate``,
``core_defaults.apply`` (and ``prepare_create``), ``core_validation.validate``,
``apply.track_update``. A server-side apply starts with ``Schema.prune`` of the configuration and
``apply.server_side_apply``; the rest is the same but for the tracking.
"""
