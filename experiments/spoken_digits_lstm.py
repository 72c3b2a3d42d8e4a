"""What was said? Letters from sound: spoken digits in noise, by speakers that were never heard, with an LSTM and CTC.

Data    4,800 utterances of two to four digits by 48 synthetic speakers of five accents, said by eSpeak NG when first
        asked for; 500 by eight other speakers to be judged by. Needs espeakng-loader (extra `speech`).
Model   log-mel pictures on the device, read both ways by an LSTM that names a letter or nothing in each of 40 frames a
        second; CTC finds out where the letters are.
Expect  0.866 of the utterances without a fault and a letter error rate of 0.029, in ten minutes on two CPU cores that
        had much other work; the bar of 0.95 is missed.
Run     python launch.py --experiment=spoken_digits_lstm
Try     --most=6 (longer numbers), --width=64, --depth=1
"""

from fdl import optim
from fdl.data.augment import mask
from fdl.data.spoken_digits import spoken_digits
from fdl.experiment import Experiment
from fdl.models import RNN
from fdl.tasks import ctc


def experiment(
    *,
    most: int = 4,  # digits in an utterance, two at least
    bands: int = 40,  # mel bands
    width: int = 96,  # of the state, each way
    depth: int = 2,  # layers
    learning_rate: float = 3e-3,  # peak of the warm-up cosine
    batch_size: int = 32,  # utterances per step
    epochs: float = 12,  # passes over train
    seed: int = 0,  # of everything random but the utterances
) -> Experiment:
    """Make the experiment of this page."""
    data = spoken_digits(most=most, bands=bands, augment=mask(time=0.05, frequency=0.2))
    steps = data.steps(epochs, batch_size)
    return Experiment(
        model=RNN(data.spec.outputs, width=width, depth=depth, every_step=True, bidirectional=True),
        dataset=data,
        task=ctc(),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
    )
