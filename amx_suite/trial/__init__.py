"""Floor 3: arms measured together, and the verdict that follows.

``schedule`` draws the order of arms, ``groups`` splits arms that memory cannot hold together,
``session`` keeps the workers and runs the rounds, ``speedup`` and ``sequential`` are the
statistics, ``ruling`` applies them to the quiet pairs of each gate, ``soundness`` asks whether the
figures can be trusted at all, ``judge`` turns all of it and the evidence into verdicts.
"""
