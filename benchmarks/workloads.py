"""What is raced: shapes, sizes and bars, the same for every contender. `inputs` makes the arrays."""

from dataclasses import dataclass

N = 50_000
PROOF = 20  # steps whose losses must agree before anything is timed
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Workload:
    """One model and the batch that is raced.

    kind:  mlp, cnn, resnet, lstm or gpt. sizes: layer widths; channels and classes; or vocabulary, widths and T.
    bars:  which peers fdl is to beat, and by what factor; goals: what would be more than asked.
    tolerance: of the first losses, relative: optimizers place epsilon differently and sums are added in other orders,
    which batch normalisation makes the most of.
    depth: blocks of each stage of a ResNet, layers of an LSTM, blocks of a GPT.
    """

    name: str
    what: str
    kind: str
    batch: int
    sizes: tuple[int, ...]
    bars: tuple[tuple[str, float], ...]
    goals: tuple[tuple[str, float], ...] = ()
    depth: int = 1
    heads: int = 8
    tolerance: float = 2e-3


_lstm = (("best JAX peer", 1.7), ("torch tuned", 1.0))
WORKLOADS = {
    work.name: work
    for work in (
        Workload("W0", "MLP 30-64-64-1, batch 32", "mlp", 32, (30, 64, 64, 1), (("best peer", 2.3),)),
        Workload("W1", "MLP 784-512-512-10, batch 128", "mlp", 128, (784, 512, 512, 10), (("best peer", 1.1),)),
        Workload(
            "W2", "LeNet 32-64-256-10, 28x28, batch 128", "cnn", 128, (32, 64, 256, 10),
            (("best JAX peer", 3.3), ("torch", 1.6)), (("torch tuned", 1.0),),
        ),
        Workload(
            "W2b", "ResNet-20, 32x32, batch 128", "resnet", 128, (16, 32, 64, 10),
            (("best JAX peer", 1.4),), (("torch", 0.7),), depth=3, tolerance=1e-2,
        ),
        Workload("W3", "LSTM 128-256-512, T 64, batch 32", "lstm", 32, (128, 256, 512, 64), _lstm),
        Workload("W3b", "the same LSTM with two layers", "lstm", 32, (128, 256, 512, 64), _lstm, depth=2),
        Workload(
            "W4", "GPT 6 x 256, T 128, batch 16", "gpt", 16, (256, 256, 1024, 128),
            (("best stock peer", 1.25), ("flax, malloc tuned", 1.0)), depth=6,
        ),
    )
}  # fmt: skip


def blocks(work: Workload) -> list[tuple[str, int, int, int]]:
    """Return the name, channels in, channels out and stride of each block of a ResNet, in order."""
    stages = work.sizes[:-1]
    return [
        (f"{i}_{j}", stages[i - 1] if i and not j else width, width, 2 if i and not j else 1)
        for i, width in enumerate(stages)
        for j in range(work.depth)
    ]
