"""Pairs of texts: a source to read and a target to write.

Shape legend: B batch, S source tokens, T target tokens.
"""

from functools import cache

import jax
import numpy as np

from fdl.data.dataset import Dataset, Source, Spec, columns, dataset_of
from fdl.data.modalities.kept import keeps, no_more
from fdl.data.modalities.media_plan import PairPlan, kept
from fdl.data.modalities.text import Missing, as_written, clean, cut, known, unknown_tokens
from fdl.data.records import Records, complete, drop_missing
from fdl.data.tokenizer import END, START, Tokens, bucket, fit_tokens, padded

CHARS = Tokens("chars")


@keeps(no_more)
def pairs(
    records: Records,
    *,
    inputs: str = "",
    target: str = "",
    tokens: Tokens = CHARS,
    target_tokens: Tokens | None = None,
    missing: Missing = "refuse",
) -> Dataset:
    """Return pairs for teacher forcing: inputs `{"sources", "decoder_inputs", "source_lengths"}`, targets i32[B, T].

    sources: i32[B, S]. decoder_inputs: i32[B, T], START and the target without its last token. targets end with END;
    later positions have weight 0.
    tokens, target_tokens: of the source and of the target (those of the source if None); their lengths are S and T, of
    which 0 takes the smallest of a few fixed lengths that holds 95 % of the training texts whole.
    Source and target have a vocabulary each: `spec.vocabulary` and `spec.classes` tokens.
    """
    records, column, goal = read_and_written(records, inputs, target)
    records = complete(drop_missing(records, (column, goal), "drop") if missing == "drop" else records)
    texts = {name: clean(records, "train", name) for name in (column, goal)}
    target_tokens = target_tokens or tokens
    read = fit_tokens(tokens.unit, texts[column], tokens.vocabulary)
    write = fit_tokens(target_tokens.unit, texts[goal], target_tokens.vocabulary)
    lengths = [len(read.encode(text)) for text in texts[column][:2000]]
    target_lengths = [len(write.encode(text)) + 1 for text in texts[goal][:2000]]
    length, target_length = tokens.length or bucket(lengths), target_tokens.length or bucket(target_lengths)
    unknown = (*unknown_tokens(records, column, read), *unknown_tokens(records, goal, write))
    records = records.noting(cut(column, lengths, length), cut(goal, target_lengths, target_length), *unknown)

    plan = PairPlan(column=column, length=length, tokenizer=read, written=target_length)

    @cache
    def load(split: str) -> Source:
        inputs = plan.encode(clean(records, split, column), lambda i: records.at(split, i))
        answers = [np.append(write.encode(text), END) for text in clean(records, split, goal)]
        targets, lengths = padded(answers, target_length)
        decoder_inputs = np.concatenate([np.full((len(targets), 1), START, np.int32), targets[:, :-1]], axis=1)
        weights = (np.arange(target_length)[None] < lengths[:, None]).astype(np.float32)
        return columns({**inputs, "decoder_inputs": decoder_inputs}, targets, weights)

    spec = Spec(
        inputs={
            "sources": jax.ShapeDtypeStruct((length,), np.int32),
            "decoder_inputs": jax.ShapeDtypeStruct((target_length,), np.int32),
            "source_lengths": jax.ShapeDtypeStruct((), np.int32),
        },
        targets=jax.ShapeDtypeStruct((target_length,), np.int32),
        weights=(target_length,),
        sizes=records.sizes,
        classes=write.size,
        vocabulary=read.size,
    )
    fitted = {
        "source": read.fitted,
        "target": {**write.fitted, "target": goal},
        "length": length,
        "target_length": target_length,
        "inputs": kept(plan),
    }
    return dataset_of(records, spec, lambda split: load(known(records, split)), fitted)


def read_and_written(records: Records, inputs: str, target: str) -> tuple[Records, str, str]:
    """Return the records, the column to read and the one to write: the first and the second where there are two."""
    both = [name for name, field in records.fields.items() if field.kind == "text"]
    if not inputs and not target and not records.supervised and len(both) == 2:
        inputs, target = both
        records = records.noting(
            f"{inputs} is read and {target} is written; --inputs={target} --target={inputs} for the other way"
        )
    records = as_written(records, inputs, target)
    goal = records.choose(target, "target", ("text",), besides=(inputs,) if inputs else ())
    return records, records.choose(inputs, "inputs", ("text",), besides=(goal,)), goal
