"""Records that are given in the place of a dataset's name: of data in memory, or of a run whose data is elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fdl.data.records import Records

IN_MEMORY = "data in memory"  # the knob `dataset` of a run of such data
_SUPPLIED: ContextVar[Records | None] = ContextVar("supplied", default=None)


@contextmanager
def supplied(records: Records) -> Iterator[None]:
    """Let `find` return these records, whatever name it is given, in this block."""
    token = _SUPPLIED.set(records)
    try:
        yield
    finally:
        _SUPPLIED.reset(token)


def supplied_records() -> Records | None:
    """Return the records that are supplied, None outside of such a block."""
    return _SUPPLIED.get()
