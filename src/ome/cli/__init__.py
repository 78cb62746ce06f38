"""The `ome` command. Only here are rooms put together."""
