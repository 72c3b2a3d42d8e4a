"""Generate text from a prompt with a language model."""

import inspect
from pathlib import Path

import jax
import numpy as np

from fdl.core.errors import UserError
from fdl.core.log import Log, logger
from fdl.engine.placement import prepare
from fdl.experiment import Experiment
from fdl.models.sampling import PLAIN, Sampling, write
from fdl.modes.evaluate import trained
from fdl.runs.checkpoints.manager import Which
from fdl.runs.workdir import local
from fdl.trained import variables_of


def generate(
    experiment: Experiment,
    workdir: Path | str,
    prompt: str,
    *,
    max_tokens: int = 200,
    sampling: Sampling = PLAIN,
    checkpoint: Which = "tested",
    log: Log | None = print,
) -> str:
    """Return and print the prompt and its continuation of `max_tokens` tokens.

    The weights are those of the run's checkpoint, or the published ones if there is no run.
    When the text exceeds the model's context, generation continues from its latter half.
    """
    log = logger(log)
    model, tokenizer = experiment.model, experiment.dataset.tokenizer
    if "decode" not in inspect.signature(type(model).__call__).parameters:
        raise UserError(f"{type(model).__name__} of {experiment.name} cannot generate; try pydoc_gpt or gpt2")
    if tokenizer is None:
        raise UserError(f"dataset {experiment.dataset.name!r} has no tokenizer; try pydoc_gpt")
    sampling.check()
    tokens = [int(token) for token in tokenizer.encode(prompt)]
    if not tokens:
        raise UserError("--prompt is empty; give the model a text to continue")
    prepare(experiment)  # refuse an unavailable accelerator before reading anything
    _, state = trained(experiment, local(workdir), checkpoint, log)
    variables = variables_of(state)
    context = getattr(model, "context", None) or len(tokens) + max_tokens
    key = jax.random.key(sampling.seed)
    generated = 0
    while generated < max_tokens:
        fits = len(tokens) + max_tokens - generated - 1 <= context  # the last token is never fed back
        window = tokens if fits else tokens[-max(1, context // 2) :]
        count = min(max_tokens - generated, context - len(window) + 1)
        new_tokens = write(
            model,
            variables,
            np.array([window], np.int32),
            jax.random.fold_in(key, generated),
            count=count,
            sampling=sampling,
        )
        tokens += [int(token) for token in new_tokens[0]]
        generated += count
    text = tokenizer.decode(tokens)
    log(text)
    return text
