"""The contract's ledger: every field at every place, and the case that proves its effect."""
