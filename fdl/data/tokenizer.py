"""Text as numbers: bytes, characters, words, and trained byte-pair encoding.

Numbers 0 to 3 are the same for all: padding, unknown, start, end; pieces follow from 4 on.
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
    """A two-way map between text and token numbers.

    size:   how many different tokens there are. encode: `text -> i32[n]`. decode: `tokens -> text`.
    end:    the token that closes a text among others.
    fitted: what was learned from the training texts, in JSON's types.
    """

    size: int
    encode: Callable[[str], np.ndarray]
    decode: Callable[[Iterable[int]], str]
    end: int = END
    fitted: dict[str, Any] = field(default_factory=dict)


def fit_tokens(unit: Unit | Tokenizer, texts: Sequence[str], vocabulary: int = 8192) -> Tokenizer:
    """Return the tokenizer of this unit, fitted to the training texts with at most `vocabulary` tokens.

    One that is published already is returned as it is.
    """
    if isinstance(unit, Tokenizer):
        return unit
    if unit == "bytes":
        return _bytes()
    if vocabulary <= NUM_SPECIAL_TOKENS:
        raise ValueError(
            f"vocabulary {vocabulary} holds no more than padding, unknown, start and end; "
            f"give {NUM_SPECIAL_TOKENS + 1} or more"
        )
    if unit == "chars":
        return _listed(unit, _most(texts, _letters, vocabulary), *_CUTS[unit])
    if unit == "words":
        return _listed(unit, _most(texts, _words, vocabulary), *_CUTS[unit])
    if unit == "bpe":
        return _bpe(texts, vocabulary)
    raise ValueError(f"unit {unit!r} is not one of bytes, chars, words, bpe")


def kept_tokens(fitted: Mapping[str, Any]) -> Tokenizer:
    """Return the tokenizer of which `fitted` was kept, in a run folder, say."""
    unit = fitted["unit"]
    made: Tokenizer
    if unit == "bytes":
        made = _bytes()
    elif unit in ("chars", "words"):
        made = _listed(unit, list(fitted["pieces"]), *_CUTS[unit])
    elif unit == "bpe":
        made = _kept_bpe(_tokenizers("tokens=bpe").Tokenizer.from_str(fitted["model"]))
    else:
        raise ValueError(f"tokens of {unit!r} are not kept with a run; give the tokenizer.json again")
    return opened(made) if fitted.get("opened") else made


def plain_bytes() -> Tokenizer:
    """Return the tokenizer whose 256 tokens are the bytes themselves, with none set apart for padding or ends."""

    def encode(text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    return Tokenizer(size=256, encode=encode, decode=lambda tokens: bytes(tokens).decode("utf-8", "replace"))


def published_tokens(file: str, *, frame: bool = False) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json`, the file that Hugging Face keeps beside published weights.

    frame: put the tokens around a text that its model wants there, BERT's [CLS] and [SEP].
    """
    tokenizers = _tokenizers(file)
    if not Path(os.path.expanduser(file)).is_file():
        raise ValueError(f"there is no file {file}; give the path of a tokenizer.json")
    try:
        model = tokenizers.Tokenizer.from_file(str(Path(os.path.expanduser(file))))
    except Exception as error:  # the library raises nothing more precise
        raise ValueError(f"{file} is no tokenizer.json ({error})") from error
    named = (model.token_to_id(name) for name in ("<|endoftext|>", "[SEP]", "</s>"))
    end = next((number for number in named if number is not None), END)
    return _of_library(model, {"unit": "published"}, end=end, frame=frame)


def opened(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer that begins each text with START, a place for what is said of the whole."""

    def encode(text: str) -> np.ndarray:
        return np.insert(tokenizer.encode(text), 0, START)

    return replace(tokenizer, encode=encode, fitted={**tokenizer.fitted, "opened": True})


def padded(texts: Sequence[np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return i32[n, T] tokens, cut or padded to `length`, and i32[n] how many are not padding (at least one)."""
    tokens = np.full((len(texts), length), PAD, np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = text[:length]
    return tokens, np.array([min(max(len(text), 1), length) for text in texts], np.int32)


def packed(texts: Iterable[np.ndarray], end: int = END) -> np.ndarray:
    """Return i32[n]: the texts one after another, each closed by `end`, so that windows of them hold no padding."""
    return np.concatenate([np.append(text, np.int32(end)) for text in texts]).astype(np.int32)


def unknown_share(texts: Iterable[np.ndarray]) -> float:
    """Return the share of the tokens of these texts that train does not have."""
    counts = [(int(np.sum(text == UNKNOWN)), len(text)) for text in texts]
    return sum(unknown for unknown, _ in counts) / max(1, sum(count for _, count in counts))


def bucket(lengths: Sequence[int], share: float = 0.95) -> int:
    """Return the smallest of a few fixed lengths that holds this share of the texts whole."""
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


def _words(text: str) -> list[str]:
    """Return the words and the other signs of a text, in small letters and composed (NFC).

    Combining marks belong to the letter before them, as in Hindi. Of scripts that are written without blanks every
    letter is a word: to find their words takes a dictionary.
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
    """Return the pattern of a word in any script: what \\w is to Python leaves out combining marks."""
    planes = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))
    marks = "".join(chr(i) for plane in planes for i in plane if unicodedata.category(chr(i))[0] == "M") + _JOINERS
    return re.compile(rf"(?:[^\W{_UNSPACED}]+[{marks}]*)+|[{_UNSPACED}][{marks}]*|\S[{marks}]*")


def _most(texts: Sequence[str], cut: Callable[[str], list[str]], vocabulary: int) -> list[str]:
    counts = Counter(piece for text in texts for piece in cut(text))
    return sorted(counts, key=lambda piece: (-counts[piece], piece))[: vocabulary - NUM_SPECIAL_TOKENS]


def _listed(unit: str, pieces: list[str], cut: Callable[[str], list[str]], glue: str) -> Tokenizer:
    number = {piece: i for i, piece in enumerate(pieces, start=NUM_SPECIAL_TOKENS)}

    def encode(text: str) -> np.ndarray:
        return np.array([number.get(piece, UNKNOWN) for piece in cut(text)], np.int32)

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
    # Specials first, so that their numbers are the same as everywhere; the 256 bytes make every text expressible.
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=max(vocabulary, 256 + NUM_SPECIAL_TOKENS),
        special_tokens=["<pad>", "<unknown>", "<start>", "<end>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    model.train_from_iterator(texts, trainer)  # of bytes, as they are: what is to be composed is so before
    return _kept_bpe(model)


def _kept_bpe(model: Any) -> Tokenizer:
    return _of_library(model, {"unit": "bpe", "model": model.to_str()})


def _tokenizers(what: str) -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ValueError(f"{what} needs the tokenizers library; run: pip install tokenizers") from error
    return tokenizers


def _of_library(model: Any, fitted: dict[str, Any], *, end: int = END, frame: bool = False) -> Tokenizer:
    return Tokenizer(
        size=model.get_vocab_size(),
        encode=lambda text: np.array(model.encode(text, add_special_tokens=frame).ids, np.int32),
        decode=lambda tokens: model.decode([int(token) for token in tokens], skip_special_tokens=True),
        end=end,
        fitted=fitted,
    )
