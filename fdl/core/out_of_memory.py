"""Reading what XLA, a GPU's allocator and NumPy say when memory is out: how much was used, of how much, and by what."""

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


def happened(error: BaseException) -> bool:
    """Say whether this is XLA's or Python's way of saying that memory is out."""
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text


def told(text: str) -> str:
    """Return in one line what was used, of what, and the three largest arrays, as far as the message tells them."""
    if used := _TPU.search(text):
        amount, unit, limit, limit_unit = used.groups()
        line = f"out of memory: {amount} {_NAMES[unit]} used of {limit} {_NAMES[limit_unit]}"
        return line + (f"; the largest: {', '.join(arrays)}" if (arrays := largest(text)) else "")
    if asked := re.search(r"(?i)out of memory[^.\n]*(\.\d+[^.\n]*)?", text):
        return asked[0]
    return " ".join(text.split())[:200] or "out of memory"


def largest(text: str, most: int = 3) -> list[str]:
    """Return the largest arrays of a TPU compiler's list, each as its size, its shape and where it comes from."""
    found = []
    for match in _ARRAY.finditer(text):
        if match[2] in ("G", "T", "M"):  # what is smaller filled no memory
            words = [word for word in (match["source"] or "").split("/") if word and not _SCAFFOLD.match(word)]
            where = f" ({'/'.join(words[-3:])})" if words else ""
            shape = _LAYOUT.sub("", match["shape"]).strip()
            found.append(f"{match[1]} {_NAMES[match[2]]} {shape}{where}")
    return found[:most]
