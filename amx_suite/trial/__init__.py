"""Arms measured together, and the verdict that follows. ``decide`` has the whole rule.

``place`` splits arms that memory cannot hold together, ``schedule`` draws their order, ``measure``
takes the rounds, ``interval`` is the statistics, ``unproven`` asks the evidence, ``pool`` keeps the
workers and ``session`` runs a trial from its first worker to its result.
"""
