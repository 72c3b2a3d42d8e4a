import json
import random
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file

sys.path.append(str(Path(__file__).parents[2] / "faults"))
import damage
from fdl.core.digest import digest
from fdl.core.errors import Damaged, Fault, NotFinite
from fdl.core.optimizer_state import ema
from fdl.models.leaf_names import flat_names
from fdl.runs import atomic_files
from fdl.runs.checkpoints.commit import Keep
from fdl.runs.checkpoints.digest import digest_of_json
from fdl.runs.checkpoints.manager import Checkpoints
from fdl.runs.checkpoints.structure import leaves, plain


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    damage.commit(folder)
    return folder


def test_what_was_saved_comes_back_bit_for_bit(pristine):
    for step in damage.STEPS:
        restored = Checkpoints(pristine).restore(step, damage.state(0))
        assert damage.same(restored, damage.state(step))
        assert jax.random.uniform(restored.key) == jax.random.uniform(damage.state(step).key)


def test_every_dtype_and_shape_comes_back(tmp_path):
    params = {
        "half": jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3),
        "byte": np.uint8([1, 2]),
        "flag": np.array([True, False]),
        "scalar": np.float32(0.1),
        "nothing": np.zeros((0, 3), np.float32),
    }
    state = damage.state(1)._replace(params=params)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state, {})
    checkpoints.wait()
    assert damage.same(checkpoints.restore(1, state), state)


def test_no_damage_is_loaded_and_each_is_named(pristine, tmp_path):
    rng = random.Random(0)
    wrong = [problem for _ in range(40) if (problem := damage.attempt(pristine, tmp_path / "work", rng))]
    assert wrong == []


def test_the_damaged_leaf_is_named(pristine, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(damage.state(10), {})
    checkpoints.wait()
    file = tmp_path / "10" / "meta.json"
    held = json.loads(file.read_text())
    held["commit"]["leaves"]["params/Dense_1/bias"]["digest"] = ""
    held["digest"] = digest_of_json(held["commit"])
    file.write_text(json.dumps(held))
    with pytest.raises(Damaged, match="params/Dense_1/bias"):
        checkpoints.restore(10, damage.state(0))


def test_another_structure_is_refused_by_name(pristine):
    state = damage.state(0)
    checkpoints = Checkpoints(pristine)
    belief = state._replace(opt_state=optax.adabelief(1e-3).init(state.params))
    with pytest.raises(ValueError, match=r"ScaleByAdamState.*there.*absent here"):
        checkpoints.restore(30, belief)
    wider = {**state.params, "Dense_0": {**state.params["Dense_0"], "bias": np.zeros(64, np.float32)}}
    with pytest.raises(ValueError, match=r"params/Dense_0/bias is float32\[48\] there and float32\[64\] here"):
        checkpoints.restore(30, state._replace(params=wider))
    integer = {**state.params, "Dense_0": {**state.params["Dense_0"], "bias": np.zeros(48, np.int32)}}
    with pytest.raises(ValueError, match=r"params/Dense_0/bias is float32\[48\] there and int32\[48\] here"):
        checkpoints.newest(state._replace(params=integer), print)


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, "lower")
    for step, score in enumerate([3.0, 1.0, 2.0, None, 2.5]):
        checkpoints.save(damage.state(step), {"score": score})
    checkpoints.wait()
    assert checkpoints.steps() == [1, 3, 4]
    assert checkpoints.best() == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_more_of_the_newest_and_one_in_so_many_steps_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, better="lower")
    checkpoints.keep = Keep(newest=3, every=10)
    for step in range(3, 46, 3):
        checkpoints.save(damage.state(step), {"score": abs(step - 6)})
        checkpoints.wait()
    assert checkpoints.steps() == [6, 12, 21, 30, 39, 42, 45]  # the best; the first from 10, 20, 30 and 40 on; the last


def test_plain_weights_lie_beside_each_state_averaged_where_it_averages(tmp_path):
    """NumPy reads a run: what is evaluated, by path, in a file whose bytes the commit answers for."""
    checkpoints, optimizer = Checkpoints(tmp_path), ema(optax.sgd(0.1), 0.9)
    state = damage.state(1)
    state = state._replace(
        opt_state=optimizer.init(jax.tree.map(lambda x: 2 * x, state.params)),
        model_state={"batch_stats": {"norm": {"mean": np.arange(3.0)}}},
    )
    checkpoints.save(state, {})
    checkpoints.wait()
    file = tmp_path / "1" / "weights.safetensors"
    tensors = load_file(file)
    np.testing.assert_array_equal(tensors.pop("batch_stats/norm/mean"), np.arange(3.0))
    assert tensors.keys() == flat_names({"params": state.params}).keys()
    for name, leaf in flat_names({"params": state.params}).items():
        np.testing.assert_array_equal(tensors[name], 2 * leaf)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Damaged, match=r"weights\.safetensors is damaged"):
        checkpoints.verify(1)


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path, "higher")
    for step, score in enumerate((float("nan"), 0.5), start=1):
        checkpoints.save(damage.state(step), {"score": score})
        checkpoints.wait()
    assert checkpoints.best() == 2


def test_a_failed_save_is_raised_once_and_leaves_no_draft(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(damage.state(1), {})
    checkpoints.wait()
    checkpoints.save(damage.state(2), {"not json": object()})
    with pytest.raises(Fault, match=r"checkpoint 2 was not saved.*kept: 1"):
        checkpoints.wait()
    checkpoints.check()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_system_without_threads_is_a_fault(tmp_path, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    checkpoints = Checkpoints(tmp_path)
    monkeypatch.setattr("threading.Thread.start", refuse)
    with pytest.raises(Fault, match=r"checkpoint 1 was not saved: memory or threads ran out.*kept: none"):
        checkpoints.save(damage.state(1), {})
    checkpoints.wait()


def test_a_state_that_is_not_finite_is_never_committed(tmp_path):
    state = damage.state(1)
    state.params["Dense_0"]["kernel"][3, 3] = np.nan
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(NotFinite, match="params/Dense_0/kernel is not finite"):
        checkpoints.save(state, {})
    assert checkpoints.steps() == []


def test_leftovers_are_swept_and_never_listed(tmp_path):
    for name in (".saving-7", ".removing-3", "damaged-9", "007", "²", "-1"):
        (tmp_path / name / "state").mkdir(parents=True)
    (tmp_path / "5").write_text("a file")
    (tmp_path / "6").symlink_to(tmp_path / "damaged-9")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps() == []
    assert checkpoints.resume(damage.state(0), print) is None
    assert not list(tmp_path.glob(".*"))
    checkpoints.save(damage.state(5), {})
    checkpoints.save(damage.state(6), {})
    checkpoints.wait()
    assert checkpoints.steps() == [5, 6]
    assert (tmp_path / "damaged-9" / "state").is_dir()


def test_everything_is_flushed_before_it_is_published(tmp_path, monkeypatch):
    flushed, published = set(), []
    rename = Path.rename

    def watch_rename(path, target):
        published.append((path, set(path.rglob("*")) | {path}))
        return rename(path, target)

    sync = atomic_files.sync
    monkeypatch.setattr(atomic_files, "sync", lambda handle, path: (flushed.add(path), sync(handle, path)))
    monkeypatch.setattr(Path, "rename", watch_rename)
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(damage.state(1), {})
    checkpoints.wait()
    ((_, held),) = published
    assert len(held) > 5
    assert held <= flushed
    assert tmp_path / "c" in flushed


def test_leaf_names_tell_kinds_apart():
    names = [name for name, _ in leaves(plain(damage.state(0)))]
    assert "opt_state/0/ScaleByAdamState.mu/Dense_0/bias" in names
    assert len(set(names)) == len(names)


def test_any_changed_byte_changes_the_digest():
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, 80_001, np.uint8)
    whole = digest(data)
    for at in [0, 32_767, 32_768, 65_536, 80_000, *rng.integers(0, len(data), 50)]:
        changed = data.copy()
        changed[at] ^= 1 << rng.integers(8)
        assert digest(changed) != whole
    swapped = data.reshape(-1).copy()
    swapped[:8], swapped[8:16] = data[8:16], data[:8]
    assert digest(swapped) != whole
    assert digest(np.zeros(8, np.uint8)) != digest(np.zeros(16, np.uint8))


def test_a_run_that_goes_on_below_a_damaged_step_takes_its_name_away(tmp_path):
    damage.commit(tmp_path)
    (tmp_path / "30" / "meta.json").write_text("{}")
    said = []
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.resume(damage.state(0), said.append).step == 20
    assert "30/meta.json" in said[0]
    assert checkpoints.steps() == [10, 20]
    assert (tmp_path / "damaged-30").is_dir()


def test_a_step_of_another_run_is_a_fault_and_its_weights_are_never_read(tmp_path):
    ours, theirs = Checkpoints(tmp_path, run="ours"), Checkpoints(tmp_path, run="theirs")
    theirs.save(damage.state(10), {})
    theirs.wait()
    for read in (lambda: ours.newest(damage.state(0), str), ours.best, lambda: ours.save(damage.state(10), {})):
        with pytest.raises(Fault, match=r"10 was saved by another run; remove it, or choose another folder"):
            read()
    assert Checkpoints(tmp_path).last() == 10  # whoever gives no run takes any: a warm start


def test_nothing_is_published_in_a_folder_that_is_another_s_by_now(tmp_path):
    taken = []

    def check_owner() -> None:
        if taken:
            raise Fault("the folder was taken")

    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", check_owner=check_owner)
    checkpoints.save(damage.state(10), {})
    checkpoints.wait()
    taken.append(True)
    with pytest.raises(Fault, match="the folder was taken"):
        checkpoints.save(damage.state(20), {})
    assert Checkpoints(tmp_path / "run" / "checkpoints").steps() == [10]


def test_a_folder_that_is_removed_during_a_save_is_not_made_again(tmp_path):
    folder, seen = tmp_path / "run" / "checkpoints", []

    def check_owner() -> None:  # the second look is that before a step is published
        seen.append(True)
        if len(seen) == 2:
            shutil.rmtree(tmp_path / "run")
            raise Fault("the folder was removed")

    checkpoints = Checkpoints(folder, check_owner=check_owner)
    checkpoints.save(damage.state(10), {})
    with pytest.raises(Fault, match="the folder was removed"):
        checkpoints.wait()
    assert not (tmp_path / "run").exists()
