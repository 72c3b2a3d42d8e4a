"""A run on a store whose machine is lost."""

import pytest

import fdl
from fdl.core.errors import Fault
from fdl.runs.stores.mirror import Mirror


def train_until_lost(made, address, pushes):
    """Train until the machine is lost, with so many pushes on the store."""
    push, seen = Mirror.push, []

    def stop(mirror):
        if len(seen) == pushes:
            raise OSError("lost")
        seen.append(push(mirror))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mirror, "push", stop)
        with pytest.raises((Fault, OSError)):
            fdl.train(made, address, log=None)
