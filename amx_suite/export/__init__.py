"""Runs in the formats of other tools, which watch many of them.

One file for each format: ``otava`` and ``prometheus``. Like every report they rest on what
``results.json`` holds and judge nothing again.
"""
