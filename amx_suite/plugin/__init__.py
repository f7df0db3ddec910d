"""The pytest plugin.

``hooks`` is what pytest calls, ``fixtures`` what tests ask for, ``options`` what users set. They
call the rest: ``run`` holds what one run knows, ``selection`` chooses its tests, ``trials``
measures, ``rows`` fills pytest-benchmark's rows, ``baseline`` refuses baselines that cannot be
compared with, ``outcome`` turns verdicts into test outcomes, ``header`` has a run's first lines,
``progress`` shows how far it is, ``terminal`` shows results, ``quiet`` is what ``amx-suite
qualify`` prints instead.
"""

pytest_plugins = ["amx_suite.plugin.hooks", "amx_suite.plugin.fixtures"]
