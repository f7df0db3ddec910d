"""What this machine offers, and whether AMX can be used on it.

``facts`` collects what ``cpuid``, ``cpuinfo``, ``permission`` and ``topology`` read. ``support``
decides, with the codes and remedies of ``reasons``. ``snapshot`` reads the machine's health, which
``health_rules`` judges. ``doctor`` writes the report, and ``fingerprint`` tells machines apart.
"""
