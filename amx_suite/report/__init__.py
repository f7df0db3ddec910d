"""What people read: tables, the closing lines and ``summary.md``.

``rows`` makes the tables of a trial and ``table`` renders them. Everything here is a function of
``core.run.RunSummary`` or ``core.trial.TrialResult``; only ``mismatch`` touches the disk.
"""
