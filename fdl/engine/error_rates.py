"""Error rates of decoded sequences: edits per token, word and character, and BLEU.

Shape legend: n examples, N tokens.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fdl.core.log import Log
from fdl.core.types import TrainState
from fdl.engine.decoding import Decoding, decoding_of
from fdl.engine.program import Evaluation, each_batch
from fdl.experiment import Experiment
from fdl.models.decoder import AutoregressiveDecoder
from fdl.parallel import processes
from fdl.parallel.executors import Executor
from fdl.tasks.ctc import edit_distance

SHARE = 0.1  # of the work of training, which decoding the test split at its end may cost
_TOGETHER = 256  # pairs whose edit distances are computed at once


class Decoded(NamedTuple):
    """The first n sequences of a split as lists of tokens: those that the model writes, and those it should."""

    hypotheses: list[list[int]]
    references: list[list[int]]


def evaluate_splits(
    experiment: Experiment, executor: Executor, state: TrainState, splits: Sequence[str], log: Log
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each split and its metrics, with the error rates of all its sequences, but of train; consumes the state."""
    for split in splits:
        state, metrics = Evaluation(experiment, executor, split)(state)
        if split != "train":
            state, rates, _ = error_rates(experiment, executor, split, state, log, whole=True)
            metrics |= rates
        yield split, metrics


def with_new_data(experiment: Experiment, data: Any) -> tuple[Experiment, str]:
    """Return the experiment with a split that is data with their targets, and its name; the notes say what lacks."""
    from fdl.data.modalities.new_targets import NEW, labelled  # imports every reader, which the splits need none of

    return replace(experiment, dataset=labelled(experiment.dataset, data)), NEW


def error_rates(
    experiment: Experiment,
    executor: Executor,
    split: str,
    state: TrainState,
    log: Log,
    *,
    whole: bool = False,
) -> tuple[TrainState, dict[str, float], Decoded | None]:
    """Return the state, the error rates of a split's sequences, decoded greedily, and these; {} where none is decoded.

    `error_rate` is edits per token. Where tokens make texts with blanks, `word_error_rate` is edits per word, and
    `character_error_rate` edits per character where a token is neither. `bleu` is sacrebleu's, of a corpus, where that
    is installed. Edits and reference lengths are added over examples before they are divided. References are the
    targets as the model may write them: cut where they are too long, in the tokenizer's spelling.
    whole: decode all examples, else as many as cost a tenth of the training.
    """
    decoding = decoding_of(experiment)
    if decoding is None or experiment.task.search is not None or "error_rate" in _measured(experiment):
        return state, {}, None
    if processes.count() > 1:
        log("sequences are not decoded in several processes; --mode=evaluate in one decodes them")
        return state, {}, None
    size = experiment.dataset.spec.sizes[split]
    count = size if whole else min(size, affordable(experiment))
    state, found = decode_split(experiment, executor, decoding, split, state, count)
    more = "" if count == size else "; --mode=evaluate decodes all"
    log(f"{split}: {count:,} of {size:,} sequences decoded greedily, error_rate is per {decoding.unit}{more}")
    rates = {"error_rate": error_rate(*found)}
    if decoding.text is None:
        return state, rates, found
    written, wanted = ([decoding.text(tokens) for tokens in each] for each in found)
    return state, {**rates, **text_rates(written, wanted, decoding.unit)}, found


def decode_split(
    experiment: Experiment, executor: Executor, decoding: Decoding, split: str, state: TrainState, count: int
) -> tuple[TrainState, Decoded]:
    """Return the state and the first `count` sequences of a split, decoded."""
    found = Decoded([], [])
    for part in each_batch(experiment, executor, decoding.step, split, state, size=decoding.rows, count=count):
        state = part.state
        answers = decoding.finish(part.found)["tokens"], decoding.references(part.batch.targets)
        for sequences, rows in zip(found, answers, strict=True):
            sequences += [row[row != 0].tolist() for row in rows]
    return state, found


def affordable(experiment: Experiment) -> int:
    """Return how many examples can be decoded for a tenth of the training's work, and at least a hundred.

    Every token costs a forward pass over all positions, a training step three.
    """
    (length,) = experiment.dataset.spec.targets.shape
    return max(100, int(SHARE * 3 * experiment.steps * experiment.batch_size / length))


def text_rates(hypotheses: Sequence[str], references: Sequence[str], unit: str) -> dict[str, float]:
    """Return the error rates of texts by words and characters, and BLEU, as far as they say more than the tokens'."""
    rates, spaced = {}, any(" " in text.strip() for text in references)
    if spaced and unit != "word":
        rates["word_error_rate"] = error_rate(*([text.split() for text in each] for each in (hypotheses, references)))
    if unit not in ("word", "character"):
        rates["character_error_rate"] = error_rate(hypotheses, references)
    try:
        from sacrebleu import corpus_bleu
    except ImportError:
        return rates
    if spaced:
        rates["bleu"] = float(corpus_bleu(list(hypotheses), [list(references)]).score)
    return rates


def error_rate(hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]) -> float:
    """Return the edits of all sequences per item of their references; NaN where the references are empty.

    Edits are Levenshtein's: insertions, deletions and substitutions.

    >>> error_rate(["kitten"], ["sitting"])  # 3 edits of 7 letters
    0.42857142857142855
    """
    length = sum(map(len, references))
    return sum(edits(hypotheses, references)) / length if length else float("nan")


def edits(hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Hashable]]) -> list[int]:
    """Return the edits of each sequence to its reference.

    >>> edits(["kitten", "same"], ["sitting", "same"])
    [3, 0]
    """
    numbers: dict[Hashable, int] = {}

    def rows(sequences: Sequence[Sequence[Hashable]]) -> np.ndarray:
        length = 1 << max(1, max(map(len, sequences)) - 1).bit_length()  # of few lengths, each compiled once
        table = np.zeros((_TOGETHER, length), np.int32)
        for row, sequence in zip(table, sequences, strict=False):
            row[: len(sequence)] = [numbers.setdefault(item, len(numbers) + 1) for item in sequence]
        return table

    found: list[int] = []
    for start in range(0, len(references), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        written, wanted = rows(hypotheses[some]), rows(references[some])
        found += np.asarray(edit_distance(written, written != 0, wanted)).astype(int).tolist()
    return found[: len(references)]


def _measured(experiment: Experiment) -> set[str]:
    """Return the metrics that a model which decodes in evaluation has measured already."""
    return set(experiment.task.metrics) if isinstance(experiment.model, AutoregressiveDecoder) else set()
