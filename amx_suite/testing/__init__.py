"""Floor 5: what the plugin's hooks and fixtures call.

``state`` is what one run knows, ``selection`` plans which trials it has and ``parametrize`` makes
tests of them, ``store`` keeps their sessions, ``rows`` feeds pytest-benchmark, ``baseline`` refuses
what cannot be compared, ``outcome`` turns verdicts into test outcomes, ``collector`` gathers the
run's summary, ``terminal`` shows progress and ``show`` the results.
"""
