"""Any text dataset: classification, regression, or language modelling where there is no target.

--dataset is a table (CSV, Parquet, JSON Lines, …), a .txt file of one text per line, a folder of texts by class, a TFDS
name or a prepared TFDS folder.
The vocabulary is fitted on train only. Without a --target, and with no other column, the page trains a language model.

    python launch.py --experiment=text --dataset=reviews.csv --inputs=review --target=stars
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import Tokens, find, language, reading, split_strings, texts
from fdl.experiment import Experiment
from fdl.models import RNN, Transformer
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
    tokens: Literal["words", "bytes", "chars", "bpe"] = "words",  # tokenization
    vocabulary: int = 8192,  # maximum number of tokens
    length: int = 0,  # tokens per text; 0: the length of 95 % of the training texts (128 for next_token)
    model: Literal["transformer", "lstm", "gru"] = "transformer",
    width: int = 128,  # of embeddings and layers
    depth: int = 2,  # layers
    dropout: float = 0.1,  # dropout rate
    learning_rate: float = 1e-3,  # peak of the warm-up cosine
    batch_size: int = 64,  # examples per step
    epochs: float = 0,  # passes over train; 0: 5, or 5 times `length` over running text
    seed: int = 0,  # of everything random
) -> Experiment:
    records = find(
        dataset, splits=split_strings(train, validation, test), how=reading(dialect, roles, drop), kind="text"
    )
    running = goal == "next_token" or (goal == "auto" and not target and len(records.fields) == 1)
    if running:
        data = language(
            records, inputs=inputs, missing=missing, tokens=Tokens(tokens, vocabulary=vocabulary, length=length or 128)
        )
    else:
        kind: Literal["auto", "classify", "regress"] = "auto" if goal == "next_token" else goal
        data = texts(
            records,
            inputs=inputs,
            target=target,
            goal=kind,
            missing=missing,
            tokens=Tokens(tokens, vocabulary=vocabulary, length=length),
        )
    spec = data.spec
    batch_size = min(batch_size, spec.sizes["train"])
    steps = data.steps(epochs or (5 * (length or 128) if running else 5), batch_size)
    network: nn.Module
    if model == "transformer":
        context = spec.inputs.shape[0] if running else spec.inputs["inputs"].shape[0]
        network = Transformer(
            spec.outputs,
            vocabulary=spec.vocabulary,
            width=width,
            depth=depth,
            context=context,
            causal=running,
            return_sequences=running,
            dropout=dropout,
        )
    else:
        network = RNN(
            spec.outputs,
            vocabulary=spec.vocabulary,
            width=width,
            depth=depth,
            cell=model,
            return_sequences=running,
            dropout=dropout,
        )
    bag = bag_of_tokens(spec.vocabulary or 0, 1 if tokens in ("words", "bpe") else 5)
    task = classify(spec.classes) if spec.classes else regress(center=spec.center, scale=spec.scale)
    return Experiment(
        model=network,
        dataset=data,
        task=next_token(bytes_per_token=data.fitted["bytes_per_token"]) if running else task,
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        baselines=(n_grams(1), n_grams()) if running else (chance(), linear(bag, tf_idf, "tf-idf")),
    )
