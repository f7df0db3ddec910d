"""Settings that all tests share; the suite itself is a pytest plugin."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester"]

# Examples are the same in every run, and no deadline: a busy machine is not a defect.
settings.register_profile(
    "amx-suite",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("amx-suite")
