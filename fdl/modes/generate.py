"""Generation: a language model goes on where a prompt ends."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from fdl.core import optimizer_state
from fdl.engine.placement import prepare
from fdl.experiment import Experiment
from fdl.models.sampling import PLAIN, Sampling, write
from fdl.modes.evaluate import trained
from fdl.runs.workdir import local


def generate(
    experiment: Experiment,
    workdir: Path | str,
    prompt: str,
    *,
    max_tokens: int = 200,
    sampling: Sampling = PLAIN,
    checkpoint: Literal["last", "best"] = "last",
    log: Callable[[str], None] = print,
) -> str:
    """Return and print the prompt and what the model writes after it, `max_tokens` tokens.

    The weights are those of the run's checkpoint, or the published ones where there is no run.
    A text longer than the model's context goes on from its latter half.
    """
    model, tokenizer = experiment.model, experiment.dataset.tokenizer
    if "decode" not in inspect.signature(type(model).__call__).parameters:
        raise ValueError(f"{type(model).__name__} of {experiment.name} does not write; try pydoc_gpt or gpt2")
    if tokenizer is None:
        raise ValueError(f"dataset {experiment.dataset.name!r} does not say how text becomes tokens; try pydoc_gpt")
    sampling.check()
    tokens = [int(token) for token in tokenizer.encode(prompt)]
    if not tokens:
        raise ValueError("--prompt is empty; give the model something to go on from")
    prepare(experiment)  # an accelerator that is not there is refused before anything is read
    _, state = trained(experiment, local(workdir), checkpoint, log)
    variables = {"params": optimizer_state.evaluated(state.params, state.opt_state), **state.model_state}
    context = getattr(model, "context", None) or len(tokens) + max_tokens
    key = jax.random.key(sampling.seed)
    written = 0
    while written < max_tokens:
        fits = len(tokens) + max_tokens - written - 1 <= context  # the last token is written and never read
        window = tokens if fits else tokens[-max(1, context // 2) :]
        count = min(max_tokens - written, context - len(window) + 1)
        more = write(
            model,
            variables,
            np.array([window], np.int32),
            jax.random.fold_in(key, written),
            count=count,
            sampling=sampling,
        )
        tokens += [int(token) for token in more[0]]
        written += count
    text = tokenizer.decode(tokens)
    log(text)
    return text
