"""Text as numbers: bytes, characters, words, and trained byte-pair encoding.

Numbers 0 to 3 are the same for all: padding, unknown, start, end; pieces follow from 4 on.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

PAD, UNKNOWN, START, END = range(4)
PIECES = 4
Unit = Literal["bytes", "chars", "words", "bpe"]
BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048)
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A two-way map between text and token numbers.

    size:   how many different tokens there are. encode: `text -> i32[n]`. decode: `tokens -> text`.
    fitted: what was learned from the training texts, in JSON's types.
    """

    size: int
    encode: Callable[[str], np.ndarray]
    decode: Callable[[Iterable[int]], str]
    fitted: dict[str, Any] = field(default_factory=dict)


def fit_tokens(unit: Unit, texts: Sequence[str], vocabulary: int = 8192) -> Tokenizer:
    """Return the tokenizer of this unit, fitted to the training texts with at most `vocabulary` tokens."""
    if unit == "bytes":
        return _bytes()
    if unit == "chars":
        return _listed(unit, _most(texts, list, vocabulary), list, "")
    if unit == "words":
        return _listed(unit, _most(texts, _words, vocabulary), _words, " ")
    if unit == "bpe":
        return _bpe(texts, vocabulary)
    raise ValueError(f"unit {unit!r} is not one of bytes, chars, words, bpe")


def padded(texts: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return i32[n, T] tokens, cut or padded to `length`, and i32[n] how many are not padding (at least one)."""
    tokens = np.full((len(texts), length), PAD, np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = text[:length]
    return tokens, np.array([min(max(len(text), 1), length) for text in texts], np.int32)


def packed(texts: Iterable[np.ndarray]) -> np.ndarray:
    """Return i32[n]: the texts one after another, each closed by END, so that windows of them hold no padding."""
    return np.concatenate([np.append(text, np.int32(END)) for text in texts]).astype(np.int32)


def bucket(lengths: Sequence[int], share: float = 0.95) -> int:
    """Return the smallest of a few fixed lengths that holds this share of the texts whole."""
    wanted = np.quantile(np.asarray(lengths), share)
    return next((size for size in BUCKETS if size >= wanted), BUCKETS[-1])


def _bytes() -> Tokenizer:
    def encode(text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32) + PIECES

    def decode(tokens: Iterable[int]) -> str:
        return bytes(token - PIECES for token in tokens if token >= PIECES).decode("utf-8", "replace")

    return Tokenizer(size=256 + PIECES, encode=encode, decode=decode, fitted={"unit": "bytes"})


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _most(texts: Sequence[str], cut: Callable[[str], list[str]], vocabulary: int) -> list[str]:
    counts = Counter(piece for text in texts for piece in cut(text))
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[: max(vocabulary - PIECES, 1)]


def _listed(unit: str, pieces: list[str], cut: Callable[[str], list[str]], glue: str) -> Tokenizer:
    number = {piece: i for i, piece in enumerate(pieces, start=PIECES)}

    def encode(text: str) -> np.ndarray:
        return np.array([number.get(piece, UNKNOWN) for piece in cut(text)], np.int32)

    def decode(tokens: Iterable[int]) -> str:
        shown = (
            pieces[token - PIECES] if token >= PIECES else "\N{REPLACEMENT CHARACTER}"
            for token in tokens
            if token >= PIECES or token == UNKNOWN
        )
        return glue.join(shown)

    return Tokenizer(size=PIECES + len(pieces), encode=encode, decode=decode, fitted={"unit": unit, "pieces": pieces})


def _bpe(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    try:
        import tokenizers
    except ImportError as error:
        raise ValueError("tokens=bpe needs the tokenizers library; run: pip install tokenizers") from error
    # Specials first, so that their numbers are the same as everywhere; the 256 bytes make every text expressible.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=max(vocabulary, 256 + PIECES),
        special_tokens=["<pad>", "<unknown>", "<start>", "<end>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    model.train_from_iterator(texts, trainer)

    return Tokenizer(
        size=model.get_vocab_size(),
        encode=lambda text: np.array(model.encode(text, add_special_tokens=False).ids, np.int32),
        decode=lambda tokens: model.decode([int(token) for token in tokens], skip_special_tokens=True),
        fitted={"unit": "bpe", "model": model.to_str()},
    )
