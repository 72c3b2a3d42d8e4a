"""Speech recognition with a bidirectional LSTM and CTC: spoken digits in noise, by unseen speakers.

Data    9,600 utterances of two to four digits by 83 synthetic speakers of five accents, synthesised by eSpeak NG on
        first use; 500 by eight other speakers for evaluation. Needs espeakng-loader (extra `speech`).
Model   log-mel spectrograms computed on the device, a bidirectional LSTM with twenty outputs a second, CTC loss.
        Augmentation: vocal tract length perturbation (VTLP) and SpecAugment.
Expect  0.974 of the utterances exactly right and a word error rate of 0.009, after 280 seconds of processor time; 11
        of its 13 errors are on two of the eight speakers: one whispers, one is a child
Run     python launch.py --experiment=spoken_digits_lstm
Try     --most=6 (longer numbers), --width=64, --depth=1
"""

from fdl import optim
from fdl.data import spoken_digits
from fdl.data.augment import chain, spec_augment, vtlp
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.tasks import ctc


def experiment(
    *,
    most: int = 4,  # maximum digits per utterance, at least 2
    bands: int = 40,  # mel bands
    width: int = 96,  # hidden state size per direction
    depth: int = 2,  # layers
    learning_rate: float = 6e-3,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of kernels
    batch_size: int = 32,  # utterances per step
    epochs: float = 8,  # passes over train
    seed: int = 0,  # of everything random except the utterances
) -> Experiment:
    data = spoken_digits(most=most, bands=bands, augment=chain(vtlp(0.2), spec_augment(time=0.05, frequency=0.2)))
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=RNN(data.spec.outputs, width=width, depth=depth, return_sequences=True, bidirectional=True),
        dataset=data,
        task=ctc(),
        optimizer=optim.muon(optim.warmup_cosine(learning_rate, steps), weight_decay=weight_decay),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
