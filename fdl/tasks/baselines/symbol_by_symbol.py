"""Sequence to sequence by rote: each symbol of the source writes what it most often wrote between the same neighbours.

Shape legend: n examples, S source symbols, T target symbols, M the most symbols that one of the source writes.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from fdl.core.types import Batch, PyTree, Task
from fdl.tasks.baselines.baseline import Baseline, Fitted
from fdl.tasks.ctc import edit_distance

_NEIGHBOURS = 2  # on each side, at most
_ROUNDS, _ALIGNED = 4, 3000  # of alignment, on so many examples
_UNSEEN = -10.0  # log probability of a pair that was never aligned, for each symbol it writes
_MOST = 16  # symbols that one of the source may write
_CHUNK = 256  # examples whose edit distances are computed together
_distances = jax.jit(edit_distance)  # compiled once a shape
Writes = dict[tuple[int, ...], tuple[int, ...]]


def symbol_by_symbol(stop: int) -> Baseline:
    """Make the baseline of aligned symbols: what each writes most often, by its neighbours as far as these are known.

    inputs: `{"sources": i[n, S], "source_lengths": i[n]}`; targets: i[n, T], 0 is padding and `stop` ends them.
    Source and target are aligned without crossings, by the most likely alignment in turns with its counts (Viterbi
    training). Measured are `error_rate`, edits per target symbol, and `sequence_accuracy`.
    """

    def fit(train: Batch, task: Task, outputs: int) -> Fitted:
        sources, targets = _sources(train), before_stop(train, stop)
        writes = learn(sources, targets)

        def measure(test: Batch) -> Mapping[str, float]:
            written = [write(writes, row) for row in _sources(test)]
            return edits(written, before_stop(test, stop))

        return Fitted("symbol by symbol", measure)

    return Baseline(fit=fit, features=_read)


def learn(sources: np.ndarray, targets: np.ndarray) -> Writes:
    """Return what each run of a symbol and its neighbours writes most often, from i[n, S] and i[n, T] padded with 0."""
    bounds, possible = align(sources, targets)
    counts: dict[tuple[int, ...], Counter[tuple[int, ...]]] = defaultdict(Counter)
    for row, target, ends in zip(sources[possible], targets[possible].tolist(), bounds[possible], strict=True):
        for i, contexts in enumerate(_contexts(row)):
            for context in contexts:
                counts[context][tuple(target[ends[i] : ends[i + 1]])] += 1
    return {context: seen.most_common(1)[0][0] for context, seen in counts.items()}


def write(writes: Writes, source: np.ndarray) -> list[int]:
    """Return what the symbols of i[S] write, each by the widest neighbourhood that is known, else nothing."""
    found: list[int] = []
    for contexts in _contexts(source):
        found += next((writes[context] for context in contexts if context in writes), ())
    return found


def align(sources: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return i[n, S + 1], where the targets of each source symbol begin and end, and bool[n] where that is possible.

    sources: i[n, S]; targets: i[n, T]; both padded with 0, and what is after the source writes nothing.
    """
    lengths, wide = (sources != 0).sum(1), (targets != 0).sum(1)
    ratio = wide.sum() / max(1, lengths.sum())
    most = min(_MOST, targets.shape[1], max(2, round(2 * ratio)))
    segments, size = _segments(targets, most)
    some = slice(0, _ALIGNED)
    keys, counts = _near_the_diagonal(sources[some], lengths[some], wide[some], [x[some] for x in segments], size)
    bounds = np.zeros(0)
    for turn in range(_ROUNDS + 1):
        part = slice(None) if turn == _ROUNDS else some
        chances = _log_chances(keys, counts, size)
        bounds = _best(sources[part], wide[part], [x[part] for x in segments], size, keys, chances)
        if turn < _ROUNDS:
            keys, counts = _counted(sources[some], bounds, [x[some] for x in segments], size)
    possible = (wide <= most * lengths) & (lengths > 0)
    return bounds, possible


def _segments(targets: np.ndarray, most: int) -> tuple[list[np.ndarray], int]:
    """Return for each length 0 to M the number of each place's run, i64[n, T + 1], and how many numbers there are."""
    n, width = targets.shape
    padded = np.pad(targets, ((0, 0), (0, most + 1))).astype(np.int64)
    largest, found, size = int(targets.max(initial=0)) + 1, [np.zeros((n, width + 1), np.int64)], 1
    for length in range(1, most + 1):
        runs = found[-1] * largest + padded[:, length - 1 : length + width]
        known, number = np.unique(runs, return_inverse=True)
        found.append(number.reshape(runs.shape) + size)
        size += len(known)
    return found, size


def _near_the_diagonal(
    sources: np.ndarray, lengths: np.ndarray, wide: np.ndarray, segments: list[np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of symbol and run, and their weights, as if all symbols wrote alike many."""
    rows, columns = np.nonzero(sources)
    ratio = wide[rows] / lengths[rows]
    keys, weights = [], []
    for shift in (-1, 0, 1):
        begins = np.round(columns * ratio).astype(np.int64) + shift
        for length, numbers in enumerate(segments):
            inside = (begins >= 0) & (begins + length <= wide[rows])
            keys.append(sources[rows, columns][inside] * size + numbers[rows[inside], begins[inside]])
            weights.append(np.exp(-abs(shift) - np.abs(length - ratio[inside])))
    known, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    return known, np.bincount(inverse.ravel(), np.concatenate(weights))


def _log_chances(keys: np.ndarray, counts: np.ndarray, size: int) -> np.ndarray:
    """Return the log probability of each pair's run, given its symbol."""
    _, symbol = np.unique(keys // size, return_inverse=True)
    chances: np.ndarray = np.log(counts / np.bincount(symbol, counts)[symbol])
    return chances


def _best(
    sources: np.ndarray, wide: np.ndarray, segments: list[np.ndarray], size: int, keys: np.ndarray, chances: np.ndarray
) -> np.ndarray:
    """Return i64[n, S + 1], the bounds of the most likely alignment; of what has none, any."""
    n, places = segments[0].shape
    score = np.where(np.arange(places)[None] == 0, 0.0, -np.inf) * np.ones((n, 1))
    taken = np.zeros((sources.shape[1], n, places), np.int8)
    for i, symbols in enumerate(sources.T):
        best = np.full((n, places), -np.inf)
        for length, numbers in enumerate(segments):
            asked = symbols[:, None] * size + numbers[:, : places - length]
            index = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
            chance = np.where(keys[index] == asked, chances[index], _UNSEEN * max(1, length))
            ahead = score[:, : places - length] + chance
            better = ahead > best[:, length:]
            best[:, length:] = np.where(better, ahead, best[:, length:])
            taken[i][:, length:][better] = length
        inside = symbols != 0
        taken[i][~inside] = 0
        score = np.where(inside[:, None], best, score)
    bounds = np.zeros((n, len(taken) + 1), np.int64)
    bounds[:, -1] = wide
    for i in reversed(range(len(taken))):
        bounds[:, i] = bounds[:, i + 1] - taken[i][np.arange(n), bounds[:, i + 1]]
    return bounds


def _counted(
    sources: np.ndarray, bounds: np.ndarray, segments: list[np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of symbol and run of an alignment, sorted, and how often each occurs."""
    rows, columns = np.nonzero(sources)
    begins = bounds[rows, columns]
    numbers = np.stack(segments)[bounds[rows, columns + 1] - begins, rows, begins]
    return np.unique(sources[rows, columns] * size + numbers, return_counts=True)


def _contexts(source: np.ndarray) -> list[list[tuple[int, ...]]]:
    """Return for each symbol its neighbourhoods, the widest first; each holds its symbol in the middle."""
    row = source[source != 0].tolist()
    padded = [0] * _NEIGHBOURS + row + [0] * _NEIGHBOURS
    return [
        [tuple(padded[i + _NEIGHBOURS - reach : i + _NEIGHBOURS + reach + 1]) for reach in range(_NEIGHBOURS, -1, -1)]
        for i in range(len(row))
    ]


def edits(written: list[list[int]], truth: np.ndarray) -> dict[str, float]:
    """Return the edits per symbol, and the share of sequences without one."""
    longest = 1 << max(1, max(map(len, written), default=1) - 1).bit_length()  # few lengths, each compiled once
    counted = []
    for start in range(0, len(written), _CHUNK):
        rows = np.zeros((_CHUNK, longest), np.int32)
        for row, symbols in zip(rows, written[start : start + _CHUNK], strict=False):
            row[: len(symbols)] = symbols
        wanted = np.zeros((_CHUNK, truth.shape[1]), np.int32)
        part = truth[start : start + _CHUNK]
        wanted[: len(part)] = part
        counted.append(np.asarray(_distances(rows, rows != 0, wanted), np.float64)[: len(part)])
    errors = np.concatenate(counted)
    return {"sequence_accuracy": float((errors == 0).mean()), "error_rate": float(errors.sum() / (truth != 0).sum())}


def _read(inputs: PyTree) -> dict[str, Any]:
    return {name: np.asarray(inputs[name]) for name in ("sources", "source_lengths")}


def _sources(examples: Batch) -> np.ndarray:
    """Return i64[n, S], 0 after each source."""
    sources, lengths = (np.asarray(examples.inputs[name]) for name in ("sources", "source_lengths"))
    return np.where(np.arange(sources.shape[1])[None] < lengths[:, None], sources, 0).astype(np.int64)


def before_stop(examples: Batch, stop: int) -> np.ndarray:
    """Return i64[n, T], 0 from the stop on."""
    targets = np.asarray(examples.targets).astype(np.int64)
    kept: np.ndarray = np.where((targets == stop).cumsum(1) == 0, targets, 0)
    return kept
