import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.neighbors import KNeighborsClassifier

from fdl.core.types import Batch, Sums, add_up
from fdl.tasks import embed

N = 60
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, N)
OUTPUTS = (RNG.normal(size=(N, 5)) + np.eye(5)[LABELS]).astype(np.float32)


def sums(task, rows: np.ndarray, pad: int = 0) -> Sums:
    targets = {"label": np.pad(LABELS[rows], (0, pad)), "row": np.pad(rows, (0, pad))}
    weights = np.pad(np.ones(len(rows), np.float32), (0, pad))
    return task(np.pad(OUTPUTS[rows], ((0, pad), (0, 0))), Batch(None, targets, weights))


def test_retrieval_and_verification_see_the_whole_split_in_any_pieces() -> None:
    unit = OUTPUTS / np.linalg.norm(OUTPUTS, axis=1, keepdims=True)
    task = embed(N + 5)
    order = RNG.permutation(N)
    pieces = [sums(task, order[at : at + 7], pad=2) for at in range(0, N, 7)]
    values = task.finish(add_up(jax.tree.map(lambda x: np.asarray(x)[None], piece) for piece in pieces))
    nearest = KNeighborsClassifier(1).fit(unit, LABELS).kneighbors(unit, 2)[1][:, 1]
    assert values["retrieval"] == pytest.approx(np.mean(LABELS[nearest] == LABELS))
    above = np.triu_indices(N, 1)
    near, same = (unit @ unit.T)[above], (LABELS[:, None] == LABELS[None])[above]
    assert values["auc"] == pytest.approx(sk.roc_auc_score(same, near), abs=1e-6)
    falsely, accepted, _ = sk.roc_curve(same, near)
    at = np.argmin(np.abs(falsely - (1 - accepted)))
    assert values["eer"] == pytest.approx(falsely[at], abs=0.01)


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_padding_does_not_change_the_loss_or_its_gradient(loss) -> None:
    def total(outputs: jax.Array, pad: int) -> jax.Array:
        targets = {"label": np.pad(LABELS[:20], (0, pad)), "row": np.pad(np.arange(20), (0, pad))}
        weights = np.pad(np.ones(20, np.float32), (0, pad))
        found = embed(N, loss=loss)(jnp.pad(outputs, ((0, pad), (0, 0))), Batch(None, targets, weights))["loss"]
        return found.total / found.weight

    plain, padded = (jax.value_and_grad(total)(jnp.asarray(OUTPUTS[:20]), pad) for pad in (0, 3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), plain, padded)
    assert np.isfinite(plain[1]).all()


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_going_down_the_gradient_brings_classes_together(loss) -> None:
    task, outputs = embed(N, loss=loss), jnp.asarray(OUTPUTS)
    batch = Batch(None, {"label": LABELS, "row": np.arange(N)}, np.ones(N, np.float32))
    slope = jax.jit(jax.grad(lambda x: task(x, batch)["loss"].total))
    before = task.finish(task(outputs, batch))["retrieval"]
    for _ in range(60):
        outputs -= 0.05 * slope(outputs)
    assert task.finish(task(outputs, batch))["retrieval"] > before + 0.4


@pytest.mark.parametrize("loss", ["contrastive", "triplet"])
def test_an_example_alone_weighs_nothing_and_has_a_finite_gradient(loss) -> None:
    def total(x: jax.Array) -> jax.Array:
        found = embed(3, loss=loss)(x, Batch(None, {"label": np.zeros(1, int), "row": np.zeros(1, int)}, np.ones(1)))
        assert float(jax.lax.stop_gradient(found["loss"].weight)) == 0
        return found["loss"].total

    assert np.isfinite(jax.grad(total)(jnp.ones((1, 4)))).all()
