"""Which runtime and which accelerator serve a model, and why. Pure."""
