import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.core.types import Batch
from fdl.data.datasets.library import PACKAGES, library_lines, library_text
from fdl.data.modalities.masked_text import hide, masked
from fdl.data.tokenizer import NUM_SPECIAL_TOKENS, START, UNKNOWN, fit_tokens, with_bos


def test_no_line_is_in_two_splits_and_every_package_is_in_each():
    records = library_lines()
    lines = [line for split in records.sizes for line in records.column(split, "line")]
    assert len(lines) == len(set(lines)) > 30_000
    for split in records.sizes:
        assert set(records.column(split, "package")) == set(range(len(PACKAGES)))


def test_few_labels_leave_the_other_splits_alone():
    whole, few, others = library_lines(), library_lines(0.05, seed=1), library_lines(0.05, seed=2)
    assert few.sizes == {**whole.sizes, "train": round(0.05 * whole.sizes["train"])}
    assert few.column("test", "line") == whole.column("test", "line")
    known = dict(zip(whole.column("train", "line"), whole.column("train", "package"), strict=True))
    pairs = zip(few.column("train", "line"), few.column("train", "package"), strict=True)
    assert all(known[line] == package for line, package in pairs)
    assert few.column("train", "line") != others.column("train", "line")
    with pytest.raises(ValueError, match=r"labels 0\.0 is no share"):
        library_lines(0.0)


def test_what_is_read_without_labels_holds_nothing_that_is_judged_on():
    text, judged = library_text(together=4), library_lines()
    parts = [part.split("\n") for split in text.sizes for part in text.column(split, "lines")]
    read = {line for part in parts for line in part}
    assert read.isdisjoint(judged.column("test", "line"))
    assert read.isdisjoint(judged.column("validation", "line"))
    assert read >= set(judged.column("train", "line"))
    assert len(read) == sum(map(len, parts))
    assert set(map(len, parts)) == {1, 2, 3, 4}


VOCABULARY, SHARE = 300, 0.15


@pytest.fixture(scope="module")
def batch():
    tokens = np.random.default_rng(0).integers(NUM_SPECIAL_TOKENS, VOCABULARY, (2000, 20)).astype(np.int32)
    weights = (np.arange(20) < np.arange(2000)[:, None] % 21).astype(np.float32)
    return Batch({"inputs": tokens, "lengths": weights.sum(1).astype(np.int32)}, tokens, weights)


def test_a_share_of_what_counts_is_chosen_and_mostly_hidden(batch):
    hidden = jax.jit(hide(VOCABULARY, share=SHARE))(jax.random.key(3), batch)
    shown, chosen, count = np.asarray(hidden.inputs["inputs"]), np.asarray(hidden.weights) > 0, batch.weights.sum(1)
    np.testing.assert_array_equal(chosen.sum(1), np.where(count == 0, 0, np.maximum(1, np.round(SHARE * count))))
    assert not chosen[batch.weights == 0].any()
    np.testing.assert_array_equal(hidden.targets, batch.targets)
    np.testing.assert_array_equal(shown[~chosen], batch.targets[~chosen])
    assert (shown[chosen] == UNKNOWN).mean() == pytest.approx(0.8, abs=0.03)
    assert (shown[chosen] == batch.targets[chosen]).mean() == pytest.approx(0.1, abs=0.03)


def test_what_is_hidden_is_a_function_of_the_key_and_the_place(batch):
    augment = jax.jit(hide(VOCABULARY))
    once, again, other = (augment(jax.random.key(seed), batch) for seed in (0, 0, 1))
    part = augment(jax.random.key(0), jax.tree.map(lambda x: x[:8], batch))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), once, again))
    assert not jnp.array_equal(once.weights, other.weights)
    np.testing.assert_array_equal(part.weights, once.weights[:8])


def test_training_shows_all_and_evaluation_hides_the_same_each_time():
    records, tokenizer = library_text(), with_bos(fit_tokens("bytes", []))
    few = {split: records.column(split, "lines")[:5] for split in records.sizes}
    from fdl.data.records import Records

    small = Records(
        name="small",
        fields=records.fields,
        sizes=dict.fromkeys(few, 5),
        read=lambda split, indices, names: {"lines": [few[split][i] for i in indices]},
        contents=lambda: "of the files",
    )
    assert masked(small, tokenizer, column="lines", length=16).contents() == "of the files"
    train, test = (masked(small, tokenizer, column="lines", length=16).load(split) for split in ("train", "test"))
    shown = train.fetch(np.arange(5))
    np.testing.assert_array_equal(shown.inputs["inputs"], shown.targets)
    assert (shown.targets[:, 0] == START).all()
    assert (shown.weights[:, 0] == 0).all()
    kept, again = (masked(small, tokenizer, column="lines", length=16).load("test").fetch(np.arange(5)) for _ in "ab")
    np.testing.assert_array_equal(kept.inputs["inputs"], again.inputs["inputs"])
    assert 0 < kept.weights.sum() < test.fetch(np.arange(5)).targets.size / 2
