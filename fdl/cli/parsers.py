"""Parsers of flag values whose errors and types are written for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from fdl.core.errors import UserError

if TYPE_CHECKING:
    TextParser = flags.ArgumentParser[str]
    TupleParser = flags.ArgumentParser[tuple[Any, ...]]
    MappingParser = flags.ArgumentParser[dict[str, int]]
    AnyFlag = flags.Flag[Any]
else:  # absl-py 1.4, which Colab has, knows no types of them
    TextParser = TupleParser = MappingParser = flags.ArgumentParser
    AnyFlag = flags.Flag


class Words(TextParser):
    """Parses any text."""

    def flag_type(self) -> str:
        """Return the type as shown in the help."""
        return "text"


class WholeNumber(flags.IntegerParser):
    """Parses a whole number within bounds."""

    def convert(self, argument: str | int) -> int:
        """Return the number."""
        try:
            return super().convert(argument)
        except (ValueError, TypeError):
            raise UserError("write a whole number") from None

    def flag_type(self) -> str:
        """Return the type as shown in the help."""
        return "whole number"


class Number(flags.FloatParser):
    """Parses a number within bounds."""

    def convert(self, argument: str | float) -> float:
        """Return the number."""
        try:
            return super().convert(argument)
        except (ValueError, TypeError):
            raise UserError("write a number") from None

    def flag_type(self) -> str:
        """Return the type as shown in the help."""
        return "number"


class Several(TupleParser):
    """Parses `1,2,3` into a tuple of one kind."""

    def __init__(self, kind: type):
        self.kind = kind

    def parse(self, argument: str | Sequence[Any]) -> tuple[Any, ...]:
        """Return the values."""
        if not isinstance(argument, str):
            return tuple(argument)
        try:
            return tuple(self.kind(word) for word in argument.split(",") if word)
        except ValueError:
            raise UserError(f"write {self.flag_type()}") from None

    def flag_type(self) -> str:
        """Return the type as shown in the help."""
        words = {int: "whole numbers", float: "numbers", str: "texts"}
        return f"{words.get(self.kind, self.kind.__name__)} with commas between"


class Axes(MappingParser):
    """Parses `data:2,model:4` into a mapping."""

    def parse(self, argument: str) -> dict[str, int]:
        """Return axis -> devices."""
        pairs = (word.split(":") for word in argument.split(","))
        try:
            return {axis: int(size) for axis, size in pairs}
        except ValueError:
            raise UserError("write axis:devices, such as data:2,model:4") from None

    def flag_type(self) -> str:
        """Return the type as shown in the help."""
        return "axis:devices, ..."
