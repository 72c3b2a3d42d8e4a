"""Addition as sequence to sequence: an encoder-decoder maps "75 48 03" to "2340" and learns to carry.

Data    generated from a seed: 50,000 sums of two three-digit numbers for training and 5,000 others for evaluation, the
        digits interleaved as in column addition, units first: 047 + 385 = 0432.
Model   encoder-decoder with GRU cells: a bidirectional encoder, a decoder with attention.
Expect  0.9999 of the unseen sums exactly right, greedily decoded, the mean of three seeds, in under a minute on two
        busy CPU cores
Run     python launch.py --experiment=addition_gru
Try     --noaligned ("047+385": the model must also learn which digits align), --model=transformer, --digits=6
"""

from typing import Literal

from fdl import models, optim
from fdl.data import Tokens, addition, pairs
from fdl.experiment import Experiment
from fdl.tasks import seq2seq


def experiment(
    *,
    digits: int = 3,  # of each of the two numbers
    aligned: bool = True,  # digits interleaved, units first; else "047+385"
    model: Literal["gru", "transformer"] = "gru",
    width: int = 64,  # of embeddings and layers
    depth: int = 1,  # layers on each side
    learning_rate: float = 5e-3,  # peak of the warm-up cosine
    batch_size: int = 128,  # sums per step
    steps: int = 1000,  # updates
    seed: int = 0,  # of everything random except the sums
) -> Experiment:
    source_length, target_length = 3 * digits - 1 if aligned else 2 * digits + 1, digits + 2
    data = pairs(
        addition(digits, aligned=aligned),
        tokens=Tokens("chars", length=source_length),
        target_tokens=Tokens("chars", length=target_length),
    )
    return Experiment(
        model=models.encoder_decoder(
            model,
            data.spec.outputs,
            data.spec.vocabulary,
            width=width,
            depth=depth,
            context=max(source_length, target_length),
        ),
        dataset=data,
        task=seq2seq(),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
