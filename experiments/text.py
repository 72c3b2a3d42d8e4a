"""Any text dataset: classification, regression, or language modelling where there is no target.

--dataset is a table (CSV, Parquet, JSON Lines, …), a .txt file of one text per line, a folder of texts by class, a TFDS
name or a prepared TFDS folder.
The vocabulary is fitted on train only. Without a --target, and with no other column, the page trains a language model.

Texts have a bag of words and pairs of words: 0.853 of ten parts of Vim's reference, 3,200 paragraphs, in 30 seconds of
processor time, where tf-idf of 2,000 of them has 0.818; 10 epochs alone, 500 steps, have 0.745. Short titles stay with
tf-idf, and a run says so: eight sections of 4,800 packages are 0.687 right by the bag, 0.730 by tf-idf; ending early by
the loss has 0.667, by accuracy 0.690, words without pairs 0.688. Running text has the
GPT of `pydoc_gpt` over bytes, whose bits per byte leave nothing out, as words in small letters would; after 450 steps
it has 1.765 of Python's help line by line, where an interpolated 5-gram has 1.762, and validation still falls by 0.035
in 50 steps: hence 540.

    python launch.py --experiment=text --dataset=reviews.csv --inputs=review --target=stars
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.core.errors import UserError
from fdl.data import Tokens, find, language, reading, split_strings, texts
from fdl.experiment import Experiment
from fdl.models import RNN, Bag, Transformer
from fdl.models.gpt import gpt
from fdl.tasks import classify, next_token, regress
from fdl.tasks.baselines import bag_of_tokens, chance, linear, n_grams, tf_idf


def experiment(
    *,
    dataset: str = "",  # table, .txt, folder of texts by class, TFDS name or prepared TFDS folder
    inputs: str = "",  # the column of texts; inferred where only one fits
    target: str = "",  # the column to predict; inferred where only one fits
    goal: Literal["auto", "classify", "regress", "next_token"] = "auto",  # task; auto infers it
    dialect: str = "",  # format of a text table, as in "encoding=cp1252 delimiter=; header=no"
    roles: tuple[str, ...] = (),  # column types that override the inferred ones, as in zip:category,age:number
    drop: tuple[str, ...] = (),  # columns to ignore
    missing: Literal["refuse", "drop"] = "refuse",  # rows without a text or a target
    train: str = "",  # TFDS split string, as in train[:90%]
    validation: str = "",  # TFDS split string
    test: str = "",  # TFDS split string
    tokens: Literal["auto", "words", "bytes", "chars", "bpe"] = "auto",  # words, and bytes of running text
    vocabulary: int = 20_000,  # maximum number of tokens
    length: int = 0,  # tokens per text; 0: that of 95 % of the training texts, at most 256 (256 of running text)
    model: Literal["auto", "bag", "transformer", "lstm", "gru"] = "auto",  # a bag, and a transformer of running text
    width: int = 0,  # of embeddings and layers; 0: 32 of a bag, else 128
    depth: int = 0,  # layers; 0: 2, and 3 of running text
    dropout: float | None = None,  # dropout rate; where not given 0.5 of a bag, 0 of running text, else 0.1
    learning_rate: float = 0,  # peak of the warm-up cosine; 0: 0.002 of a bag, 0.01 of Muon, else 0.001
    batch_size: int = 0,  # examples per step; 0: 64, and 8 of running text
    epochs: float = 0,  # passes over train; 0: 10 or 1,500 steps, of running text 1.5 or 540
    seed: int = 0,  # of everything random
) -> Experiment:
    records = find(
        dataset, splits=split_strings(train, validation, test), how=reading(dialect, roles, drop), kind="text"
    )
    running = goal == "next_token" or (goal == "auto" and not target and len(records.fields) == 1)
    unit = tokens if tokens != "auto" else "bytes" if running else "words"
    if running:
        cut = Tokens(unit, vocabulary=vocabulary, length=length or 256)
        data = language(records, inputs=inputs, missing=missing, tokens=cut)
    else:
        kind: Literal["auto", "classify", "regress"] = "auto" if goal == "next_token" else goal
        cut = Tokens(unit, vocabulary=vocabulary, length=length)
        data = texts(records, inputs=inputs, target=target, goal=kind, missing=missing, tokens=cut)
    spec = data.spec
    size = min(batch_size or (8 if running else 64), spec.sizes["train"])
    steps = data.steps(epochs or (1.5 if running else 10), size)
    steps = steps if epochs else max(540 if running else 1500, steps)

    # The network and its optimizer.
    chosen = model if model != "auto" else "transformer" if running else "bag"
    if chosen == "bag" and running:
        raise UserError("--model=bag predicts no next token; give --model=transformer, lstm or gru")
    rate = (0.5 if chosen == "bag" else 0.0 if running else 0.1) if dropout is None else dropout
    wide, deep = width or 128, depth or (3 if running else 2)
    optimizer = optim.adamw(optim.warmup_cosine(learning_rate or (2e-3 if chosen == "bag" else 1e-3), steps))
    network: nn.Module
    if chosen == "bag":
        network = Bag(spec.outputs, width or 32, longest=2, hidden=64, dropout=rate)
    elif chosen == "transformer" and running:
        context = spec.inputs.shape[0]
        network = gpt(spec.outputs, width=wide, depth=deep, context=context, positions="rotary", dropout=rate)
        schedule = optim.warmup_cosine(learning_rate or 0.01, steps, warmup=0.05, end=0.05)
        optimizer = optim.muon(schedule, weight_decay=0.1)
    elif chosen == "transformer":
        network = Transformer(
            spec.outputs,
            vocabulary=spec.vocabulary,
            width=wide,
            depth=deep,
            context=spec.inputs["inputs"].shape[0],
            dropout=rate,
        )
    else:
        network = RNN(
            spec.outputs,
            vocabulary=spec.vocabulary,
            width=wide,
            depth=deep,
            cell=chosen,
            return_sequences=running,
            dropout=rate,
        )

    task = classify(spec.classes) if spec.classes else regress(center=spec.center, scale=spec.scale)
    bag = bag_of_tokens(spec.vocabulary or 0, 1 if unit in ("words", "bpe") else 5)
    return Experiment(
        model=network,
        dataset=data,
        task=next_token(bytes_per_token=data.fitted["bytes_per_token"]) if running else task,
        optimizer=optimizer,
        batch_size=size,
        steps=steps,
        seed=seed,
        baselines=(n_grams(1), n_grams()) if running else (chance(), linear(bag, tf_idf, "tf-idf")),
    )
