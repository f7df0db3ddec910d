"""Handlers of tile checks on machines that are made up."""

import sys

from amx_suite.tmul.checks import Checks
from amx_suite.worker.jail import refuse_amx


class Jailed(Checks):
    """The kernel refuses it tiles."""

    def __init__(self):
        refuse_amx()


def absent():
    sys.exit("no such thing")
