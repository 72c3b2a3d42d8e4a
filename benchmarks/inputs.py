"""What every contender is given: data, first weights and the order of the first steps.

Shape legend: N examples, B batch, T time.
"""

import numpy as np

from benchmarks.workloads import PROOF, N, Workload, blocks

Weights = dict[str, np.ndarray]


def data(work: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets of N examples: f32[N, ...] and labels, or tokens i32[N, T] and the next ones."""
    rng = np.random.default_rng(1)
    if work.kind in ("lstm", "gpt"):
        tokens = rng.integers(0, work.sizes[0], (N, work.sizes[3] + 1)).astype(np.int32)
        return tokens[:, :-1].copy(), tokens[:, 1:].copy()
    shape = {"cnn": (28, 28, 1), "resnet": (32, 32, 3)}.get(work.kind, work.sizes[:1])
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

    def norm(name: str, width: int) -> None:
        found[f"{name}.scale"], found[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)

    if work.kind == "mlp":
        for i, (a, b) in enumerate(zip(work.sizes, work.sizes[1:], strict=False)):
            dense(f"dense{i}", a, b)
    elif work.kind == "cnn":
        first, second, hidden, classes = work.sizes
        dense("conv0", 3, 3, 1, first)
        dense("conv1", 3, 3, first, second)
        dense("dense0", 7 * 7 * second, hidden)
        dense("dense1", hidden, classes)
    elif work.kind == "resnet":
        *stages, classes = work.sizes
        found["stem.kernel"] = draw(3, 3, 3, stages[0])
        norm("norm", stages[0])
        for block, before, width, _ in blocks(work):
            for i, inputs in ((1, before), (2, width)):
                found[f"{block}.conv{i}.kernel"] = draw(3, 3, inputs, width)
                norm(f"{block}.norm{i}", width)
        dense("head", stages[-1], classes)
    elif work.kind == "lstm":
        vocabulary, embedding, width, _ = work.sizes
        found["embed"] = draw(vocabulary, embedding)
        for i in range(work.depth):
            dense(f"lstm{i}", width if i else embedding, 4 * width)
            found[f"lstm{i}.recurrent"] = draw(width, 4 * width)
        dense("head", width, vocabulary)
    else:
        vocabulary, width, hidden, time = work.sizes
        found["embed"], found["positions"] = draw(vocabulary, width), draw(time, width)

        for i in range(work.depth):
            norm(f"{i}.norm1", width)
            for part in ("query", "key", "value", "out"):
                dense(f"{i}.{part}", width, width)
            norm(f"{i}.norm2", width)
            dense(f"{i}.up", width, hidden)
            dense(f"{i}.down", hidden, width)
        norm("norm", width)
        dense("head", width, vocabulary)
    return found


def proof_order(work: Workload) -> np.ndarray:
    """Return i64[PROOF, B]: the rows of the first steps, which are fdl's own for seed 0."""
    from fdl.engine.shuffle import orders

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
