"""Storage URIs, and moving bytes between them and disk."""
