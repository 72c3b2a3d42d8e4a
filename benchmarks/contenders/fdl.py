"""fdl: an Experiment, as any page makes one, driven by the training loop's own train_until_due."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import optax

from benchmarks.inputs import Weights
from benchmarks.workloads import LEARNING_RATE, N, Workload
from fdl import models, tasks
from fdl.core.types import Batch
from fdl.data.dataset import Dataset, Source, Spec, columns
from fdl.engine.cadence import cadence_of
from fdl.engine.program import steps_per_call, train_until_due, training, work_of
from fdl.experiment import Experiment
from fdl.parallel.executors import jit


def experiment(work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray) -> Experiment:
    """Return the Experiment of a workload, which begins with the given weights."""
    tokens = work.kind in ("lstm", "gpt")
    source = columns(x, y)
    if tokens:
        source = replace(source, take=_take_tokens)

    def load(split: str) -> Source:
        return source

    spec = Spec(
        inputs=jax.ShapeDtypeStruct(x.shape[1:], x.dtype),
        targets=jax.ShapeDtypeStruct(y.shape[1:], y.dtype),
        sizes={"train": N, "validation": N, "test": N},
        weights=y.shape[1:],
        classes=work.sizes[0] if tokens else work.sizes[-1] if work.sizes[-1] > 1 else None,
        vocabulary=work.sizes[0] if tokens else None,
    )
    model: Any
    if work.kind == "mlp":
        model = models.MLP(work.sizes[-1], work.sizes[1:-1])
    elif work.kind == "cnn":
        model = models.CNN(work.sizes[3], work.sizes[:2], work.sizes[2:3])
    elif work.kind == "resnet":
        *stages, classes = work.sizes
        model = models.ResNet(classes, (work.depth,) * len(stages), stages[0], stem="small", shortcut="pad")
    elif work.kind == "lstm":
        vocabulary, embedding, width, _ = work.sizes
        model = models.RNN(vocabulary, vocabulary, width, embedding, work.depth, return_sequences=True)
    else:
        vocabulary, width, hidden, time = work.sizes
        model = models.Transformer(
            vocabulary, vocabulary, width, work.depth, work.heads, hidden, time, causal=True, return_sequences=True
        )
    task = tasks.next_token() if tokens else tasks.binary() if work.sizes[-1] == 1 else tasks.classify(work.sizes[-1])
    return Experiment(
        model=model,
        dataset=Dataset(name=work.name, spec=spec, load=load),
        task=task,
        optimizer=optax.adam(LEARNING_RATE),
        batch_size=work.batch,
        steps=10**9,
        log_every=100,
        init_from=lambda variables: {**variables, "params": named(variables["params"], weights)},
    )


def named(params: Any, weights: Weights) -> Any:
    """Return the weights in the places of fdl's parameters."""
    words = {"Embed_0/embedding": "embed", "embed/embedding": "embed", "positions/embedding": "positions"}
    parts = {"attention_norm": "norm1", "mlp_norm": "norm2"}

    def find(path: Any, leaf: jax.Array) -> np.ndarray:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        *rooms, last = name.split("/")
        if name in words:
            key = words[name]
        elif rooms[0].startswith("Block_"):
            key = f"{rooms[0][6:]}.{parts.get(rooms[-1], rooms[-1])}.{last}"
        elif rooms[0].startswith("stage"):
            stage, block = rooms[0][5:].split("_")
            key = f"{int(stage) - 1}_{block}.{rooms[-1]}.{last}"
        elif rooms[0].startswith("Recurrence_"):
            key = f"lstm{rooms[0][11:]}.{last}"
        elif "Recurrence_0" in params:
            key = f"head.{last}"
        else:
            key = f"{rooms[0].lower().replace('_', '')}.{last}"
        return weights[key].reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(find, params)


def _take_tokens(arrays: Any, indices: Any) -> Batch:
    inputs, targets = (array[indices] for array in arrays)
    return Batch(inputs, targets, np.ones(targets.shape, np.float32))


class Run:
    """Holds the program and its state between windows."""

    def __init__(self, what: Experiment):
        self.executor = jit()
        self.program = training(what, self.executor)
        self.state = self.executor.put_state(what.init())
        self.step = 0
        self.due = cadence_of(what.steps, 100, 0, 0, steps_per_call(what, self.executor, work_of(what, self.executor)))

    def losses(self, order: np.ndarray) -> list[float]:
        """Train the first steps, on fdl's own order, and return the loss of each."""
        sent = []
        for step in range(len(order)):
            rows = self.program.rows(step, 1)
            assert (np.asarray(rows.indices)[0] == order[step]).all()
            self.state, sums = self.program.call(self.state, rows)
            self.step += 1
            sent.append(float(sums["loss"].total[0] / sums["loss"].weight[0]))
        return sent

    def run(self, steps: int) -> int:
        """Train so many steps, rounded up to whole log intervals where calls hold several; return how many."""
        begun, end = self.step, self.step + steps
        if self.due.steps_per_call > 1:
            end = -(-end // 100) * 100

        def advance(count: int) -> None:
            self.step += count

        while self.step < end:
            self.state, _, _ = train_until_due(
                self.program.call, self.program.rows, self.state, self.step, self.due, advance, lambda: self.step >= end
            )
        return self.step - begun


def build(work: Workload, weights: Weights, x: np.ndarray, y: np.ndarray) -> Run:
    """Make the contender."""
    return Run(experiment(work, weights, x, y))
