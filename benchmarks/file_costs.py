"""What files cost before the first step: seconds and memory above what the imports take, each in a process of its own.

`python -m benchmarks.feed files` writes the section; `python -m benchmarks.file_costs pictures FOLDER` is one such
process, which prints its numbers as a line of JSON.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
from PIL import Image

PICTURES, SIDE, CLASSES = 100_000, 32, 10
_MIB = 2**20


def files_section(say: Callable[[], str]) -> list[str]:
    """Return the section. say: tells the machine."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = pictures_rows(Path(scratch))
    return [
        "What a set of files costs before its first step, above what the imports take.",
        say(),
        "",
        "| what | measured | ratio |",
        "|---|---|---|",
        *rows,
        "",
        "The bar: a folder of 100,000 small pictures is not held twice, so below 2 times its pixels.",
    ]


def pictures_rows(scratch: Path) -> list[str]:
    """Return the rows of a folder of pictures: decoded at the first start, mapped at the second."""
    folder = scratch / "pictures"
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        place = folder / str(number % CLASSES)
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png", compress_level=1)
    size = PICTURES * SIDE * SIDE * 3 * 0.8 / _MIB  # what trains
    rows = []
    for start in ("first", "second"):
        seen = measured("pictures", str(folder))
        what = f"{PICTURES:,} pictures of {SIDE} x {SIDE}, {size:.0f} MiB to train on, {start} start"
        rows.append(f"| {what} | {seen['seconds']:.1f} s, peak {seen['peak']:.0f} MiB | {seen['peak'] / size:.2f} |")
    return rows


def measured(what: str, *words: str) -> dict[str, float]:
    """Return what another process measures of itself."""
    command = [sys.executable, "-m", "benchmarks.file_costs", what, *words]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def pictures(folder: str) -> None:
    """Bring a folder of pictures to the device, up to the first step."""
    from fdl.data.modalities.images import images
    from fdl.data.readers.find import find

    dataset = images(find(folder, kind="image"))
    arrays = dataset.load("train").resident().arrays
    jax.block_until_ready(jax.device_put(arrays))


PARTS: Mapping[str, Callable[..., None]] = {"pictures": pictures}


def main(words: list[str]) -> None:
    """Print the seconds and the peak, in MiB, of one part above what the imports take."""
    import fdl.data.modalities.images
    import fdl.data.readers.find  # noqa: F401 (what imports take is not the file's cost)

    jax.block_until_ready(jax.numpy.zeros(1))
    before, begin = _peak(), time.perf_counter()
    PARTS[words[0]](*words[1:])
    print(json.dumps({"seconds": time.perf_counter() - begin, "peak": _peak() - before}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
