"""The ``ome`` command, also ``kubectl ome``.

``main`` loads a subcommand's module only when it runs, so that ``ome --help`` and ``ome get`` start
at once: nothing heavy (asyncio, aiohttp, the operator) is imported at the top of these modules.

Three things are made once and used by all commands: ``output`` (the one place that prints),
``errors`` (one line: what, where, cause, remedy; and the exit status), ``target`` (which API, the
one of ``ome up`` or a cluster's). ``up`` and ``operator`` are the only places where the rooms of
OME are put together.
"""
