"""Models: pure linen modules, inputs to outputs, independent of tasks, datasets and devices."""

from fdl.models.alexnet import AlexNet
from fdl.models.bag import Bag
from fdl.models.bert import BERT, MaskedLM, SequenceClassifier, TokenClassifier, bert, distilbert, roberta
from fdl.models.cnn import CNN
from fdl.models.decoder import AutoregressiveDecoder
from fdl.models.detector import Detector
from fdl.models.gpt import gpt, gpt2
from fdl.models.mlp import MLP, Forecaster, window_features
from fdl.models.perceptron import Perceptron
from fdl.models.resnet import ResNet, cifar_resnet, resnet
from fdl.models.rnn import RNN
from fdl.models.seq2seq import Seq2SeqRNN, Seq2SeqTransformer, encoder_decoder
from fdl.models.tagger import Tagger
from fdl.models.transformer import Transformer
from fdl.models.vgg import VGG
from fdl.models.vit import ViT, vit

__all__ = [
    "BERT",
    "CNN",
    "MLP",
    "RNN",
    "VGG",
    "AlexNet",
    "AutoregressiveDecoder",
    "Bag",
    "Detector",
    "Forecaster",
    "MaskedLM",
    "Perceptron",
    "ResNet",
    "Seq2SeqRNN",
    "Seq2SeqTransformer",
    "SequenceClassifier",
    "Tagger",
    "TokenClassifier",
    "Transformer",
    "ViT",
    "bert",
    "cifar_resnet",
    "distilbert",
    "encoder_decoder",
    "gpt",
    "gpt2",
    "resnet",
    "roberta",
    "vit",
    "window_features",
]
