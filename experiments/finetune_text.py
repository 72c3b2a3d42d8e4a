"""Your own texts, with a Transformer that has read billions of words.

Data    --dataset=FILE.csv (or a folder of texts by class, a TFDS name, …) of texts with a class each; without it
        synthetic texts, to measure speed
Model   a published BERT, RoBERTa or DistilBERT with a new head: --weights is a folder of the Hub, whose tokenizer.json
        is read as well, or a file
Recipe  the head learns at the full rate after a short warm-up, the body at a tenth of it, so that what it knows is
        turned to the new texts and not washed away; --body=0 freezes it, and --lora=8:attention trains thin matrices
        beside its attention
Expect  more than tf-idf, whose accuracy the run prints beside its own; no published file could be downloaded where this
        was written
Run     python launch.py --experiment=finetune_text --weights=bert-base-uncased --dataset=reviews.csv
Try     --body=0, --lora=8:attention, --model=distilbert; no --weights is the same network from scratch
"""

from functools import partial
from typing import Literal

import optax

from fdl import optim
from fdl.core.errors import UserError
from fdl.data import Tokens, find, published_tokens, synthetic_texts, texts
from fdl.data.tokenizer import Tokenizer
from fdl.experiment import Experiment
from fdl.models.bert import SequenceClassifier, bert, distilbert, roberta
from fdl.models.pretrained import published
from fdl.models.published.weight_files import weight_files
from fdl.tasks import classify
from fdl.tasks.baselines import bag_of_tokens, chance, linear, tf_idf


def experiment(
    *,
    weights: str | None = None,  # pretrained weights: a folder of the Hub, or a file
    model: Literal["bert", "roberta", "distilbert"] = "bert",  # the network of these weights
    size: Literal["tiny", "mini", "small", "medium", "base", "large"] = "base",  # its size
    tokenizer: str | None = None,  # the tokenizer.json of these weights; by default the one that lies beside them
    dataset: str = "",  # table of texts, folder of texts by class, TFDS name; empty: synthetic texts
    inputs: str = "",  # the column of texts; inferred where only one fits
    target: str = "",  # the column of classes; inferred where only one fits
    length: int = 128,  # tokens per text, at most 512
    dropout: float = 0.1,  # dropout rate
    body: float = 0.1,  # learning rate of the pretrained body, as a share of the head's; 0 freezes it
    learning_rate: float = 5e-4,  # of the head: peak of the warm-up cosine
    weight_decay: float = 0.01,  # of AdamW
    epochs: float = 3,  # passes over the training texts
    batch_size: int = 32,  # texts per step
    seed: int = 0,  # of the head, the dropout and the order of the texts
) -> Experiment:
    encoder = distilbert() if model == "distilbert" else {"bert": bert, "roberta": roberta}[model](size)
    if dataset:
        tokens = Tokens(partial(_tokenizer, tokenizer, weights), length=length)
        data = texts(find(dataset, kind="text"), inputs=inputs, target=target, goal="classify", tokens=tokens)
    else:
        data = synthetic_texts(length, vocabulary=encoder.vocabulary, seed=seed)
    batch_size = min(batch_size, data.spec.sizes["train"])
    steps = data.steps(epochs, batch_size)
    vocabulary = data.spec.vocabulary or encoder.vocabulary
    network = SequenceClassifier(data.spec.outputs, encoder.clone(vocabulary=vocabulary, dropout=dropout))
    # Only BERT is published with a pooler, which was trained to tell whether two sentences follow each other.
    head = ["head", "bert/pooler"]
    fresh = head[:1] if model == "bert" else head

    def adamw(peak: float) -> optax.GradientTransformation:
        return optim.adamw(optim.warmup_cosine(peak, steps, warmup=0.1), weight_decay=weight_decay)

    return Experiment(
        model=network,
        dataset=data,
        task=classify(data.spec.outputs),
        optimizer=optim.fine_tuning(adamw, learning_rate, head=head, body=body if weights else 1.0),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        init_from=None if weights is None else published(weights, network, fresh=fresh),
        baselines=(chance(), linear(bag_of_tokens(vocabulary), tf_idf, "tf-idf")) if dataset else (),
    )


def _tokenizer(file: str | None, weights: str | None) -> Tokenizer:
    """Read the tokenizer: the one given, or the one that lies beside the weights."""
    if file is None and weights is None:
        raise UserError("how do the texts become tokens? give --weights=FOLDER, or --tokenizer=tokenizer.json")
    return published_tokens(file or str(weight_files(weights or "")[0].parent / "tokenizer.json"), frame=True)
