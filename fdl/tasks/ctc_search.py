"""Beam search over the transcripts of connectionist temporal classification, on the host.

Shape legend: B batch, T frames, N symbols, V vocabulary (0 is the blank).
"""

import math
from collections.abc import Sequence

import numpy as np

Prefix = tuple[int, ...]
_NEVER = -math.inf


def prefix_beam_search(log_probabilities: np.ndarray, width: int) -> list[tuple[Prefix, float]]:
    """Return the `width` most likely transcripts of one utterance and their log-probabilities, most likely first.

    log_probabilities: f32[T, V] of each frame. A transcript's probability is that of all its alignments that the beam
    kept: exact where the beam holds every prefix (Graves and Jaitly, 2014; Hannun et al., 2014).

    >>> blank_or_a = np.log([[0.6, 0.4], [0.6, 0.4]])
    >>> [(prefix, round(math.exp(score), 2)) for prefix, score in prefix_beam_search(blank_or_a, 2)]
    [((1,), 0.64), ((), 0.36)]
    """
    beam: dict[Prefix, tuple[float, float]] = {(): (0.0, _NEVER)}  # of alignments that end in a blank, and in a symbol
    for frame in log_probabilities.astype(np.float64):
        # No other symbol can bring a prefix among the best: each has `width` better ones, or is in the beam already.
        best = 1 + np.argsort(-frame[1:], kind="stable")[: width + 1]
        symbols = dict.fromkeys([*best.tolist(), *(prefix[-1] for prefix in beam if prefix)])
        grown: dict[Prefix, list[float]] = {}
        for prefix, (blank, symbol) in beam.items():
            both = _add(blank, symbol)
            ends = grown.setdefault(prefix, [_NEVER, _NEVER])
            ends[0] = _add(ends[0], both + float(frame[0]))
            if prefix:
                ends[1] = _add(ends[1], symbol + float(frame[prefix[-1]]))
            for one in symbols:
                longer = grown.setdefault((*prefix, one), [_NEVER, _NEVER])
                before = blank if prefix and prefix[-1] == one else both  # a blank stands between equal symbols
                longer[1] = _add(longer[1], before + float(frame[one]))
        possible = ((prefix, ends) for prefix, ends in grown.items() if max(ends) > _NEVER)
        kept = sorted(possible, key=lambda item: -_add(*item[1]))[:width]
        beam = {prefix: (ends[0], ends[1]) for prefix, ends in kept}
    return [(prefix, _add(*ends)) for prefix, ends in beam.items()]


def transcripts(log_probabilities: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return i32[B, N], the most likely transcripts padded with 0, and f64[B], their log-probabilities.

    log_probabilities: f32[B, T, V]. width 1 is greedy: the best symbol of every frame, and that alignment's.
    """
    found: Sequence[tuple[Prefix, float]]
    if width == 1:
        found = [_greedy(utterance) for utterance in log_probabilities]
    else:
        found = [prefix_beam_search(utterance, width)[0] for utterance in log_probabilities]
    tokens = np.zeros(log_probabilities.shape[:2], np.int32)
    for row, (prefix, _) in zip(tokens, found, strict=True):
        row[: len(prefix)] = prefix
    return tokens, np.array([score for _, score in found])


def _greedy(log_probabilities: np.ndarray) -> tuple[Prefix, float]:
    symbols = log_probabilities.argmax(-1)
    new = np.append(True, symbols[1:] != symbols[:-1]) & (symbols != 0)
    return tuple(symbols[new].tolist()), float(log_probabilities.max(-1).sum(dtype=np.float64))


def _add(left: float, right: float) -> float:
    """Return log(exp(left) + exp(right))."""
    high, low = (left, right) if left > right else (right, left)
    return high if low == _NEVER else high + math.log1p(math.exp(low - high))
