"""Two builds, one trial: the arms of two sides take turns in the same rounds.

``comparison`` pairs the arms, ``measure`` launches and times them, ``numbers`` compares what they
compute, ``kernels`` what they ran, ``judge`` gives the verdicts, and ``render`` shows them.
"""
