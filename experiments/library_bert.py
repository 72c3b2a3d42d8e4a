"""Which package is this line from, with few labels? BERT fine-tuned from library_masked, or trained from scratch.

Data    lines of 16 packages of the standard library; only 5 % of the training lines, with their labels, are used.
Model   BERT: 2 blocks of width 96 over 2,048 byte-pair tokens, with mean pooling.
Expect  a test accuracy of 0.454 fine-tuned from library_masked and of 0.427 from scratch, means of three seeds, each of
        which improves; after 54 seconds of processor time each
Run     python launch.py --experiment=library_masked --workdir=runs/library_masked
        python launch.py --experiment=library_bert --init=runs/library_masked
"""

from fdl import optim
from fdl.data import Tokens, library_lines, library_tokens, texts
from fdl.experiment import Experiment
from fdl.models import BERT, SequenceClassifier
from fdl.runs.checkpoints.warm_start import of_run
from fdl.tasks import classify


def experiment(
    *,
    init: str | None = None,  # run folder of library_masked to initialise from
    labels: float = 0.05,  # fraction of the training lines used, with labels
    width: int = 96,  # model width
    depth: int = 2,  # blocks
    heads: int = 4,  # attention heads
    context: int = 64,  # maximum sequence length
    length: int = 26,  # maximum pieces of a line
    dropout: float = 0.1,  # dropout rate
    epochs: float = 12,  # passes over train
    batch_size: int = 32,  # lines per step
    learning_rate: float = 0.002,  # peak of the warm-up cosine
    weight_decay: float = 0.01,  # of AdamW
    seed: int = 0,  # of the labels, the initial weights, the dropout and the order of the lines
) -> Experiment:
    tokens = library_tokens()
    dataset = texts(library_lines(labels, seed=seed), tokens=Tokens(tokens, length=length))
    encoder = BERT(tokens.size, width, depth, heads, context=context, types=1, pooler=False, dropout=dropout)
    steps = dataset.steps(epochs, batch_size)
    return Experiment(
        model=SequenceClassifier(dataset.spec.outputs, encoder, mean=True),
        dataset=dataset,
        task=classify(dataset.spec.outputs),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps), weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        init_from=None if init is None else of_run(init, fresh=("head",)),
    )
