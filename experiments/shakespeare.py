"""The next letter of Shakespeare's plays, predicted by a GPT or an LSTM: a megabyte, downloaded by TFDS when asked for.

Data    tiny_shakespeare of TFDS, letter by letter, in its own three parts. It needs a network once.
Model   gpt: 4 blocks of width 128 with learned positions over windows of 64 letters; or an LSTM of as many layers.
Expect  not measured yet: no machine at hand could download the set. The bars are a test loss of 1.88 nats a letter for
        the GPT as it stands here, for a CPU, and below 1.47 for the GPT and 1.60 for the LSTM
Run     python launch.py --experiment=shakespeare
Try     --width=384 --depth=6 --heads=6 --length=256 --dropout=0.2 --batch_size=64 --steps=5000 (on a GPU)
        --model=lstm --width=512 --depth=2 --length=128 --dropout=0.3 --batch_size=64 --steps=5000 (on a GPU)
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import language, tfds
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.models.gpt import gpt
from fdl.tasks import next_token


def experiment(
    *,
    dataset: str = "tiny_shakespeare",  # a TFDS name, or the folder where it was prepared
    model: Literal["gpt", "lstm"] = "gpt",  # what reads
    width: int = 128,  # numbers per position, or in the state
    depth: int = 4,  # blocks or layers
    heads: int = 4,  # of the GPT's attention
    length: int = 64,  # letters in a window
    dropout: float = 0.0,  # dropout rate
    steps: int = 2000,  # updates
    batch_size: int = 12,  # windows per step
    learning_rate: float = 0.001,  # at its peak
    weight_decay: float = 0.1,  # of AdamW
    seed: int = 0,  # of the initial weights, the dropout and the order of the windows
) -> Experiment:
    data = language(tfds(dataset), inputs="text", tokens="chars", length=length)
    letters = data.spec.outputs
    readers: dict[str, nn.Module] = {
        "gpt": gpt(letters, width=width, depth=depth, heads=heads, context=length, dropout=dropout),
        "lstm": RNN(letters, vocabulary=letters, width=width, depth=depth, return_sequences=True, dropout=dropout),
    }
    return Experiment(
        model=readers[model],
        dataset=data,
        task=next_token(bytes_per_token=data.fitted["bytes_per_token"]),
        optimizer=optim.adamw(
            optim.warmup_cosine(learning_rate, steps, warmup=0.05, end=0.1), weight_decay=weight_decay, b2=0.99
        ),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
