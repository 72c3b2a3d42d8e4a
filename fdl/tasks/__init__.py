"""What a model can be asked to do: each function makes a `Task`, one file each.

A task is linear in its weights: totals of two halves of a batch add up to the totals of the whole, and what weighs 0
adds nothing. Everything is counted in float32 on the device and finished in float64 on the host.
"""

from fdl.tasks.binary import binary
from fdl.tasks.classify import classify
from fdl.tasks.next_token import next_token
from fdl.tasks.regress import regress

__all__ = ["binary", "classify", "next_token", "regress"]
