"""The one-machine home: four rooms that know nothing of each other, and host engines."""
