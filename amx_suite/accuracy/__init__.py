"""How close two arrays are, and whether that is close enough.

``limits`` holds the tolerances, ``figures`` computes numbers from arrays, ``judgements`` compares
the two, and ``known_defects`` lists failures that are a library's. numpy is imported inside
functions.
"""
