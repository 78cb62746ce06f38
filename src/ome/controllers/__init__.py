"""One module per kind: observe, plan, apply, report."""
