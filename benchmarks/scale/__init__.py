"""N InferenceServices on a real control plane: what they cost, beside what they must cost.

``make bench`` (N=100), ``make bench N=1000``. See :mod:`benchmarks.scale.__main__`.
"""
