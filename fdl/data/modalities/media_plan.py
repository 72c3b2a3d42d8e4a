"""How pictures, sounds, videos and texts become inputs: one encoder of training and of new data, kept with the run.

A plan is what `Dataset.fitted` keeps under "inputs", in JSON's types; `inputs_plan` makes it anew from there.

Shape legend: B batch, T samples, frames or tokens, H height, W width, C channels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.data.log_mel import Normalise
from fdl.data.pixels import fitted_image, picture
from fdl.data.readers.clips import Clip
from fdl.data.readers.media import Item
from fdl.data.readers.recordings import as_dtype, resampled, sound
from fdl.data.records import Column
from fdl.data.tokenizer import NUM_SPECIAL_TOKENS, START, UNKNOWN, Tokenizer, bucket, padded, restore_tokenizer

Where = Callable[[int], str]  # the place of a value among those that are encoded -> where a user finds it


@dataclass(frozen=True, kw_only=True)
class ImagePlan:
    """Pictures of one shape (H, W, C)."""

    kind: ClassVar[str] = "image"
    column: str
    shape: tuple[int, int, int]

    def read(self, item: Item) -> np.ndarray:
        """Return u8[H, W, C] of a new file or its bytes, of any size; raise Unreadable."""
        return picture(item, self.shape[-1])

    def encode(self, values: Column, at: Where) -> np.ndarray:
        """Return [B, H, W, C] of pictures, cut and resized where they differ."""
        return np.stack(
            [
                each if each.shape == self.shape else fitted_image(each, self.shape, at(i))
                for i, each in enumerate(values)
            ]
        )


@dataclass(frozen=True, kw_only=True)
class AudioPlan:
    """Sounds at `rate` samples a second, cut or padded to `length` samples.

    declared: the rate that values have. normalise: as `LogMel` has.
    """

    kind: ClassVar[str] = "audio"
    column: str
    declared: int
    rate: int
    length: int
    dtype: str
    normalise: Normalise = "none"

    def read(self, item: Item) -> np.ndarray:
        """Return [T] samples of a new file or its bytes, at the declared rate; raise Unreadable."""
        return sound(item, rate=self.declared, dtype=np.dtype(self.dtype))

    def encode(self, values: Column, at: Where) -> np.ndarray:
        """Return [B, T] samples of sounds."""
        waves = np.zeros((len(values), self.length), self.dtype)
        for i, (wave, each) in enumerate(zip(waves, values, strict=True)):
            samples = np.asarray(each)
            if samples.dtype.kind == "f" and not np.isfinite(samples).all():
                raise UserError(f"{at(i)}: {self.column} is not finite; leave such examples out")
            if samples.dtype.kind in "iu" and len(samples) and (samples.max() >= 2**15 or samples.min() < -(2**15)):
                loud = samples.max() if samples.max() >= 2**15 else samples.min()
                raise UserError(f"{at(i)}: {self.column} is {loud}, which does not fit 16 bits; scale it")
            samples = as_dtype(resampled(samples, self.declared, self.rate), wave.dtype)
            wave[: len(samples)] = samples[: self.length]
        return waves


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """Videos of `frames` frames, spread evenly over each, of one shape (H, W, C)."""

    kind: ClassVar[str] = "video"
    column: str
    frames: int
    shape: tuple[int, int, int]

    def read(self, item: Item) -> Clip:
        """Return a new video, a file, its bytes or a folder of frames; raises a ValueError where it is decoded."""
        return Clip(item, ValueError)

    def encode(self, values: Column, at: Where) -> np.ndarray:
        """Return u8[B, T, H, W, C] of videos: arrays [T, H, W, C] or Clips, of which only these frames are decoded."""
        films = []
        for i, film in enumerate(values):
            if not len(film):
                raise UserError(f"{at(i)}: {self.column} has no frames; leave such examples out")
            chosen = np.linspace(0, len(film) - 1, self.frames).round().astype(int)
            films.append(np.stack([fitted_image(shot, self.shape, at(i)) for shot in taken(film, chosen)]))
        return np.stack(films)


@dataclass(frozen=True, kw_only=True)
class TextPlan:
    """Texts of `length` tokens, cut or padded; the tokenizer was fitted on train."""

    kind: ClassVar[str] = "text"
    column: str
    length: int
    tokenizer: Tokenizer

    def read(self, item: str) -> str:
        """Return a new text as it is."""
        return item

    def encode(self, values: Column, at: Where) -> dict[str, np.ndarray]:
        """Return `{"inputs": i32[B, T], "lengths": i32[B]}` of texts."""
        tokens, lengths = padded([self.tokenizer.encode(text) for text in values], self.length)
        return {"inputs": tokens, "lengths": lengths}


@dataclass(frozen=True, kw_only=True)
class PairPlan(TextPlan):
    """Texts that are read to write others of at most `written` tokens; the tokenizer is that of the texts read."""

    kind: ClassVar[str] = "pair"
    written: int

    def encode(self, values: Column, at: Where) -> dict[str, np.ndarray]:
        """Return `{"sources": i32[B, S], "decoder_inputs": i32[B, T], "source_lengths": i32[B]}`.

        Of what will be written the decoder is given the start alone: START and padding.
        """
        tokens, lengths = padded([self.tokenizer.encode(text) for text in values], self.length)
        start, _ = padded([np.array([START], np.int32)] * len(values), self.written)
        return {"sources": tokens, "decoder_inputs": start, "source_lengths": lengths}


@dataclass(frozen=True, kw_only=True)
class WordsPlan:
    """Sentences of at most `length` words, of each at most `spelled` letters; the vocabularies were fitted on train."""

    kind: ClassVar[str] = "words"
    column: str
    length: int
    spelled: int
    words: tuple[str, ...]
    letters: tuple[str, ...]

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of words and of letters, the special ones included."""
        return len(self.words) + NUM_SPECIAL_TOKENS, len(self.letters) + NUM_SPECIAL_TOKENS

    @property
    def shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        """The shapes of one sentence."""
        shapes = {"words": (self.length,), "letters": (self.length, self.spelled), "lengths": ()}
        return {name: jax.ShapeDtypeStruct(shape, np.int32) for name, shape in shapes.items()}

    def encode(self, values: Column, at: Where) -> dict[str, np.ndarray]:
        """Return `{"words": i32[B, T], "letters": i32[B, T, L], "lengths": i32[B]}` of lists of words.

        T is `length`, or the next of a few fixed lengths that holds the longest.
        """
        longest = max(map(len, values))
        length = self.length if longest <= self.length else bucket([longest], 1.0)
        if longest > length:
            i = int(np.argmax([len(words) for words in values]))
            raise UserError(f"{at(i)} has {longest:,} words, over {length:,}; divide it")
        shape = (len(values), length)
        encoded = {"words": np.zeros(shape, np.int32), "letters": np.zeros((*shape, self.spelled), np.int32)}
        for i, words in enumerate(values):
            for t, word in enumerate(words):
                encoded["words"][i, t] = self._word.get(word.lower(), UNKNOWN)
                letters = self._shortened(word)
                encoded["letters"][i, t, : len(letters)] = [self._letter.get(each, UNKNOWN) for each in letters]
        return {**encoded, "lengths": np.array([len(words) for words in values], np.int32)}

    def _shortened(self, word: str) -> str:
        half = self.spelled // 2
        return word if len(word) <= self.spelled else word[: self.spelled - half] + word[len(word) - half :]

    @cached_property
    def _word(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, start=NUM_SPECIAL_TOKENS)}

    @cached_property
    def _letter(self) -> dict[str, int]:
        return {letter: i for i, letter in enumerate(self.letters, start=NUM_SPECIAL_TOKENS)}


MediaPlan = ImagePlan | AudioPlan | VideoPlan | TextPlan
_PLANS: Mapping[str, Any] = {
    plan.kind: plan for plan in (ImagePlan, AudioPlan, VideoPlan, TextPlan, PairPlan, WordsPlan)
}


def kept(plan: MediaPlan | WordsPlan) -> dict[str, Any]:
    """Return a plan in JSON's types, but for the tokenizer, which `Dataset.fitted` keeps beside it."""
    values = {each.name: getattr(plan, each.name) for each in fields(plan) if each.name != "tokenizer"}
    return {"kind": plan.kind, **values}


def inputs_plan(fitted: Mapping[str, Any]) -> MediaPlan | WordsPlan:
    """Return the plan that `Dataset.fitted`, or the dataset.json of a run folder, keeps."""
    value = {**fitted["inputs"]}
    plan = _PLANS[value.pop("kind")]
    value = {name: tuple(each) if isinstance(each, list) else each for name, each in value.items()}
    if issubclass(plan, TextPlan):
        value["tokenizer"] = restore_tokenizer(fitted["source" if plan is PairPlan else "tokens"])
    made: MediaPlan | WordsPlan = plan(**value)
    return made


def taken(film: Any, indices: np.ndarray) -> np.ndarray:
    """Return [n, H, W, C], these frames of a video: of an array, or of a `Clip`, which decodes no others."""
    return film[indices] if isinstance(film, Clip) else np.asarray(film)[indices]
