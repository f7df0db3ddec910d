"""A pickle that shows whether it was run."""


class Bomb:
    """Creates the file ``path`` when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))
