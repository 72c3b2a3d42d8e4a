"""Sequences from a trained model, decoded as they are for new data: nothing of the target is known.

Shape legend: B batch, T target positions or frames, N tokens, V vocabulary.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.core import data_axis, optimizer_state
from fdl.core.errors import UserError
from fdl.core.forward import forward
from fdl.core.types import Batch, PyTree, Step, TrainState
from fdl.data.dataset import Dataset
from fdl.data.modalities.media_plan import PairPlan
from fdl.data.tokenizer import END, PAD, START, restore_tokenizer
from fdl.experiment import Experiment
from fdl.models.decoder import AutoregressiveDecoder, decode

_LOGITS = 2**26  # floats of one batch that decoding may hold, 256 MiB
SPLIT_ROWS = 512  # of a batch, where nothing else limits it


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How an experiment's outputs become sequences.

    step:    `(state, batch) -> (state, what `finish` takes)`, pure; B batch rows.
    finish:  on the host, returns "tokens" i32[B, N], padded with 0, and "log_probability" f[B].
    text:    the text of one sequence of tokens; None where they have none.
    unit:    what a token is, in one word. stop: the token that ends a target.
    rows:    the largest batch whose logits are sure to fit.
    """

    step: Step
    finish: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
    text: Callable[[Iterable[int]], str] | None
    unit: str
    stop: int
    rows: int

    def texts(self, tokens: np.ndarray) -> list[str]:
        """Return the texts of i32[B, N] tokens."""
        assert self.text is not None
        return [self.text(row[row != PAD].tolist()) for row in tokens]

    def references(self, targets: np.ndarray) -> np.ndarray:
        """Return i32[B, N] targets as sequences are decoded: without the end and what is behind it."""
        return np.asarray(until(targets, self.stop))


def decoding_of(experiment: Experiment, beams: int = 1) -> Decoding | None:
    """Return how an experiment's outputs are decoded, None where they are no sequences.

    beams: the width of beam search; 1 is greedy.
    """
    if beams < 1:
        raise UserError(f"beams {beams} hold no sequence; give 1 for greedy decoding, or more")
    if writes_pairs(experiment.dataset):
        return _of_pairs(experiment, beams)
    if experiment.task.search:
        return _of_frames(experiment, beams)
    if beams > 1:
        raise UserError(f"beams {beams} are for sequences, and {experiment.name} answers with none; leave them out")
    return None


def writes_pairs(dataset: Dataset) -> bool:
    """Return whether a dataset's targets are written a token at a time, as those of `pairs`."""
    kept = dataset.fitted.get("inputs")
    return isinstance(kept, Mapping) and kept.get("kind") == PairPlan.kind


def until(tokens: Any, stop: int) -> Any:
    """Return [B, N] tokens with 0 from the first `stop` on."""
    return ((tokens == stop).cumsum(-1) == 0) * tokens


def _of_pairs(experiment: Experiment, beams: int) -> Decoding:
    """Return the beam search of an encoder-decoder, which begins with START and ends with END."""
    model, spec, wrapped = (
        experiment.model,
        experiment.dataset.spec,
        isinstance(experiment.model, AutoregressiveDecoder),
    )
    length = spec.targets.shape[0]

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, PyTree]:
        params = optimizer_state.evaluated(state.params, state.opt_state)
        variables = {"params": params, **state.model_state}
        if wrapped:
            variables = {name: value["model"] for name, value in variables.items()}
        read = {name: value for name, value in batch.inputs.items() if name != "decoder_inputs"}
        found = decode(
            model.model if wrapped else model, variables, read, start=START, stop=END, length=length, width=beams
        )
        best = {"tokens": until(found.tokens[:, 0], END), "log_probability": found.scores[:, 0]}
        return state, data_axis.all_gather(best)

    fitted = experiment.dataset.fitted["target"]
    return Decoding(
        step=step,
        finish=dict,
        text=restore_tokenizer(fitted).decode,
        unit=_UNITS.get(fitted["unit"], "token"),
        stop=END,
        rows=min(SPLIT_ROWS, max(1, _LOGITS // (beams * length * spec.outputs))),
    )


_UNITS = {"chars": "character", "words": "word", "bytes": "byte"}


def _of_frames(experiment: Experiment, beams: int) -> Decoding:
    """Return the search through a task's outputs for each frame, such as CTC's."""
    model, spec, search = experiment.model, experiment.dataset.spec, experiment.task.search
    assert search is not None

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, PyTree]:
        params = optimizer_state.evaluated(state.params, state.opt_state)
        outputs, _ = forward(model, params, state.model_state, batch)
        return state, data_axis.all_gather({"frames": jax.nn.log_softmax(outputs.astype(jnp.float32))})

    def finish(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tokens, score = search(found["frames"], beams)
        return {"tokens": tokens, "log_probability": score}

    text = _named(spec.names) if spec.names else None
    return Decoding(step=step, finish=finish, text=text, unit="symbol", stop=PAD, rows=SPLIT_ROWS)


def _named(names: Sequence[str]) -> Callable[[Iterable[int]], str]:
    """Return the function that joins the names of symbols: words with blanks between them, letters without."""
    glue = " " if any(len(name) > 1 for name in names) else ""
    return lambda tokens: glue.join(names[token] for token in tokens)
