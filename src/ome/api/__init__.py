"""The contract `ome.io/v1beta1`: kinds, enumerations, names, conditions, reasons, CRDs. Pure."""
