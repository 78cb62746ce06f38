"""genai-bench: what a BenchmarkJob becomes, what came of it, and how two of them compare.

:mod:`job` makes the Job, :mod:`outcome` reads what its pod has told, :mod:`summary` puts results
into words and tables, :mod:`compare` sets two results against each other. All of that is pure. Only
:mod:`pod` does anything: it is the program that runs in the Job, around genai-bench.
"""
