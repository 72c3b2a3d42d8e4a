"""Stateless shuffling: the row at any position of the training stream, computed from the position alone.

Position `p = step * B + j` is in epoch `p // size` and holds row `permutation(seed, epoch)[p % size]`. There is no
state, so step one million costs as much as step zero, and a resumed run, another feed or another number of devices sees
the same batches. Batches may span two epochs.

The permutation is a keyed Feistel network over pairs `(l, r)` in `Z_a × Z_b`, where `a * b` is the smallest near-square
product of at least `size`: each round adds a hash of one half to the other, modulo that half's range, a bijection for
any hash. The few results beyond `size`, about one in √size, are permuted again ("cycle walking", Black and Rogaway
2002). With sixteen rounds every order of three to six rows is equally likely, as far as 60,000 epochs can tell, with
eight it is not; from some thousands of rows on eight suffice. Grain's `index_shuffle` is one call per index; this is a
dozen NumPy operations per round for a whole chunk.
"""

import math

import numpy as np

from fdl.core.errors import UserError
from fdl.core.integers import ceil_div

_FEW = 4096
_MIX = np.uint64(0x9E3779B97F4A7C15)
_STIR = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


def order(seed: int, step: int, *, batch_size: int, size: int) -> np.ndarray:
    """Return i64[B]: the rows of the batch of this step.

    >>> bool((order(0, 2, batch_size=4, size=12) == permutation(0, 0, 12)[8:12]).all())
    True
    """
    result: np.ndarray = orders(seed, step, 1, batch_size=batch_size, size=size)[0]
    return result


def orders(seed: int, first_step: int, steps: int, *, batch_size: int, size: int) -> np.ndarray:
    """Return i64[S, B]: the rows of the S batches that begin at `first_step`."""
    if size < 1:
        raise UserError(f"a source of {size} rows cannot be shuffled; give it at least one row")
    first, offset = divmod(first_step * batch_size, size)
    positions = np.arange(offset, offset + steps * batch_size, dtype=np.uint64)
    epochs, positions = np.divmod(positions, np.uint64(size))
    keys = _round_keys(seed, first, 1 + (offset + steps * batch_size - 1) // size, _rounds(size))
    if size < _FEW:
        rows = _permute(positions, size, keys[:, epochs.astype(np.intp)])
    else:  # one key per epoch's run of rows is faster than a key per row
        runs = np.split(positions, np.searchsorted(epochs, np.arange(1, keys.shape[1], dtype=np.uint64)))
        rows = np.concatenate([_permute(run, size, keys[:, i : i + 1]) for i, run in enumerate(runs)])
    return rows.astype(np.int64).reshape(steps, batch_size)


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """Return i64[size], the order of the rows in this epoch.

    >>> sorted(permutation(seed=0, epoch=3, size=5).tolist())
    [0, 1, 2, 3, 4]
    """
    keys = _round_keys(seed, epoch, 1, _rounds(size))
    return _permute(np.arange(size, dtype=np.uint64), size, keys).astype(np.int64)


def _rounds(size: int) -> int:
    return 16 if size < _FEW else 8


def _round_keys(seed: int, epoch: int, epochs: int, rounds: int) -> np.ndarray:
    """Return u64[rounds, epochs]: independent keys for each round of each epoch from `epoch` on."""
    root = np.random.SeedSequence(seed % 2**128).generate_state(1, np.uint64)[0]
    # A counter through a strong mixer (SplitMix64), so that the keys of consecutive epochs are uncorrelated.
    count = np.arange(epoch * rounds, (epoch + epochs) * rounds, dtype=np.uint64).reshape(epochs, rounds).T
    keys = (count + np.uint64(1)) * _MIX + root
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: np.ndarray = keys ^ (keys >> np.uint64(31))
    return result


def _permute(rows: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """Permute `rows: u64[n]` of `[0, size)` by `keys: u64[rounds, n]` (or `[rounds, 1]`, the same for all)."""
    rows = _feistel(rows, size, keys)
    while len(outside := np.flatnonzero(rows >= size)):
        rows[outside] = _feistel(rows[outside], size, keys if keys.shape[1] == 1 else keys[:, outside])
    return rows


def _feistel(rows: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """Permute `rows: u64[n]` of `[0, a * b)`."""
    a = np.uint64(math.isqrt(size - 1) + 1)
    b = np.uint64(ceil_div(size, int(a)))
    left, right = np.divmod(rows, b)
    for number, key in enumerate(keys):
        modulus = b if number % 2 else a
        mixed = right ^ key
        mixed *= _MIX
        mixed ^= mixed >> _HALF
        mixed *= _STIR
        mixed >>= _HALF
        # Map 32 random bits to [0, modulus) without a division, then add modulo it: where the sum is below the modulus
        # the unsigned subtraction wraps to a huge number, and minimum() takes the sum.
        mixed *= modulus
        mixed >>= _HALF
        mixed += left
        left, right = right, np.minimum(mixed, mixed - modulus)
    return left * b + right
