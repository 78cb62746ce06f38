"""A service and everything it refers to, turned into child objects and a status. Pure."""
