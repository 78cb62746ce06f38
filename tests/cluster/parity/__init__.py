"""The same requests to the embedded API server and to the real one, and the answers compared."""
