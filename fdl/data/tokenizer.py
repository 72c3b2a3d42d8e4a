"""Tokenizers: bytes, characters, words, and trained byte-pair encoding.

Token ids 0 to 3 are special in all of them: padding, unknown, start, end; the vocabulary follows from 4 on.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fdl.core.errors import UserError

PAD, UNKNOWN, START, END = range(4)
NUM_SPECIAL_TOKENS = 4
Unit = Literal["bytes", "chars", "words", "bpe"]
BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048)
_ASCII_WORD = re.compile(r"\w+|[^\w\s]")
# Scripts that are written without blanks: radicals, Han, kana, Thai, Lao, Myanmar, Khmer.
_UNSPACED = (
    "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_JOINERS = "\u200c\u200d"  # between letters of one word, as in Persian and Malayalam


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A mapping between text and token ids.

    size:   vocabulary size. encode: `text -> i32[n]`. decode: `tokens -> text`.
    end:    the token that separates packed texts.
    fitted: values fitted on the training texts, in JSON's types.
    """

    size: int
    encode: Callable[[str], np.ndarray]
    decode: Callable[[Iterable[int]], str]
    end: int = END
    fitted: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tokens:
    """How texts become sequences of tokens.

    unit:       what a token is, or a tokenizer that is published already, or the function that reads it: a run that is
                restored from its folder has it there, and reads no file. vocabulary: at most so many tokens.
    length:     tokens of a sequence; 0 lets the training texts choose.
    """

    unit: Unit | Tokenizer | Callable[[], Tokenizer] = "words"
    vocabulary: int = 8192
    length: int = 0


def fit_tokens(
    unit: Unit | Tokenizer | Callable[[], Tokenizer], texts: Sequence[str], vocabulary: int = 8192
) -> Tokenizer:
    """Return a tokenizer of this unit, fitted on the training texts with at most `vocabulary` tokens.

    A published tokenizer is returned unchanged.

    >>> tokenizer = fit_tokens("words", ["a red car", "a blue car"])
    >>> tokenizer.encode("a green car").tolist()
    [4, 1, 5]
    """
    if isinstance(unit, Tokenizer):
        return unit
    if callable(unit):
        return unit()
    if unit == "bytes":
        return _bytes()
    if vocabulary <= NUM_SPECIAL_TOKENS:
        raise UserError(
            f"vocabulary {vocabulary} holds no more than padding, unknown, start and end; "
            f"give {NUM_SPECIAL_TOKENS + 1} or more"
        )
    if unit == "chars":
        return _listed(unit, _most(texts, _letters, vocabulary), *_CUTS[unit])
    if unit == "words":
        return _listed(unit, _most(texts, _words, vocabulary), *_CUTS[unit])
    if unit == "bpe":
        return _bpe(texts, vocabulary)
    raise UserError(f"unit {unit!r} is not one of bytes, chars, words, bpe")


def restore_tokenizer(fitted: Mapping[str, Any]) -> Tokenizer:
    """Restore a tokenizer from its `fitted` values, such as those saved in a run folder."""
    unit = fitted["unit"]
    made: Tokenizer
    if unit == "bytes":
        made = _bytes()
    elif unit in ("chars", "words"):
        made = _listed(unit, list(fitted["pieces"]), *_CUTS[unit])
    elif unit == "bpe":
        made = _bpe_of(_tokenizers("tokens=bpe").Tokenizer.from_str(fitted["model"]))
    elif "model" in fitted:
        made = _published(_tokenizers("tokenizer.json").Tokenizer.from_str(fitted["model"]), frame=fitted["frame"])
    else:
        raise UserError(f"tokens of {unit!r} are not saved with this run; train it again with this version")
    return with_bos(made) if fitted.get("opened") else made


def plain_bytes() -> Tokenizer:
    """Return the tokenizer whose 256 tokens are the bytes, without special tokens."""

    def encode(text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    return Tokenizer(size=256, encode=encode, decode=lambda tokens: bytes(tokens).decode("utf-8", "replace"))


def published_tokens(file: str, *, frame: bool = False) -> Tokenizer:
    """Load a tokenizer from Hugging Face's `tokenizer.json`.

    frame: add the model's special tokens around each text, such as BERT's [CLS] and [SEP].
    """
    tokenizers = _tokenizers(file)
    if not Path(os.path.expanduser(file)).is_file():
        raise UserError(f"there is no file {file}; give the path of a tokenizer.json")
    try:
        model = tokenizers.Tokenizer.from_file(str(Path(os.path.expanduser(file))))
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{file} is no tokenizer.json ({error})") from error
    return _published(model, frame=frame)


def _published(model: Any, *, frame: bool) -> Tokenizer:
    named = (model.token_to_id(name) for name in ("<|endoftext|>", "[SEP]", "</s>"))
    end = next((ids for ids in named if ids is not None), END)
    # A file that was made for training may cut or pad texts by itself, which `padded` does here.
    model.no_truncation()
    model.no_padding()
    return _of_library(model, {"unit": "published", "model": model.to_str(), "frame": frame}, end=end, frame=frame)


def with_bos(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with START prepended to each text, a position for sequence-level outputs."""

    def encode(text: str) -> np.ndarray:
        return np.insert(tokenizer.encode(text), 0, START)

    return replace(tokenizer, encode=encode, fitted={**tokenizer.fitted, "opened": True})


def padded(texts: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return i32[n, T] tokens, truncated or padded to `length`, and their lengths i32[n] (at least one).

    >>> tokens, lengths = padded([np.array([7, 8, 9]), np.array([7])], 2)
    >>> tokens.tolist(), lengths.tolist()
    ([[7, 8], [7, 0]], [2, 1])
    """
    tokens = np.full((len(texts), length), PAD, np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = text[:length]
    return tokens, np.array([min(max(len(text), 1), length) for text in texts], np.int32)


def packed(texts: Iterable[np.ndarray], end: int = END) -> np.ndarray:
    """Return i32[n]: the texts concatenated, each followed by `end`, so that windows contain no padding."""
    return np.concatenate([np.append(text, np.int32(end)) for text in texts]).astype(np.int32)


def unknown_share(texts: Iterable[np.ndarray]) -> float:
    """Return the fraction of unknown tokens in these texts."""
    counts = [(int(np.sum(text == UNKNOWN)), len(text)) for text in texts]
    return sum(unknown for unknown, _ in counts) / max(1, sum(count for _, count in counts))


def bucket(lengths: Sequence[int], share: float = 0.95) -> int:
    """Return the smallest of a few fixed lengths that does not truncate this fraction of the texts.

    >>> bucket([5, 9, 20])
    32
    """
    wanted = np.quantile(np.asarray(lengths), share)
    return next((size for size in BUCKETS if size >= wanted), BUCKETS[-1])


def _bytes() -> Tokenizer:
    def encode(text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32) + NUM_SPECIAL_TOKENS

    def decode(tokens: Iterable[int]) -> str:
        return bytes(token - NUM_SPECIAL_TOKENS for token in tokens if token >= NUM_SPECIAL_TOKENS).decode(
            "utf-8", "replace"
        )

    return Tokenizer(size=256 + NUM_SPECIAL_TOKENS, encode=encode, decode=decode, fitted={"unit": "bytes"})


def most_frequent(pieces: Iterable[str], most: int, *, least: int = 1) -> list[str]:
    """Return the pieces that occur `least` times or more, the most frequent first, at most so many."""
    counts = Counter(pieces)
    often = [piece for piece, count in counts.items() if count >= least]
    return sorted(often, key=lambda piece: (-counts[piece], piece))[:most]


def _words(text: str) -> list[str]:
    """Return the words and punctuation of a text, lower-cased and NFC-normalised.

    Combining marks belong to the preceding letter, as in Hindi. In scripts without word spacing every letter is a word,
    since segmentation would need a dictionary.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _word().findall(_composed(text.lower()))


def _letters(text: str) -> list[str]:
    return list(_composed(text))


_CUTS: Mapping[str, tuple[Callable[[str], list[str]], str]] = {"chars": (_letters, ""), "words": (_words, " ")}


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


@cache
def _word() -> re.Pattern[str]:
    """Return the pattern of a word in any script; Python's \\w excludes combining marks."""
    planes = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))
    marks = "".join(chr(i) for plane in planes for i in plane if unicodedata.category(chr(i))[0] == "M") + _JOINERS
    return re.compile(rf"(?:[^\W{_UNSPACED}]+[{marks}]*)+|[{_UNSPACED}][{marks}]*|\S[{marks}]*")


def _most(texts: Sequence[str], cut: Callable[[str], list[str]], vocabulary: int) -> list[str]:
    return most_frequent((piece for text in texts for piece in cut(text)), vocabulary - NUM_SPECIAL_TOKENS)


def _listed(unit: str, pieces: list[str], cut: Callable[[str], list[str]], glue: str) -> Tokenizer:
    ids = {piece: i for i, piece in enumerate(pieces, start=NUM_SPECIAL_TOKENS)}

    def encode(text: str) -> np.ndarray:
        return np.array([ids.get(piece, UNKNOWN) for piece in cut(text)], np.int32)

    def decode(tokens: Iterable[int]) -> str:
        shown = (
            pieces[token - NUM_SPECIAL_TOKENS] if token >= NUM_SPECIAL_TOKENS else "\N{REPLACEMENT CHARACTER}"
            for token in tokens
            if token >= NUM_SPECIAL_TOKENS or token == UNKNOWN
        )
        return glue.join(shown)

    return Tokenizer(
        size=NUM_SPECIAL_TOKENS + len(pieces), encode=encode, decode=decode, fitted={"unit": unit, "pieces": pieces}
    )


def _bpe(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    tokenizers = _tokenizers("tokens=bpe")
    # Special tokens first, for the same ids as elsewhere; the 256 bytes make every text representable.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=max(vocabulary, 256 + NUM_SPECIAL_TOKENS),
        special_tokens=["<pad>", "<unknown>", "<start>", "<end>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    model.train_from_iterator(texts, trainer)  # on the texts as they are: any normalisation comes before
    return _bpe_of(model)


def _bpe_of(model: Any) -> Tokenizer:
    return _of_library(model, {"unit": "bpe", "model": model.to_str()})


def _tokenizers(what: str) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(f"{what} needs the tokenizers library; run: pip install tokenizers") from error
    return tokenizers


def _of_library(model: Any, fitted: dict[str, Any], *, end: int = END, frame: bool = False) -> Tokenizer:
    return Tokenizer(
        size=model.get_vocab_size(),
        encode=lambda text: np.array(model.encode(text, add_special_tokens=frame).ids, np.int32),
        decode=lambda tokens: model.decode([int(token) for token in tokens], skip_special_tokens=True),
        end=end,
        fitted=fitted,
    )
