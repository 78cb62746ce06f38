"""A fuzzer over OME's own schemas: random valid objects, broken in every way, through everything.

``generate`` makes objects out of the CRDs' schemas, ``mutate`` breaks them, ``gates`` sends one
through schema, admission, webhook, selection, rendering and the embedded API server, ``soak`` runs
many (``python -m tests.fuzz.soak --help``). Everything about one object follows from a seed and a
number: any of them can be made again alone.
"""
