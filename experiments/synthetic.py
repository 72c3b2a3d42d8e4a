"""Synthetic data for any model: a benchmark of this machine in steps per second.

Data    generated from a seed at the start, so nothing is read or downloaded: images in which each class is a pattern
        under noise, or, for the gpt and the lstm, tokens of a Markov chain.
Expect  the steps/s at the end of the run; the loss falls, since the data can be learned
Run     python launch.py --experiment=synthetic --model=cnn --width=64 --side=32
"""

from typing import Literal

from flax import linen as nn

from fdl import optim
from fdl.data import synthetic, synthetic_tokens
from fdl.experiment import Experiment
from fdl.models import CNN, MLP, RNN, Perceptron, Transformer
from fdl.tasks import classify, next_token


def experiment(
    *,
    model: Literal["perceptron", "mlp", "cnn", "rnn", "vit", "lstm", "gpt"] = "mlp",  # the last two take tokens
    width: int = 128,  # units, channels or model width
    depth: int = 2,  # layers, stages or blocks
    side: int = 28,  # height and width of the images
    channels: int = 1,  # of the images
    classes: int = 10,  # of the images
    length: int = 128,  # tokens per window
    vocabulary: int = 256,  # vocabulary size
    size: int = 4096,  # training examples
    steps: int = 200,  # updates
    batch_size: int = 64,  # examples per step
    learning_rate: float = 0.001,  # constant
    seed: int = 0,  # of the data, the initial weights and the order of the examples
) -> Experiment:
    sequence = model in ("lstm", "gpt")
    models: dict[str, nn.Module] = {
        "perceptron": Perceptron(outputs=classes),
        "mlp": MLP(outputs=classes, hidden=(width,) * depth),
        "cnn": CNN(outputs=classes, channels=(width,) * depth, hidden=(width,)),
        "rnn": RNN(outputs=classes, width=width, depth=depth),
        "vit": Transformer(outputs=classes, width=width, depth=depth, context=side),
        "lstm": RNN(outputs=vocabulary, vocabulary=vocabulary, width=width, depth=depth, return_sequences=True),
        "gpt": Transformer(
            outputs=vocabulary,
            vocabulary=vocabulary,
            width=width,
            depth=depth,
            context=length,
            causal=True,
            return_sequences=True,
        ),
    }
    data = (
        synthetic_tokens(length, vocabulary=vocabulary, size=size, seed=seed)
        if sequence
        else synthetic((side, side, channels), classes=classes, size=size, seed=seed)
    )
    return Experiment(
        model=models[model],
        dataset=data,
        task=next_token() if sequence else classify(classes),
        optimizer=optim.adamw(learning_rate),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
