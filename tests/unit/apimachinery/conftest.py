"""Property tests on shared machines: no deadlines, and no example database in the tree."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "apimachinery",
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("apimachinery")
