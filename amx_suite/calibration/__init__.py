"""The machine's quiet reference: taken from a series of readings, and stored for the machine."""
