"""Floor 3: arms measured together, and the verdict that follows.

``schedule`` draws the order of arms, ``groups`` splits arms that memory cannot hold together,
``session`` keeps the workers and runs the rounds, ``speedup`` and ``sequential`` are the
statistics, ``judge`` turns measurement and evidence into verdicts.
"""
