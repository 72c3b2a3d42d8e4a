"""One contender in a process of its own: proves its losses, then times windows when told to on standard input."""

import argparse
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
warnings.filterwarnings("ignore")
# name -> what it is
CONTENDERS = {
    "fdl": "fdl as launched",
    "flax": "Flax linen, hand-written loop",
    "flax_malloc": "the same, malloc tuned",
    "keras": "Keras 3 on JAX",
    "keras_32": "the same, steps_per_execution=32",
    "torch": "PyTorch eager",
    "torch_tuned": "the same, fused Adam, channels last, malloc tuned",
    "lightning": "Lightning",
    "equinox": "Equinox, hand-written loop",
    "haiku": "Haiku, hand-written loop",
}
JAX_STOCK = ("flax", "keras", "keras_32", "equinox", "haiku")


def build(name: str, work: Any, weights: Any, x: Any, y: Any) -> Any:
    """Import one library and make its contender."""
    if name == "fdl":
        from benchmarks.contenders import fdl

        return fdl.build(work, weights, x, y)
    if name in ("flax", "flax_malloc"):
        from benchmarks.contenders import flax

        return flax.build(work, weights, x, y)
    if name in ("equinox", "haiku"):
        from importlib import import_module

        return import_module(f"benchmarks.contenders.{name}").build(work, weights, x, y)
    if name in ("keras", "keras_32"):
        from benchmarks.contenders import keras

        return keras.Fit(work, weights, x, y, 32 if name == "keras_32" else 1)
    from benchmarks.contenders import torch

    if name == "lightning":
        return torch.Lightning(work, weights, x, y, tuned=False)
    return torch.Loop(work, weights, x, y, tuned=name == "torch_tuned")


def window(run: Any, seconds: float, rate: float) -> dict[str, float]:
    """Run as many steps as take about `seconds` at `rate` steps/s, and return what was seen."""
    steps = max(1, round(seconds * rate))
    before, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    steps = run(steps) or steps
    wall, after = time.perf_counter() - before, resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    return {"steps_per_second": steps / wall, "cpu_ms": used / steps * 1e3, "cpu_seconds": used}


def serve(run: Any, proof: dict[str, Any], out: IO[str]) -> None:
    """Warm up, give the proof, then run windows of as many seconds as each line of standard input says."""
    rate = 2.0
    for seconds in (0.5, 0.5):  # compiles what the windows run, and learns how many steps they hold
        rate = window(run, seconds, rate)["steps_per_second"]
    print(json.dumps(proof), file=out, flush=True)
    for line in sys.stdin:
        seen = window(run, float(line), rate)
        rate = seen["steps_per_second"]
        print(json.dumps(seen), file=out, flush=True)


def main() -> None:
    """Serve windows until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload")
    parser.add_argument("name", choices=CONTENDERS)
    asked = parser.parse_args()
    out, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is not an answer
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache" / "fdl" / "peers"))
    if asked.name == "fdl":
        from fdl.parallel import jax_startup

        jax_startup.prepare_jax({"accelerator": "cpu"}, None)
    if asked.name in ("flax_malloc", "torch_tuned"):
        from fdl.parallel import memory

        memory.keep_freed_memory()
    from benchmarks import inputs
    from benchmarks.workloads import WORKLOADS

    work = WORKLOADS[asked.workload]
    x, y = inputs.data(work)
    contender = build(asked.name, work, inputs.weights(work), x, y)
    serve(contender.run, {"losses": contender.losses(inputs.proof_order(work))}, out)


if __name__ == "__main__":
    main()
