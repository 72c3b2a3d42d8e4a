"""Models: pure linen modules, inputs to outputs. None knows a task, a dataset or a device."""

from fdl.models.cnn import CNN
from fdl.models.mlp import MLP
from fdl.models.perceptron import Perceptron
from fdl.models.rnn import RNN
from fdl.models.transformer import Transformer

__all__ = ["CNN", "MLP", "RNN", "Perceptron", "Transformer"]
