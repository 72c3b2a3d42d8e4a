"""What was said? Words from sound: spoken digits in noise, by speakers that were never heard, with an LSTM and CTC.

Data    9,600 utterances of two to four digits by 83 synthetic speakers of five accents, said by eSpeak NG when first
        asked for; 500 by eight other speakers to be judged by. Needs espeakng-loader (extra `speech`).
Model   log-mel pictures on the device, read both ways by an LSTM that names a word or nothing twenty times a second;
        CTC finds out where the words are. In training the frequencies are warped, as another throat would.
Expect  0.974 of the utterances without a fault and a word error rate of 0.009, after 280 seconds of processor time;
        11 of its 13 faults are made with two of the eight speakers: one whispers, one is a child
Run     python launch.py --experiment=spoken_digits_lstm
Try     --most=6 (longer numbers), --width=64, --depth=1
"""

from fdl import optim
from fdl.data import spoken_digits
from fdl.data.augment import chain, mask, warp
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.tasks import ctc


def experiment(
    *,
    most: int = 4,  # digits in an utterance, two at least
    bands: int = 40,  # mel bands
    width: int = 96,  # of the state, each way
    depth: int = 2,  # layers
    learning_rate: float = 6e-3,  # peak of the warm-up cosine
    weight_decay: float = 0.1,  # of matrices
    batch_size: int = 32,  # utterances per step
    epochs: float = 8,  # passes over train
    seed: int = 0,  # of everything random but the utterances
) -> Experiment:
    data = spoken_digits(most=most, bands=bands, augment=chain(warp(0.2), mask(time=0.05, frequency=0.2)))
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
