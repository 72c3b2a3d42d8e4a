"""Parse out-of-memory errors of XLA, GPU allocators and NumPy: bytes used, the limit and the largest arrays."""

import re

_TPU = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?)")
_ARRAY = re.compile(
    r"^\s*\d+\. Size: ([\d.]+)([KMGT]?)B?\s*\n(?:\s*Operator: op_name=\"(?P<source>[^\"]*)\"[^\n]*\n)?"
    r"\s*Shape: (?P<shape>[^\n]*)",
    re.MULTILINE,
)
_LAYOUT = re.compile(r"\{[^}]*\}")
_NAMES = {"": "B", "K": "KiB", "M": "MiB", "G": "GiB", "T": "TiB"}
_SCAFFOLD = re.compile(r"(jit|jvp|transpose|vmap|while|body|closed_call|checkpoint|remat)\b")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether this is an out-of-memory error of XLA or Python."""
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text


def summary(text: str) -> str:
    """Summarise an out-of-memory message in one line: memory used, the limit and the largest arrays, if given."""
    if used := _TPU.search(text):
        amount, unit, limit, limit_unit = used.groups()
        line = f"out of memory: {amount} {_NAMES[unit]} used of {limit} {_NAMES[limit_unit]}"
        return line + (f"; the largest: {', '.join(arrays)}" if (arrays := largest(text)) else "")
    if match := re.search(r"(?i)out of memory[^.\n]*(\.\d+[^.\n]*)?", text):
        return match[0]
    return " ".join(text.split())[:200] or "out of memory"


def largest(text: str, most: int = 3) -> list[str]:
    """Return the largest arrays listed by the TPU compiler, each with its size, shape and source op."""
    arrays = []
    for match in _ARRAY.finditer(text):
        if match[2] in ("G", "T", "M"):  # smaller arrays are not the cause
            words = [word for word in (match["source"] or "").split("/") if word and not _SCAFFOLD.match(word)]
            where = f" ({'/'.join(words[-3:])})" if words else ""
            shape = _LAYOUT.sub("", match["shape"]).strip()
            arrays.append(f"{match[1]} {_NAMES[match[2]]} {shape}{where}")
    return arrays[:most]
