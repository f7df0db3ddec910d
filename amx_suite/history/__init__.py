"""Runs compared: what changed since one or more base runs.

``store`` reads a results file, ``change`` has the rule, ``compare`` matches the gates of the runs
and applies the rule to each, ``throughput`` does so for the whole machine without a rule, and
``render`` shows the result.
"""
