"""Numbers as they are written: 1.1 is eleven tenths, and not the binary fraction beside it."""

from fractions import Fraction


def as_written(number: float) -> Fraction:
    """Return the shortest decimal that the number is written as, exactly: for products that are rounded up or down."""
    return Fraction(str(number))
