"""The contract ``ome.io/v1beta1``: kinds as lenses over raw objects, names, reasons, and CRDs.

Pure: no clock, no environment, no input or output. Modules are imported by name
(``from ome.api import names``); nothing here imports more than it needs, so that reading one kind
doesn't pull in the CRD generator.
"""
