"""Makes the pages of ``docs/reference`` out of the code: types, reasons, names, configuration."""
