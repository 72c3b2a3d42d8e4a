"""The rows for a GPU: fdl against the best tuned torch recipe, in one run; writes its section of docs/benchmarks.md.

    python -m benchmarks.gpu                             needs a GPU, and jax and torch that see it
    python -m benchmarks.gpu --torch=/venv/bin/python    where torch lives in an environment of its own
    python -m benchmarks.gpu --dry                       everything small and on the CPU, and nothing is written

Both sides are processes that take turns. They must have the same number of parameters, and each must learn its first
batch: the loss of the last of twenty steps on it lies below the first.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks import page
from benchmarks.contender import serve

PROOF = 20


@dataclass(frozen=True)
class Row:
    """One model, its batch and the factor by which fdl is to beat torch. sizes: what `fdl_model` reads."""

    name: str
    what: str
    kind: str
    batch: int
    sizes: tuple[int, ...]
    bar: float
    half: bool = False
    examples: int = 50_000


ROWS = (
    Row("W1", "MLP 784-512-512-10, b128, float32 with TF32", "mlp", 128, (784, 512, 512, 10), 1.2),
    Row("W2b", "ResNet-20, 32x32, b128, float32 with TF32", "resnet20", 128, (32, 10), 1.3),
    Row("ResNet-50", "224x224, b256, bfloat16", "resnet50", 256, (224, 1000), 1.15, half=True, examples=2048),
    Row("LSTM", "2 x 1024, T 256, vocabulary 128, b64, float32 with TF32", "lstm", 64, (128, 1024, 2, 256), 0.98),
    Row("GPT-2 b16", "124M, T 1024, b16, bfloat16", "gpt", 16, (50_304, 768, 12, 12, 1024), 1.1, half=True),
    Row("GPT-2 b32", "124M, T 1024, b32, bfloat16", "gpt", 32, (50_304, 768, 12, 12, 1024), 1.1, half=True),
    Row("BERT-base", "T 512, b32, bfloat16", "bert", 32, (30_522, 768, 12, 12, 512), 1.1, half=True),
)
# The same at sizes for which a CPU takes seconds.
SMALL = {
    "mlp": (12, 16, 16, 10),
    "resnet20": (8, 10),
    "resnet50": (32, 10),
    "lstm": (16, 8, 2, 6),
    "gpt": (32, 16, 2, 2, 8),
    "bert": (32, 16, 2, 2, 8),
}


def small(row: Row) -> Row:
    """Return a row for a dry run."""
    return replace(row, batch=4, sizes=SMALL[row.kind], examples=32)


def arrays(row: Row) -> tuple[Any, Any]:
    """Return made-up inputs and targets: images uint8[N, side, side, 3], features f32[N, D] or tokens i32[N, T]."""
    import numpy as np

    random = np.random.default_rng(0)
    if row.kind in ("lstm", "gpt", "bert"):
        vocabulary, time = row.sizes[0], row.sizes[-1]
        tokens = random.integers(0, vocabulary, (min(row.examples, 4096), time + 1)).astype(np.int32)
        return tokens[:, :-1].copy(), tokens[:, 1:].copy()
    labels = random.integers(0, row.sizes[-1], row.examples).astype(np.int32)
    if row.kind == "mlp":
        return random.standard_normal((row.examples, row.sizes[0]), np.float32), labels
    return random.integers(0, 256, (row.examples, row.sizes[0], row.sizes[0], 3), np.uint8), labels


def fdl_side(row: Row, dry: bool) -> Any:
    """Make fdl's side: an Experiment as any page makes one."""
    from fdl.parallel import jax_startup

    jax_startup.prepare_jax({"accelerator": "cpu" if dry else "gpu"}, None)
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from benchmarks.contenders.fdl import Run
    from fdl import models, tasks
    from fdl.core.types import Batch
    from fdl.data.dataset import Dataset, Spec, columns
    from fdl.experiment import Experiment

    x, y = arrays(row)
    dtype = jnp.bfloat16 if row.half else None
    task = tasks.next_token() if y.ndim == 2 else tasks.classify(row.sizes[-1])
    model: Any
    if row.kind == "mlp":
        model = models.MLP(row.sizes[-1], row.sizes[1:-1])
    elif row.kind == "resnet20":
        model = models.cifar_resnet(20, row.sizes[-1], dtype=dtype)
    elif row.kind == "resnet50":
        model = models.resnet(50, row.sizes[-1], dtype=dtype)
    elif row.kind == "lstm":
        vocabulary, width, depth, _ = row.sizes
        model = models.RNN(vocabulary, vocabulary, width, depth=depth, return_sequences=True)
    else:
        vocabulary, width, depth, heads, time = row.sizes
        if row.kind == "gpt":
            model = models.gpt(vocabulary, width=width, depth=depth, heads=heads, context=time).clone(dtype=dtype)
        else:
            encoder = models.BERT(vocabulary, width, depth, heads, time, pooler=False, dropout=0.0, dtype=dtype)
            model = models.MaskedLM(encoder)
    source = columns(x, y)
    if y.ndim == 2:
        source = replace(source, take=lambda arrays, rows: Batch(arrays[0][rows], arrays[1][rows], np.ones(
            (len(rows), y.shape[1]), np.float32)))  # fmt: skip
    spec = Spec(
        inputs=jax.ShapeDtypeStruct(x.shape[1:], x.dtype),
        targets=jax.ShapeDtypeStruct(y.shape[1:], y.dtype),
        sizes=dict.fromkeys(("train", "validation", "test"), len(x)),
        weights=y.shape[1:],
        classes=row.sizes[0] if y.ndim == 2 else row.sizes[-1],
        vocabulary=row.sizes[0] if y.ndim == 2 else None,
    )

    def scale(batch: Batch) -> Batch:
        return batch._replace(inputs=batch.inputs.astype(dtype or jnp.float32) / 255)

    data = Dataset(
        name=row.name, spec=spec, load=lambda split: source, transform=scale if x.dtype == np.uint8 else None
    )
    made = Experiment(
        model=model, dataset=data, task=task, optimizer=optax.adamw(1e-3), batch_size=row.batch, steps=10**9,
        log_every=100, feed="resident", executor="jit",
    )  # fmt: skip
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if not dry else None)

    class Side(Run):
        """A run that can show that it learns one batch."""

        def prove(self) -> dict[str, Any]:
            rows, losses = self.program.rows(0, 1), []
            for _ in range(PROOF):
                self.state, sums = self.program.call(self.state, rows)
                losses.append(float(sums["loss"].total[0] / sums["loss"].weight[0]))
            count = sum(leaf.size for leaf in jax.tree.leaves(self.state.params))
            return {"parameters": count, "losses": losses}

    return Side(made)


def torch_side(row: Row, dry: bool) -> Any:
    """Make torch's side: data on the device, TF32, autocast, channels last, compiled, fused AdamW."""
    import numpy as np
    import torch

    from benchmarks.contenders import torch_gpu

    device = "cpu" if dry else "cuda"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    x, y = (torch.from_numpy(a).to(device) for a in arrays(row))
    x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x.long().to(x.dtype)
    model = torch_gpu.model(row.kind, row.sizes).to(device)
    model = model.to(memory_format=torch.channels_last) if x.ndim == 4 else model
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    live = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(live, 1e-3, weight_decay=1e-4, fused=True)

    def loss(x: Any, y: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=row.half):
            outputs = model(x.float() / 255 if x.dtype == torch.uint8 else x)
        return torch.nn.functional.cross_entropy(outputs.flatten(0, -2).float(), y.flatten().long())

    compiled: Callable[..., Any] = loss if dry else torch.compile(loss)
    random = np.random.default_rng(0)

    class Side:
        """The plain loop."""

        def one(self, rows: Any) -> Any:
            optimizer.zero_grad(set_to_none=True)
            value = compiled(x[rows], y[rows])
            value.backward()
            optimizer.step()
            return value.detach()

        def rows(self) -> Any:
            return torch.from_numpy(random.integers(0, len(x), row.batch)).to(device)

        def prove(self) -> dict[str, Any]:
            rows = torch.arange(row.batch, device=device)
            return {"parameters": count, "losses": [self.one(rows).item() for _ in range(PROOF)]}

        def run(self, steps: int) -> None:
            for _ in range(steps):
                value = self.one(self.rows())
            value.item()

    return Side()


def learns(proof: dict[str, Any]) -> bool:
    """Say whether the losses of one batch fell."""
    return proof["losses"][-1] < proof["losses"][0]


def race(row: Row, pythons: dict[str, str], seconds: float, rounds: int, dry: bool) -> dict[str, Any]:
    """Return the rates of both sides of one row, or why there are none."""
    from benchmarks.peers import Contender

    sides = {}
    for side, python in pythons.items():
        command = [python, "-m", "benchmarks.gpu", f"--side={side}", f"--row={row.name}", *(["--dry"] if dry else [])]
        sides[side] = Contender(side, command, None)
    try:
        proofs = {side: contender.answer() for side, contender in sides.items()}
        for side, proof in proofs.items():
            if proof is None:
                return {"failed": f"{side} did not start"}
            if not learns(proof):
                return {"failed": f"{side} does not learn: {proof['losses'][0]:.3f} … {proof['losses'][-1]:.3f}"}
        counts = {side: proof["parameters"] for side, proof in proofs.items() if proof}
        if len(set(counts.values())) > 1:
            return {"failed": f"parameters differ: {counts}"}
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, contender in sides.items():
                seen = contender.ask(seconds)
                if seen is None:
                    return {"failed": f"{side} ended in a window"}
                rates[side].append(seen["steps_per_second"])
    finally:
        for contender in sides.values():
            contender.end()
    return {"parameters": counts["fdl"], "rates": rates}


def section(record: page.Record) -> list[str]:
    """Return the lines of the GPU's rows."""
    lines = [
        "## On a GPU",
        "",
        "Written by `python -m benchmarks.gpu`. torch: data on the device, TF32, bfloat16 by autocast, channels last,",
        "`torch.compile`, fused AdamW. Same parameter counts; examples/s, median of the windows [lowest, highest].",
        "",
        f"{record['device']}; {page.where(record['machine'])}",
        "",
        "| | parameters | fdl | torch, tuned | fdl / torch | bar | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in ROWS:
        seen = record["rows"].get(row.name, {"failed": "not run"})
        if "failed" in seen:
            lines.append(f"| {row.name}: {row.what} | – | – | – | – | {row.bar:g} | {seen['failed']} |")
            continue
        cells, middle = [], {}
        for side, rates in seen["rates"].items():
            low, middle[side], high = (row.batch * f(rates) for f in (min, median, max))
            cells.append(f"{middle[side]:,.0f} [{low:,.0f}, {high:,.0f}]")
        ratio = middle["fdl"] / middle["torch"]
        says = "holds" if ratio >= row.bar else f"**misses by {1 - ratio / row.bar:.0%}**"
        cells += [f"{ratio:.2f}", f"{row.bar:g}", says]
        lines.append(f"| {row.name}: {row.what} | {seen['parameters']:,} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Parse the words, race, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(row.name for row in ROWS))
    parser.add_argument("--fdl", default=sys.executable, help="an interpreter with jax")
    parser.add_argument("--torch", default=sys.executable, help="an interpreter with torch")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        row = next(row for row in ROWS if row.name == asked.row)
        out, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is not an answer
        side = (fdl_side if asked.side == "fdl" else torch_side)(small(row) if asked.dry else row, asked.dry)
        serve(side.run, side.prove(), out)
        return
    record = page.kept("gpu") or {"rows": {}}
    wanted = asked.only.split(",")
    for row in ROWS:
        if row.name in wanted:
            pythons = {"fdl": asked.fdl, "torch": asked.torch}
            seconds, rounds = (0.2, 2) if asked.dry else (asked.seconds, asked.rounds)
            record["rows"][row.name] = race(row, pythons, seconds, rounds, asked.dry)
            print(row.name, json.dumps(record["rows"][row.name]), flush=True)
            if not asked.dry:
                record |= {"machine": page.machine(asked.fdl), "device": device()}
                page.keep("gpu", record, section(record))


def device() -> str:
    """Return what the driver calls the first GPU."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return done.stdout.splitlines()[0]


if __name__ == "__main__":
    main()
