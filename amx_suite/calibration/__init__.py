"""Floor 5: the machine's quiet reference, and the proof that the method keeps its word here.

``behaviour`` finds the quiet state in a series of readings, ``storage`` keeps it for the machine,
``calibrate`` takes the readings and tells how the machine behaves, ``prove`` runs trials whose
answer is known.
"""
