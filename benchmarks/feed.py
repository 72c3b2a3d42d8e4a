"""How fast data comes: what reading, decoding, caching and sending cost, as ratios in one run on one machine.

    python -m benchmarks.feed                  writes its three tables into docs/results.md (some minutes on two cores)
    python -m benchmarks.feed reading          the first alone; `bound` is the second, `files` the third
    python -m benchmarks.feed --folder=DIR …   with the set that another run prepared there

A set of 28×28 PNG images is prepared in a temporary folder and read in every way there is, each in a few rounds that
alternate, of which the median counts.
"""

import importlib.util
import io
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from benchmarks.file_costs import files_section
from benchmarks.page import put_between
from fdl.core import steps
from fdl.data.modalities.images import images
from fdl.data.pixels import decode_image
from fdl.data.readers.tensorflow_stub import install
from fdl.data.readers.tfds import tfds
from fdl.data.validate import check_values
from fdl.engine import loader
from fdl.engine.program import Call, step_of, training
from fdl.engine.shuffle import orders
from fdl.experiment import Experiment, load
from fdl.parallel import executors

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results.md"
IMAGES = 60_000
READ = 4_096
STREAMED = 65_536
BATCH = 128


def prepare(folder: Path) -> Path:
    """Prepare 60,000 PNG images of blurred blobs, about as compressible as MNIST."""
    install()
    import tensorflow_datasets as api

    class Blobs(api.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        VERSION = api.core.Version("1.0.0")

        def _info(self) -> api.core.DatasetInfo:
            features = {
                "image": api.features.Image(shape=(28, 28, 1)),
                "label": api.features.ClassLabel(num_classes=10),
            }
            return api.core.DatasetInfo(builder=self, features=api.features.FeaturesDict(features))

        def _split_generators(self, manager: object) -> dict:
            return {"train": self._generate_examples(IMAGES), "test": self._generate_examples(1000)}

        def _generate_examples(self, count: int) -> object:
            rng = np.random.default_rng(count)
            place = np.arange(28)
            for i in range(count):
                down, right, wide = rng.uniform(8, 20), rng.uniform(8, 20), rng.uniform(2, 5)
                blob = np.exp(-((place[:, None] - down) ** 2 + (place[None] - right) ** 2) / wide**2)
                image = np.where(blob > 0.1, 255 * blob, 0).astype(np.uint8)[..., None]
                yield i, {"image": image, "label": i % 10}

    Blobs.name = "blobs"
    builder = Blobs(data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare()
    return Path(builder.data_dir)


def rounds_of(runs: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, np.ndarray]:
    """Return the seconds of each in every round, taken in turns so that what else the machine does meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begin)
    return {name: np.array(each) for name, each in seconds.items()}


def reading(folder: Path) -> list[str]:
    """Measure images per second of TFDS, a naive Grain loader and the streamed feed over the same random rows."""
    import grain
    import tensorflow_datasets as api

    plain = api.builder_from_directory(folder).as_data_source(split="train")
    source = images(tfds(str(folder), splits={"train": "train", "validation": "test", "test": "test"})).load("train")
    rows = orders(0, 0, READ // BATCH, batch_size=BATCH, size=IMAGES)
    stream = loader.Stream(
        source, lambda step, count: loader.training_rows(0, step, count, batch_size=BATCH, size=IMAGES), 10**6
    )
    stream(0, 1)

    def by_tfds() -> None:
        for row in rows:
            np.stack([example["image"] for example in plain.__getitems__(row.tolist())])

    def by_grain() -> None:
        for _ in grain.MapDataset.source(plain).shuffle(seed=0)[:READ].batch(BATCH).to_iter_dataset():
            pass

    def by_stream() -> None:
        # Nothing is begun before the clock starts, and nothing is left over after it.
        stream.pending.clear()
        first, stream.end = stream.end, stream.end + STREAMED // BATCH
        for step in range(first, stream.end, 8):
            stream(step, 8)

    encoded = [_png(example["image"]) for example in plain.__getitems__(rows.reshape(-1)[:2048].tolist())]

    def by_decoder() -> None:
        for data in encoded:
            decode_image(data, 1)

    def by_read() -> None:
        source.fetch(rows.reshape(-1))

    counts = {"tfds": READ, "grain": READ, "decoder": len(encoded), "read": READ, "stream": STREAMED}
    took = rounds_of({"tfds": by_tfds, "grain": by_grain, "decoder": by_decoder, "read": by_read, "stream": by_stream})
    speed = {name: count / took[name] for name, count in counts.items()}
    decoder = "pyspng" if importlib.util.find_spec("pyspng") else "Pillow"
    names = {
        "tfds": "TFDS, single-process batched read",
        "grain": "Grain, one by one",
        "decoder": f"fdl, decoding alone, one thread, from memory, by {decoder}",
        "read": "fdl, reading and decoding in one thread",
        "stream": f"**fdl, streamed feed, {loader.WORKERS} processes**",
    }
    ratio = {name: np.median(took["tfds"] / READ * count / took[name]) for name, count in counts.items()}
    return [f"| {text} | {np.median(speed[name]):,.0f} images/s | {ratio[name]:.2f} |" for name, text in names.items()]


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def starting(folder: Path) -> list[str]:
    """Measure the first start of the set, which decodes it, and the second, which maps it."""

    def start() -> float:
        begin = time.perf_counter()
        data = images(tfds(str(folder), splits={"train": "train", "validation": "test", "test": "test"}))
        arrays = data.load("train").resident().arrays
        jax.block_until_ready(jax.device_put(arrays))
        return time.perf_counter() - begin

    first, second = start(), min(start() for _ in range(3))
    return [
        f"| fdl, first start: decode {IMAGES:,} images, keep them | {first:.2f} s | |",
        f"| fdl, second start: map them, put them on the device | **{second:.2f} s** | {first / second:.0f}× faster |",
    ]


def ordering() -> list[str]:
    """Measure the stateless order beside Grain's, in nanoseconds per index."""
    from grain.experimental import index_shuffle

    count = 64 * 1024
    took = rounds_of(
        {
            "fdl": lambda: orders(0, 10**6, 64, batch_size=1024, size=1_281_167),
            "grain": lambda: [index_shuffle(i, max_index=1_281_166, seed=1, rounds=4) for i in range(count // 16)],
            "numpy": lambda: np.random.default_rng(0).permutation(1_281_167),
        }
    )
    return [
        f"| fdl, order of any step (1.28 M rows) | {took['fdl'].min() / count * 1e9:.0f} ns per index | |",
        f"| Grain, index_shuffle | {took['grain'].min() / (count // 16) * 1e9:.0f} ns per index | |",
        f"| NumPy, a permutation of the whole epoch | {took['numpy'].min() * 1e3:.0f} ms before the first step | |",
    ]


def bound(name: str, made: Experiment, count: int) -> str:
    """Measure how much of a run waits for data: 1 - time with one batch kept on the device / time with real rows.

    As in a run, one call goes ahead of the one that is waited for.
    """
    executor = executors.jit()
    program = training(made, executor)
    source = made.dataset.load("train").resident()
    one = loader.Stream(
        source, lambda step, _: loader.training_rows(0, step, 1, batch_size=made.batch_size, size=len(source)), 1
    )
    chunk = executor.put_chunk(jax.tree.map(lambda x: np.repeat(x, program.steps_per_call, 0), one(0, 1)))
    synthetic = Call(executor, steps.fuse(step_of(made)))
    states = [executor.put_state(made.init()) for _ in range(2)]

    def go(which: int, call: Callable, send: Callable[[int], object]) -> Callable[[], None]:
        def run() -> None:
            before: object = ()
            for step in range(0, count, program.steps_per_call):
                states[which], sums = call(states[which], send(step))
                jax.block_until_ready(before)
                before = sums
            jax.block_until_ready(before)

        return run

    runs = {
        "real": go(0, program.call, lambda step: program.rows(step, program.steps_per_call)),
        "synthetic": go(1, synthetic, lambda step: chunk),
    }
    for run in runs.values():
        run()
    took = rounds_of(runs, rounds=41)
    share = np.median(1 - took["synthetic"] / took["real"])
    each = np.median(took["real"]) / count
    index = np.arange(min(len(source), one.block * made.batch_size))
    block = source.fetch(index)
    looked = rounds_of({"check": lambda: check_values(block, made.dataset.spec, name, "train", index)})["check"]
    check = np.median(looked) * made.batch_size / len(index)
    place = program.feed.split(":")[0]
    return f"| `{name}` | {place} | {1e3 * each:.3f} ms | {100 * share:.1f} % | {100 * check / each:.2f} % |"


def write(part: str, section: list[str]) -> None:
    """Put a section into docs/results.md between its markers, at the end where it has none yet."""
    begin, end = f"<!-- feed {part}: begin (python -m benchmarks.feed {part}) -->", f"<!-- feed {part}: end -->"
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Results\n"
    if begin not in text:
        RESULTS.write_text(f"{text.rstrip()}\n\n{begin}\n{end}\n", encoding="utf-8")
    put_between(RESULTS, begin, end, section)
    print("\n".join(section))


def machine() -> str:
    """Say what was measured on."""
    processor, load_now = platform.processor() or platform.machine(), os.getloadavg()[0]
    versions = f"python {platform.python_version()}, jax {jax.__version__}"
    return f"{os.cpu_count()} cores, {processor}, {versions}; load {load_now:.1f}."


def reading_section(folder: Path) -> list[str]:
    """Return the section on reading."""
    return [
        "## Feeding",
        "",
        f"{IMAGES:,} PNG images of 28×28, random rows in batches of {BATCH};",
        machine(),
        "Medians of rounds in turns; a ratio is the median of the rounds' own.",
        "",
        "| what | measured | ratio |",
        "|---|---|---|",
        *reading(folder),
        *starting(folder),
        *ordering(),
        "",
        "The bar is 3 times TFDS for the streamed feed. TFDS itself decodes by OpenCV where that is installed, else,",
        "as here, by Pillow; fdl by pyspng where that is installed (`.[fast]`), else by Pillow.",
    ]


def bound_section(folder: Path) -> list[str]:
    """Return the section on what waits for data."""
    page = load("image", dataset=str(folder), train="train", validation="test", test="test", model="mlp")
    return [
        "Input-bound is 1 − time with one batch kept on the device / time with real rows, the median of rounds in",
        "turns; the bar is 2 % for resident sets. Only the streamed feed pays for checks, beside the steps: where it",
        "decodes, and for a block of batches at once.",
        machine(),
        "",
        "| experiment | feed | step | input-bound | check / step |",
        "|---|---|---|---|---|",
        bound("digits_mlp", load("digits_mlp"), 500),
        bound("digits_cnn", load("digits_cnn"), 40),
        bound("image --model=mlp", page, 300),
    ]


SECTIONS = {"reading": reading_section, "bound": bound_section, "files": lambda folder: files_section(machine)}


def main(words: list[str]) -> None:
    """Measure the parts that are named, or all, and write their sections."""
    given = [word.removeprefix("--folder=") for word in words if word.startswith("--folder=")]
    parts = [word for word in words if not word.startswith("-")] or list(SECTIONS)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["FDL_CACHE"] = f"{scratch}/cache"
        place = Path(given[0] if given else scratch)
        place.mkdir(parents=True, exist_ok=True)
        found = next(place.glob("*/*/features.json"), None)
        folder = found.parent if found else place if parts == ["files"] else prepare(place)
        for part in parts:
            write(part, SECTIONS[part](folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
