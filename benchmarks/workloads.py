"""What is raced: shapes, data, first weights and the order of the first steps, the same for every contender.

Shape legend: N examples, B batch, T time, D width, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np

N = 50_000
PROOF = 20  # steps whose losses must agree before anything is timed
LEARNING_RATE = 1e-3
DEPTH, HEADS = 6, 8
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Workload:
    """One model and the batch that is raced. kind: mlp, cnn, lstm or gpt; sizes: layer widths, or the vocabulary."""

    name: str
    what: str
    kind: str
    batch: int
    sizes: tuple[int, ...]
    bar: str


WORKLOADS = {
    "W0": Workload("W0", "MLP 30-64-64-1, batch 32", "mlp", 32, (30, 64, 64, 1), "2.3 x best"),
    "W1": Workload("W1", "MLP 784-512-512-10, batch 128", "mlp", 128, (784, 512, 512, 10), "1.1 x best"),
    "W2": Workload(
        "W2", "LeNet 32-64-256-10, 28x28, batch 128", "cnn", 128, (32, 64, 256, 10), "3.3 x best JAX, 1.6 x torch"
    ),
    "W3": Workload(
        "W3", "LSTM 128-256-512, T 64, batch 32", "lstm", 32, (128, 256, 512, 64), "1.7 x best JAX, 1.0 x torch tuned"
    ),
    "W4": Workload(
        "W4", "GPT 6 x 256, T 128, batch 16", "gpt", 16, (256, 256, 1024, 128),
        "1.25 x best stock, 1.0 x flax with malloc tuned",
    ),
}  # fmt: skip


def data(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets of N examples: f32[N, ...] and labels, or tokens i32[N, T] and the next ones."""
    rng = np.random.default_rng(1)
    if work.kind in ("lstm", "gpt"):
        tokens = rng.integers(0, work.sizes[0], (N, work.sizes[3] + 1)).astype(np.int32)
        return tokens[:, :-1].copy(), tokens[:, 1:].copy()
    shape = (28, 28, 1) if work.kind == "cnn" else work.sizes[:1]
    x = rng.standard_normal((N, *shape), np.float32)
    if work.sizes[-1] == 1:
        return x, (x.sum(1) > 0).astype(np.float32)
    return x, (np.abs(x.reshape(N, -1)[:, :64]).sum(1) * 3).astype(np.int32) % work.sizes[-1]


def weights(work: Workload) -> Weights:
    """Return the first weights by neutral names; kernels are [in, out], gates i f g o."""
    rng = np.random.default_rng(2)

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)

    found: Weights = {}

    def dense(name: str, *shape: int) -> None:
        found[f"{name}.kernel"], found[f"{name}.bias"] = draw(*shape), np.zeros(shape[-1], np.float32)

    if work.kind == "mlp":
        for i, (a, b) in enumerate(zip(work.sizes, work.sizes[1:], strict=False)):
            dense(f"dense{i}", a, b)
    elif work.kind == "cnn":
        first, second, hidden, classes = work.sizes
        dense("conv0", 3, 3, 1, first)
        dense("conv1", 3, 3, first, second)
        dense("dense0", 7 * 7 * second, hidden)
        dense("dense1", hidden, classes)
    elif work.kind == "lstm":
        vocabulary, embedding, width, _ = work.sizes
        found["embed"] = draw(vocabulary, embedding)
        dense("lstm", embedding, 4 * width)
        found["lstm.recurrent"] = draw(width, 4 * width)
        dense("head", width, vocabulary)
    else:
        vocabulary, width, hidden, time = work.sizes
        found["embed"], found["positions"] = draw(vocabulary, width), draw(time, width)

        def norm(name: str) -> None:
            found[f"{name}.scale"], found[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)

        for i in range(DEPTH):
            norm(f"{i}.norm1")
            for part in ("query", "key", "value", "out"):
                dense(f"{i}.{part}", width, width)
            norm(f"{i}.norm2")
            dense(f"{i}.up", width, hidden)
            dense(f"{i}.down", hidden, width)
        norm("norm")
        dense("head", width, vocabulary)
    return found


def proof_order(work: Workload) -> np.ndarray:
    """Return i64[PROOF, B]: the rows of the first steps, which are fdl's own for seed 0."""
    from fdl.data.order import orders

    return orders(0, 0, PROOF, batch_size=work.batch, size=N)


class Shuffle:
    """Rows of one batch after another, every example once an epoch in a new order."""

    def __init__(self, batch: int):
        self.rng, self.batch, self.place, self.rows = np.random.default_rng(3), batch, N, np.empty(0, np.int64)

    def __call__(self) -> np.ndarray:
        """Return i64[B]."""
        if self.place + self.batch > N:
            self.rows, self.place = self.rng.permutation(N), 0
        self.place += self.batch
        return self.rows[self.place - self.batch : self.place]
