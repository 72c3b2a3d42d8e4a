"""Examples of a dataset as people see them: pictures, texts, rows of a table, waves; inputs in, words and pixels out.

Shape legend: n examples, T tokens, samples or frames, H height, W width, C channels, K numbers per row.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from fdl.data.dataset import Dataset
from fdl.data.modalities.media_plan import PairPlan, WordsPlan
from fdl.data.modalities.plan import Plan
from fdl.data.tokenizer import NUM_SPECIAL_TOKENS, PAD, Tokenizer, restore_tokenizer
from fdl.runs.report.elements import number
from fdl.runs.report.gallery import picture

FRAMES = 4  # of a clip
UNSEEN = "�"  # a letter that training did not see
HEIGHT, WIDTH = 48, 160  # pixels of a wave
View = Callable[[Any], list[dict[str, Any]]]  # inputs [n, ...] as a source gives them -> fields of `Example`, or words


def view_of(dataset: Dataset) -> View | None:
    """Return how examples of a dataset are shown, None where nothing is known of them."""
    inputs, fitted = dataset.spec.inputs, dataset.fitted
    if "plan" in fitted:
        return partial(_rows, plan=Plan.from_json(fitted["plan"]))
    if isinstance(inputs, Mapping):
        return _of_tokens(inputs, fitted)
    if not isinstance(inputs, jax.ShapeDtypeStruct):
        return None
    shape = inputs.shape
    if len(shape) == 3 and shape[-1] in (1, 3):
        return _pictures
    if len(shape) == 4 and shape[-1] in (1, 3):
        return _clips
    if len(shape) == 1 and (dataset.modality == "audio" or inputs.dtype == np.int16):
        return _waves
    return _vectors if len(shape) == 1 and np.issubdtype(inputs.dtype, np.floating) else None


def _of_tokens(inputs: Mapping[str, Any], fitted: Mapping[str, Any]) -> View | None:
    """Return how texts, the sources of pairs and sentences of words are shown."""
    plan = fitted.get("inputs")
    plan = plan if isinstance(plan, Mapping) else {}
    kind = plan.get("kind")
    if kind == WordsPlan.kind:
        return partial(_sentences, letters=plan["letters"])
    if kind == PairPlan.kind:
        return partial(_texts, tokenizer=restore_tokenizer(fitted["source"]), names=("sources", "source_lengths"))
    if "lengths" in inputs and "tokens" in fitted:
        return partial(_texts, tokenizer=restore_tokenizer(fitted["tokens"]))
    return None


def _pictures(inputs: np.ndarray) -> list[dict[str, Any]]:
    return [{"picture": picture(each)} for each in inputs]


def _clips(inputs: np.ndarray) -> list[dict[str, Any]]:
    """Show a few frames of each clip [T, H, W, C], one below another."""
    chosen = np.linspace(0, inputs.shape[1] - 1, min(FRAMES, inputs.shape[1])).round().astype(int)
    return [{"picture": picture(np.concatenate(each[chosen], axis=1))} for each in inputs]


def _waves(inputs: np.ndarray) -> list[dict[str, Any]]:
    """Show the range of the samples in each column of a picture."""
    shown = []
    for wave in inputs:
        parts = np.array_split(np.asarray(wave, np.float64), WIDTH)
        loudest = max(float(np.abs(wave).max()), 1e-12)
        pixels = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
        for x, part in enumerate(parts):
            ends = (part.max(initial=0.0), part.min(initial=0.0))
            top, bottom = (round((0.5 - 0.48 * edge / loudest) * (HEIGHT - 1)) for edge in ends)
            pixels[top : bottom + 1, x] = 255
        shown.append({"picture": picture(pixels)})
    return shown


def _texts(
    inputs: Mapping[str, np.ndarray], tokenizer: Tokenizer, names: tuple[str, str] = ("inputs", "lengths")
) -> list[dict[str, Any]]:
    rows = zip(*(inputs[name] for name in names), strict=True)
    return [{"text": tokenizer.decode(tokens[: int(length)].tolist())} for tokens, length in rows]


def _sentences(inputs: Mapping[str, np.ndarray], letters: Sequence[str]) -> list[dict[str, Any]]:
    """Show the words by their letters, of which those that training did not see are �."""
    written = [*[UNSEEN] * NUM_SPECIAL_TOKENS, *letters]
    sentences = zip(inputs["letters"], inputs["lengths"], strict=True)
    return [
        {"words": ["".join(written[i] for i in word if i != PAD) for word in words[: int(length)]]}
        for words, length in sentences
    ]


def _rows(inputs: Any, plan: Plan) -> list[dict[str, Any]]:
    return [{"values": values} for values in plan.decode(inputs)]


def _vectors(inputs: np.ndarray) -> list[dict[str, Any]]:
    return [{"values": {f"x{i}": number(float(value)) for i, value in enumerate(row)}} for row in inputs]


def marked(tokenizer: Tokenizer, targets: np.ndarray, predicted: np.ndarray) -> list[tuple[str, str]]:
    """Return a text of tokens i32[T] in pieces, each with what was predicted in its place, "" where that is right.

    Neighbouring tokens that are right, or wrong, are one piece.
    """
    pieces: list[tuple[str, str]] = []
    wrong, begun = targets != predicted, 0
    for end in range(1, len(targets) + 1):
        if end == len(targets) or wrong[end] != wrong[begun]:
            text, instead = (tokenizer.decode(tokens[begun:end].tolist()) for tokens in (targets, predicted))
            pieces.append((text, (instead or "nothing") if wrong[begun] else ""))
            begun = end
    return pieces
