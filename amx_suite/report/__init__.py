"""What people read: tables, findings, the closing lines, ``summary.md`` and ``report.html``.

``rows`` makes the tables of a trial, ``checks`` those of checks, and ``table`` renders them. Only
``html`` and what it imports need Jinja2 and matplotlib. Everything here is a function of
``core.run.RunSummary`` or ``core.trial.TrialResult``; only ``mismatch`` writes to the disk.
"""
