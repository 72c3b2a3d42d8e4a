"""Sentences whose words have a tag each: parts of speech, names and other spans.

Shape legend: B batch, T words of a sentence, L letters of a word.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.data.dataset import Dataset, Source, Spec, columns, dataset_of
from fdl.data.modalities.kept import keeps, no_more
from fdl.data.modalities.media_plan import WordsPlan, kept
from fdl.data.modalities.plan import name_of
from fdl.data.modalities.text import known
from fdl.data.records import Records, complete
from fdl.data.tokenizer import NUM_SPECIAL_TOKENS, bucket, most_frequent

MOST_LETTERS = 24  # of a word; of a longer one the first and the last half of them are read
WORDS, TAGS = ("tokens", "words", "form"), ("tags", "ner_tags", "ner")  # what columns of lists are called
Sentence = Sequence[str]


@keeps(no_more)
def tags(records: Records, *, inputs: str = "", target: str = "", vocabulary: int = 20_000, length: int = 0) -> Dataset:
    """Return sentences with a tag for each word: inputs `{"words", "letters", "lengths"}`, targets i32[B, T].

    words: i32[B, T], in small letters, unknown where train has them only once. letters: i32[B, T, L], as they are
    written. lengths: i32[B]. `spec.categories` are the sizes of both vocabularies. Weights f32[B, T] are 0 after the
    end of a sentence.
    inputs, target: columns of lists. vocabulary: words at most.
    length: T; 0 takes the smallest of a few fixed lengths that holds 95 % of the training sentences. Longer sentences
    are divided, so that every word counts.
    """
    records, column, goal = _chosen(records, inputs, target)
    records = complete(records)
    sentences = {split: _sentences(records, split, column, goal) for split in records.sizes}
    names, said = _names(records, goal, {split: tagged for split, (_, tagged) in sentences.items()})

    # What is fitted on train: how long sentences are, and the words and letters that are known.
    train = sentences["train"][0]
    length = length or bucket([len(words) for words in train])
    lower = (word.lower() for words in train for word in words)
    letters = (letter for words in train for word in words for letter in word)
    plan = WordsPlan(
        column=column,
        length=length,
        spelled=min(MOST_LETTERS, max(len(word) for words in train for word in words)),
        words=tuple(most_frequent(lower, vocabulary - NUM_SPECIAL_TOKENS, least=2)),
        letters=tuple(most_frequent(letters, vocabulary, least=2)),
    )
    pieces = {split: _pieces(words, length) for split, (words, _) in sentences.items()}
    longer = {split: len(pieces[split]) - size for split, size in records.sizes.items()}
    if any(longer.values()):
        said += f"; sentences of more than {length} words are divided ({sum(longer.values()):,} more examples)"

    @cache
    def load(split: str) -> Source:
        words, tagged = sentences[split]
        number = {name: i for i, name in enumerate(names)}
        targets = np.zeros((len(pieces[split]), length), np.int32)
        weights = np.zeros(targets.shape, np.float32)
        for row, (i, start) in enumerate(pieces[split]):
            part = tagged[i][start : start + length]
            targets[row, : len(part)] = [number[tag] for tag in part]
            weights[row, : len(part)] = 1
        cut = [words[i][start : start + length] for i, start in pieces[split]]
        return columns(plan.encode(cut, lambda row: records.at(split, pieces[split][row][0])), targets, weights)

    spec = Spec(
        inputs=plan.shapes,
        targets=jax.ShapeDtypeStruct((length,), np.int32),
        weights=(length,),
        sizes={split: len(part) for split, part in pieces.items()},
        classes=len(names),
        names=names,
        categories=plan.sizes,
    )
    fitted = {"inputs": kept(plan), "target": {"target": goal, "classes": list(names)}}
    return dataset_of(records.noting(said), spec, lambda split: load(known(records, split)), fitted)


def _chosen(records: Records, inputs: str, target: str) -> tuple[Records, str, str]:
    """Return the records, the column of words and that of tags; the usual names are taken and said."""
    lists = [name for name, field in records.fields.items() if field.kind == "list"]
    if records.supervised is None:
        inputs = inputs or next((name for name in WORDS if name in lists), "")
        rest = [name for name in lists if name != inputs]
        usual = [name for name in TAGS if name in rest] or rest * (len(rest) == 1)
        if not target and usual:
            target, *_ = usual
            others = ", ".join(f"--target={name}" for name in rest if name != target)
            records = records.noting(f"words are column {inputs}, tags column {target}; {others}" if others else "")
    goal = records.choose(target, "target", ("list",), besides=(inputs,) if inputs else ())
    return records, records.choose(inputs, "inputs", ("list",), besides=(goal,)), goal


def _sentences(records: Records, split: str, column: str, goal: str) -> tuple[list[Sentence], list[Sentence]]:
    """Return the words and the tags of each sentence; raise a UserError where one has more of the one."""
    read = records.read(split, np.arange(records.sizes[split]), (column, goal))
    names = records.fields[goal].names
    words: list[Sentence] = []
    tagged: list[Sentence] = []
    for i, (sentence, marks) in enumerate(zip(read[column], read[goal], strict=True)):
        if sentence is None or marks is None or len(sentence) != len(marks) or not len(sentence):
            counts = [0 if each is None else len(each) for each in (sentence, marks)]
            raise UserError(
                f"{records.at(split, i)}: {column} has {counts[0]} words, {goal} {counts[1]} tags; give each word one"
            )
        words.append([name_of(word) for word in sentence])
        tagged.append([names[mark] if names and not isinstance(mark, str) else name_of(mark) for mark in marks])
    return words, tagged


def _names(records: Records, goal: str, tagged: Mapping[str, Sequence[Sentence]]) -> tuple[tuple[str, ...], str]:
    """Return the tags of all splits, sorted or as the set declares them, and a line about them."""
    seen = {split: {tag for marks in part for tag in marks} for split, part in tagged.items()}
    names = records.fields[goal].names or tuple(sorted(set().union(*seen.values())))
    if len(names) < 2:
        raise UserError(
            f"column {goal!r} of {records.name} has {len(names)} tag: nothing to learn; give another --target"
        )
    absent = sorted(set(names) - seen["train"])
    shown = ", ".join(names[:5]) + ", …" * (len(names) > 5)
    lacking = f"; train has none of {', '.join(absent[:3])}{', …' * (len(absent) > 3)}, which cannot be learned"
    return names, f"target {goal}: {len(names)} tags ({shown}){lacking * bool(absent)}"


def _pieces(sentences: Sequence[Sentence], length: int) -> list[tuple[int, int]]:
    """Return (sentence, first word) of each part of at most `length` words."""
    return [(i, start) for i, words in enumerate(sentences) for start in range(0, len(words), length)]
