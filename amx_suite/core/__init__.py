"""The suite's vocabulary as frozen values. No input, no output, no torch."""
