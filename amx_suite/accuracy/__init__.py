"""How close two arrays are, and whether that is close enough.

``limits`` holds the tolerances, ``judgements`` compares arrays by them, ``record`` keeps what a
test judged, and ``known_defects`` lists failures that are a library's. Only ``judgements`` imports
numpy.
"""
