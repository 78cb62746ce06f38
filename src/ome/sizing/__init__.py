"""Will it fit: memory arithmetic with its sources. Pure."""
