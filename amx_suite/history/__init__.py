"""Runs compared: what changed since one or more base runs.

``change`` has the rule. ``store`` reads a results file, ``previous`` one of the layout before,
``match`` finds the gates that belong together, ``compare`` applies the rule to each of them, and
``render`` shows the result.
"""
