"""Generation from a run's checkpoint or from published weights, longer than the context if need be."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

import tiny
from fdl.data.datasets.synthetic import synthetic_tokens
from fdl.data.tokenizer import plain_bytes
from fdl.experiment import Experiment
from fdl.models import gpt
from fdl.models.sampling import Sampling
from fdl.modes.evaluate import evaluate
from fdl.modes.generate import generate
from fdl.modes.train import train
from fdl.tasks import next_token


def experiment(**changes):
    made = Experiment(
        model=gpt(256, width=8, depth=1, heads=2, context=8),
        dataset=replace(synthetic_tokens(8, size=32), tokenizer=plain_bytes()),
        task=next_token(),
        optimizer=optax.sgd(0.1),
        batch_size=8,
        steps=2,
        name="tiny_gpt",
    )
    return replace(made, **changes)


def silent(text):
    pass


def test_a_trained_model_writes_past_its_context_the_same_for_the_same_seed(tmp_path):
    train(experiment(), tmp_path / "run", log=silent)
    texts = [
        generate(experiment(), tmp_path / "run", "abc", max_tokens=15, sampling=Sampling(seed=seed), log=silent)
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].startswith("abc")


def test_published_weights_need_no_run(tmp_path):
    def start(drawn):
        embedding = np.zeros((256, 8), np.float32)
        embedding[ord("z")] = 1.0
        params = jax.tree.map(np.zeros_like, drawn["params"])
        params["embed"]["embedding"] = embedding
        params["norm"]["bias"] = np.ones(8, np.float32)  # every position says z
        return {**drawn, "params": params}

    text = generate(
        experiment(init_from=start),
        tmp_path / "none",
        "ab",
        max_tokens=3,
        sampling=Sampling(temperature=0.0),
        log=silent,
    )
    assert text == "abzzz"


@pytest.mark.parametrize(
    ("made", "prompt", "message"),
    [
        (experiment(), "ab", "holds no run; train first"),
        (experiment(init_from=lambda drawn: drawn), "", "--prompt is empty"),
        (tiny.experiment(), "ab", "MLP of tiny cannot generate"),
        (experiment(dataset=synthetic_tokens(8, size=32)), "ab", "has no tokenizer"),
    ],
)
def test_what_cannot_write_says_why(made, prompt, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        generate(made, tmp_path / "none", prompt)


def test_published_weights_are_measured_without_a_run(tmp_path):
    made = experiment(init_from=lambda drawn: jax.tree.map(np.zeros_like, drawn))
    result = evaluate(made, tmp_path / "none", log=silent)
    assert result["step"] == 0
    assert result["metrics"]["test"]["loss"] == pytest.approx(np.log(256))
    assert not (tmp_path / "none").exists()  # a run may still begin there
