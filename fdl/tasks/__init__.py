"""What a model can be asked to do: each function makes a `Task`, one file each.

A task is linear in its weights: totals of two halves of a batch add up to the totals of the whole, and what weighs 0
adds nothing. Everything is counted in float32 on the device and finished in float64 on the host.
"""

from fdl.tasks.binary import binary
from fdl.tasks.classify import classify
from fdl.tasks.ctc import ctc
from fdl.tasks.detect import detect
from fdl.tasks.embed import embed
from fdl.tasks.masked_token import masked_token
from fdl.tasks.multi_label import multi_label
from fdl.tasks.next_token import next_token
from fdl.tasks.regress import regress
from fdl.tasks.seq2seq import seq2seq

__all__ = [
    "binary",
    "classify",
    "ctc",
    "detect",
    "embed",
    "masked_token",
    "multi_label",
    "next_token",
    "regress",
    "seq2seq",
]
