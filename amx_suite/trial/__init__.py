"""Arms measured together, and the verdict that follows. ``decide`` states the whole rule.

``measure`` takes the rounds, ``interval`` is the statistics, ``unproven`` checks the evidence,
``pool`` keeps the workers, as many as memory holds, ``session`` runs a trial from its first worker
to its result, and ``calibrate`` finds what quiet means on a machine.
"""
