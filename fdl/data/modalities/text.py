"""Texts: a class or a number for each, or the next token of a running text.

Shape legend: B batch, T time (tokens).
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Literal

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, Source, Spec, columns, dataset_of
from fdl.data.modalities.kept import KeptDataset, keeps, no_more
from fdl.data.modalities.media_plan import TextPlan, kept
from fdl.data.modalities.targets import TARGETS, Goal, fit_target
from fdl.data.modalities.windows import disjoint_windows, window_count, windows
from fdl.data.records import Records, complete, drop_missing, is_missing
from fdl.data.split import pick
from fdl.data.tokenizer import Tokenizer, Tokens, bucket, fit_tokens, packed, restore_tokenizer, unknown_share

Missing = Literal["refuse", "drop"]  # what is done about rows without a text
MOST_GUESSED = 256  # tokens of a text where no length is given: the cost grows with it
_LOOKED_AT = 200  # texts of a held-out split that are looked at for tokens that train does not have


WORDS, BYTES = Tokens("words"), Tokens("bytes", length=128)


@keeps(no_more)
def texts(
    records: Records,
    *,
    inputs: str = "",
    target: str = "",
    tokens: Tokens = WORDS,
    goal: Goal = "auto",
    missing: Missing = "refuse",
) -> Dataset:
    """Return texts with a class or a number each: inputs `{"inputs": i32[B, T], "lengths": i32[B]}`.

    tokens: their length is T; 0 takes the smallest of a few fixed lengths that holds 95 % of the training texts whole,
    and at most 256.
    """
    records = as_written(records, inputs)
    column = records.choose(inputs, "inputs", ("text",), besides=(target,) if target else ())
    goal_column = records.choose(target, "target", TARGETS, besides=(column,))
    records = drop_missing(records, (column, goal_column), "drop") if missing == "drop" else records
    labels = None
    if goal != "regress" and records.fields[goal_column].kind in ("label", "text"):
        labels = records.column("train", goal_column)
    records = complete(records, labels=labels)
    target_of = fit_target(records, goal_column, goal)
    train = clean(records, "train", column)
    tokenizer = fit_tokens(tokens.unit, train, tokens.vocabulary)
    lengths = [len(tokenizer.encode(text)) for text in train[:2000]]
    length = tokens.length or min(bucket(lengths), MOST_GUESSED)
    records = records.noting(cut(column, lengths, length), *unknown_tokens(records, column, tokenizer))

    plan = TextPlan(column=column, length=length, tokenizer=tokenizer)

    @cache
    def load(split: str) -> Source:
        rows = clean(records, split, column)
        targets = target_of.encode(records.column(split, goal_column), split, np.arange(len(rows)))
        return columns(plan.encode(rows, lambda i: records.at(split, i)), targets)

    spec = target_of.spec(
        {"inputs": jax.ShapeDtypeStruct((length,), np.int32), "lengths": jax.ShapeDtypeStruct((), np.int32)},
        records.sizes,
        vocabulary=tokenizer.size,
    )
    fitted = {"tokens": tokenizer.fitted, "length": length, "inputs": kept(plan), **target_of.kept}
    return dataset_of(records.noting(target_of.said), spec, lambda split: load(known(records, split)), fitted)


def _tokenizer(kept: KeptDataset, **_: Any) -> dict[str, Any]:
    """Return the tokenizer that was fitted on train."""
    return {"tokenizer": restore_tokenizer(kept.fitted["tokens"])}


@keeps(_tokenizer)
def language(
    records: Records,
    *,
    inputs: str = "",
    tokens: Tokens = BYTES,
    missing: Missing = "refuse",
) -> Dataset:
    """Return windows of running text with the next tokens as targets: inputs and targets i32[B, T], weights f32[B, T].

    The texts of a split are packed one after another, so no window holds padding but the last of an evaluation.
    Training windows begin at every position; an epoch is the number of disjoint windows.
    """
    records = as_written(records, inputs)
    column = records.choose(inputs, "inputs", ("text",))
    records = complete(drop_missing(records, (column,), "drop") if missing == "drop" else records)
    tokenizer = fit_tokens(tokens.unit, clean(records, "train", column), tokens.vocabulary)
    length = tokens.length or BYTES.length
    running = {
        split: packed((tokenizer.encode(text) for text in clean(records, split, column)), tokenizer.end)
        for split in records.sizes
    }
    if len(running["train"]) <= length:
        count = len(running["train"])
        raise UserError(
            f"{records.name} has {count} training tokens, too few for length {length}; give more text, or "
            f"--length={max(1, count // 10)}"
        )
    spelled = {split: sum(len(text.encode()) + 1 for text in clean(records, split, column)) for split in running}
    strides = {split: 1 if split == "train" else length for split in running}
    spec = Spec(
        inputs=jax.ShapeDtypeStruct((length,), np.int32),
        targets=jax.ShapeDtypeStruct((length,), np.int32),
        weights=(length,),
        sizes={split: window_count(len(run), length, strides[split]) for split, run in running.items()},
        epoch=disjoint_windows(len(running["train"]), length),
        classes=tokenizer.size,
        vocabulary=tokenizer.size,
    )
    fitted = {
        "tokens": tokenizer.fitted,
        "bytes_per_token": {split: spelled[split] / len(run) for split, run in running.items()},
    }
    records = records.noting(*unknown_tokens(records, column, tokenizer))

    def load(split: str) -> Source:
        return windows(pick(running, split), length, stride=strides[split])

    return dataset_of(records, spec, load, fitted, tokenizer=tokenizer)


def clean(records: Records, split: str, column: str) -> list[str]:
    """Return a column of texts, saying where one is missing."""
    rows = records.column(split, column)
    gone = is_missing(rows)
    if gone.any():
        raise UserError(
            f"{records.at(split, int(np.argmax(gone)))}: {column} is empty, in {gone.sum()} of {len(gone)} rows of "
            f"{split}; fill it in, or leave such rows out with --missing=drop"
        )
    return [str(text) for text in rows]


def as_written(records: Records, *names: str) -> Records:
    """Return the same records in which columns of numbers or dates that are requested as texts are read as written."""
    typed = [name for name in names if name in records.fields and records.fields[name].kind in ("number", "date")]
    if not typed or records.retyped is None:
        return records
    return records.retyped(dict.fromkeys(typed, "text")).noting(f"read as they are written: {', '.join(typed)}")


def cut(column: str, lengths: Sequence[int], length: int) -> str:
    """Return the line which says how many of these training texts are longer than the inputs; empty where none is."""
    longer = sum(each > length for each in lengths)
    way = f"; --length={bucket(lengths)} cuts fewer and costs more" if bucket(lengths) > length else ""
    said = f"{column}: {longer:,} of the first {len(lengths):,} texts are cut after {length} tokens{way}"
    return said if longer else ""


def unknown_tokens(records: Records, column: str, tokenizer: Tokenizer) -> Iterator[str]:
    """Yield a warning for each held-out split whose texts are mostly tokens that train does not have."""
    for split, size in records.sizes.items():
        if split == "train":
            continue
        some = np.linspace(0, size - 1, min(size, _LOOKED_AT)).astype(int)
        texts = records.read(split, some, (column,))[column]
        share = unknown_share(tokenizer.encode(str(text)) for text in texts if text)
        if share > 0.5:
            yield (
                f"warning: {share:.0%} of the tokens of {column} in {split} are unknown to train; --tokens=bytes and "
                "--tokens=bpe know every text"
            )


def known(records: Records, split: str) -> str:
    """Return the split, or say which splits there are."""
    pick(records.sizes, split)
    return split
