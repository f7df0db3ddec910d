"""Floor 5: what the plugin's hooks and fixtures call.

``selection`` plans which trials a run has, ``store`` keeps their sessions, ``rows`` feeds
pytest-benchmark, ``baseline`` refuses what cannot be compared, ``outcome`` turns verdicts into test
outcomes, ``collector`` gathers the run's summary, ``terminal`` shows progress.
"""
