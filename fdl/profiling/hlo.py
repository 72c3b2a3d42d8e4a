"""Parse a compiled program's text (HLO): operations, bytes and collectives.

Pure functions of the text. The body of a loop counts once.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

BYTES = {"pred": 1, "s4": 1, "u4": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "s64": 8, "u64": 8} | {
    "bf16": 2, "f16": 2, "f32": 4, "f64": 8, "f8e4m3fn": 1, "f8e5m2": 1, "c64": 8, "c128": 16,
}  # fmt: skip
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
_ARRAY = re.compile(rf"\b({'|'.join(BYTES)})\[([\d,]*)\]")
_OPERATION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$")


class Operation(NamedTuple):
    """One HLO instruction.

    opcode: such as "dot" or "copy". shape: of the result, as text. operands: the text from the parentheses on.
    source: its op_name in the model. cycles: the TPU compiler's estimate, 0 if it gives none.
    fused: part of a fusion; its result is no array in memory.
    """

    name: str
    opcode: str
    shape: str
    operands: str
    source: str
    cycles: int
    fused: bool

    @property
    def nbytes(self) -> int:
        """The bytes of its result."""
        return nbytes(self.shape)


def operations(text: str) -> list[Operation]:
    """Return the operations of every computation of a program."""
    text = re.sub(r"/\*index=\d+\*/", "", text)
    fusions = set(re.findall(r" fusion\(.*? calls=%?([\w.\-]+)", text))
    found, computation = [], ""
    for line in text.splitlines():
        if begun := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            computation = begun[1]
        match = _OPERATION.match(line)
        if match is None:
            continue
        _, name, shape, opcode, operands = match.groups()
        source = re.search(r'op_name="([^"]*)"', line)
        cycles = re.search(r'"estimated_cycles":"(\d+)"', line)
        found.append(
            Operation(
                name,
                opcode,
                shape,
                operands,
                source[1] if source else "",
                int(cycles[1]) if cycles else 0,
                computation in fusions,
            )
        )
    return found


def arrays(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return the dtype and dimensions of each array in a shape's text."""
    return [(dtype, tuple(map(int, filter(None, sides.split(","))))) for dtype, sides in _ARRAY.findall(shape)]


def nbytes(shape: str) -> int:
    """Return the bytes of the arrays in a shape's text, without padding of the layout."""
    return sum(BYTES[dtype] * math.prod(sides) for dtype, sides in arrays(shape))


def shape_of(operation: Operation) -> str:
    """Return the shape of an operation's result without its layout, what it is, and the last words of its source."""
    words = "/".join(operation.source.split("/")[-2:])
    return f"{re.sub(r'{[^}]*}', '', operation.shape)} {operation.opcode}" + (f" ({words})" if words else "")


def collectives(found: Iterable[Operation]) -> dict[str, tuple[int, int]]:
    """Return, per kind of collective, their number and the bytes of their results."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for operation in found:
        kind = operation.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            counts[kind][0] += 1
            counts[kind][1] += operation.nbytes
    return {kind: (count, size) for kind, (count, size) in counts.items()}


def custom_calls(text: str) -> set[str]:
    """Return the targets of a program's custom calls."""
    return set(re.findall(r'custom_call_target="([^"]+)"', text))


def copies(found: Iterable[Operation], sides: Sequence[int]) -> list[Operation]:
    """Return the copies and transposes of an array of these dimensions, in any order."""
    wanted = sorted(sides)
    return [
        operation
        for operation in found
        if operation.opcode in ("copy", "transpose")  # a copy-start fetches into fast memory and keeps the layout
        and any(sorted(dimensions) == wanted for _, dimensions in arrays(operation.shape))
    ]


def wide_numbers(found: Iterable[Operation]) -> int:
    """Return how many arrays of 64-bit numbers reach memory, besides the few kilobytes by which JAX counts random bits.

    Inside fusions, where no array reaches memory, it counts in 64 bits as well.
    """
    wide = ("f64", "s64", "u64", "c128")
    return sum(
        any(dtype in wide and sides for dtype, sides in arrays(operation.shape))
        for operation in found
        if not operation.fused and not ("iota_2x32_shape" in operation.source and operation.nbytes < 2**16)
    )


def products(found: Iterable[Operation]) -> list[Operation]:
    """Return the matrix products and convolutions."""
    return [operation for operation in found if operation.opcode in ("dot", "convolution")]


def largest(found: Iterable[Operation], most: int = 3) -> list[Operation]:
    """Return the operations with the largest results, one per shape."""
    by_shape: Mapping[tuple[str, int], Operation] = {
        (re.sub(r"\{[^}]*\}", "", operation.shape), operation.nbytes): operation
        for operation in found
        if not operation.fused
        and operation.opcode not in ("parameter", "tuple", "get-tuple-element", "while", "bitcast", "conditional")
    }
    return sorted(by_shape.values(), key=lambda operation: -operation.nbytes)[:most]
