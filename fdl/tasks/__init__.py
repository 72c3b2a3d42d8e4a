"""Tasks: losses and metrics, one file each; each function makes a `Task`.

Sums are linear in the example weights: the sums of two halves of a batch add up to those of the whole (rows of what is
unreduced are concatenated), and examples of weight 0 contribute nothing. Sums are computed in float32 on the device,
metrics in float64 on the host. Each task says what its targets may be.
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
from fdl.tasks.regress_logs import regress_logs
from fdl.tasks.seq2seq import seq2seq
from fdl.tasks.tag import tag

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
    "regress_logs",
    "seq2seq",
    "tag",
]
