"""Text classification with BERT, tiny to large: 109,482,240 parameters in the base size, without the head.

Data    --dataset=FILE.csv (or a TFDS name, …) of texts with a class, and --tokenizer=tokenizer.json, the file published
        with the weights; without them synthetic texts, to measure speed
Model   BERT (uncased English): post-norm blocks, a pooler over the first position, one dense layer for the classes
Expect  the published weights give the published model's outputs to 1e-4 (tests/models/test_parity.py)
Run     python launch.py --experiment=bert --size=large --mode=describe
        python launch.py --experiment=bert --weights=model.safetensors --tokenizer=tokenizer.json --dataset=reviews.csv
"""

from functools import partial
from typing import Literal

from fdl import optim
from fdl.data import Tokens, find, published_tokens, synthetic_texts, texts
from fdl.experiment import Experiment
from fdl.models.bert import SequenceClassifier, bert
from fdl.models.pretrained import published
from fdl.tasks import classify


def experiment(
    *,
    size: Literal["tiny", "mini", "small", "medium", "base", "large"] = "base",  # 4 to 335 million parameters
    dataset: str = "",  # texts with a class: a file or a TFDS name; empty: synthetic texts
    inputs: str = "",  # the column of texts; inferred where only one fits
    target: str = "",  # the column of classes; inferred where only one fits
    tokenizer: str | None = None,  # the published tokenizer.json
    weights: str | None = None,  # pretrained weights: a folder of the Hub, or a file
    length: int = 128,  # tokens per text, at most 512
    dropout: float = 0.1,  # dropout rate
    epochs: float = 3,  # passes over the training texts
    batch_size: int = 32,  # texts per step
    learning_rate: float = 5e-5,  # peak of the warm-up cosine
    weight_decay: float = 0.01,  # of AdamW
    seed: int = 0,  # of the head, the dropout and the order of the texts
) -> Experiment:
    if not dataset:
        data = synthetic_texts(length, vocabulary=30_522, seed=seed)
    elif tokenizer is None:
        raise ValueError(f"how do the texts of {dataset} become tokens? give --tokenizer=tokenizer.json")
    else:
        tokens = partial(published_tokens, tokenizer, frame=True)
        data = texts(
            find(dataset, kind="text"),
            inputs=inputs,
            target=target,
            goal="classify",
            tokens=Tokens(tokens, length=length),
        )
    model = SequenceClassifier(data.spec.outputs, bert(size, dropout=dropout))
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=model,
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        init_from=None if weights is None else published(weights, model, fresh=("head",)),
    )
