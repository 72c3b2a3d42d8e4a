"""A character-level language model of Shakespeare, a GPT or an LSTM; one megabyte, downloaded by TFDS on first use.

Data    tiny_shakespeare of TFDS, as characters, in its published splits. It needs a network once.
Model   gpt: 4 blocks of width 128 with learned positions over windows of 64 letters; or an LSTM of as many layers.
Expect  not measured yet: no available machine could download the dataset. The bars are a test loss of 1.88 nats per
        letter for the GPT with these defaults (for a CPU), below 1.47 for the GPT and 1.60 for the LSTM under Try
Run     python launch.py --experiment=shakespeare
Try     --width=384 --depth=6 --heads=6 --length=256 --dropout=0.2 --batch_size=64 --steps=5000 (on a GPU)
        --model=lstm --width=512 --depth=2 --length=128 --dropout=0.3 --batch_size=64 --steps=5000 (on a GPU)
"""

from typing import Literal

import flax.linen as nn

from fdl import optim
from fdl.data import Tokens, language, tfds
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.models.gpt import gpt
from fdl.tasks import next_token


def experiment(
    *,
    dataset: str = "tiny_shakespeare",  # a TFDS name or a prepared TFDS folder
    model: Literal["gpt", "lstm"] = "gpt",  # architecture
    width: int = 128,  # model width or hidden state size
    depth: int = 4,  # blocks or layers
    heads: int = 4,  # attention heads of the GPT
    length: int = 64,  # letters per window
    dropout: float = 0.0,  # dropout rate
    steps: int = 2000,  # updates
    batch_size: int = 12,  # windows per step
    learning_rate: float = 0.001,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of AdamW
    seed: int = 0,  # of the initial weights, the dropout and the order of the windows
) -> Experiment:
    data = language(tfds(dataset), inputs="text", tokens=Tokens("chars", length=length))
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
