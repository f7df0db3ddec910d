"""Settings of the selftests."""

from pathlib import Path

HERE = Path(__file__).parent
#: Rooms whose tests import torch.
WITH_TORCH = ("engines", "worker", "workloads")


def pytest_collection_modifyitems(items):
    """Selftests that import torch come first, so that one of xdist's processes imports it."""
    # xdist gives each process a part of the list, and a process that is done the end of another's.
    items.sort(
        key=lambda item: HERE in item.path.parents and 2 - (item.path.parent.name in WITH_TORCH)
    )
