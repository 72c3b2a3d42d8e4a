from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import fdl
import tiny
from fdl import optim
from fdl.core import optimizer_state, steps
from fdl.core.description import describe
from fdl.core.types import TrainState
from fdl.engine.options import (
    apply_options,
    with_ema,
    with_frozen,
    with_init,
    with_matmul_precision,
    with_precision,
)
from fdl.engine.program import step_of
from fdl.experiment import Experiment
from fdl.models import MLP, Transformer
from fdl.pages import PARTS
from fdl.runs.checkpoints.warm_start import of_run
from fdl.tasks import classify


def made(**changes) -> Experiment:
    parts = {"model": MLP(outputs=3, hidden=(4,)), "optimizer": optim.adamw(0.01, weight_decay=0.1), **changes}
    return tiny.experiment(**parts)


def drawn(experiment: Experiment) -> TrainState:
    """A state with weights from NumPy: compiling an init costs more than the claims."""
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: steps.init(MLP(outputs=3, hidden=(4,)), optax.identity(), experiment.example(), 0))
    params = jax.tree.map(lambda x: random.normal(size=x.shape).astype(x.dtype), shapes.params)
    return TrainState(jnp.zeros((), jnp.int32), params, experiment.optimizer.init(params), {}, jax.random.key(0))


def path(experiment: Experiment) -> list[TrainState]:
    """The states after none, one, two and three steps."""
    step, states = jax.jit(step_of(experiment)), [drawn(experiment)]
    for _ in range(3):
        states.append(step(states[-1], tiny.batch(experiment, np.ones(8)))[0])
    return states


def trained(experiment: Experiment) -> TrainState:
    return path(experiment)[-1]


def test_an_average_changes_nothing_but_the_evaluation() -> None:
    plain, average = path(made()), trained(with_ema(made(), 0.9))
    tiny.same(plain[-1].params, average.params)
    expected = plain[0].params
    for count, state in enumerate(plain[1:]):
        keep = min(0.9, (1 + count) / (10 + count))
        expected = jax.tree.map(lambda a, w, d=keep: d * a + (1 - d) * w, expected, state.params)
    tiny.close(expected, average.opt_state.average, 1e-5)
    batch = tiny.batch(made(), np.ones(8))
    evaluate = steps.eval_step(made().model, made().task)
    tiny.close(evaluate(average, batch)[1], evaluate(plain[-1]._replace(params=expected), batch)[1], 1e-5)


def test_what_is_frozen_stays_bit_for_bit_and_costs_no_memory() -> None:
    experiment = with_frozen(made(), ["Dense_0"])
    first, last = drawn(experiment), trained(experiment)
    tiny.same(first.params["Dense_0"], last.params["Dense_0"])
    assert np.all(first.params["Dense_1"]["kernel"] != last.params["Dense_1"]["kernel"])
    moments = [leaf for leaf in jax.tree.leaves(last.opt_state) if leaf.ndim > 0]
    assert {leaf.shape for leaf in moments} == {leaf.shape for leaf in jax.tree.leaves(last.params["Dense_1"])}


@pytest.mark.parametrize(
    ("option", "message"), [({"ema_decay": 0.0}, "ema_decay 0.0"), ({"freeze": ["", ""]}, "empty path")]
)
def test_an_option_that_would_do_nothing_is_refused(option, message) -> None:
    with pytest.raises(ValueError, match=message):
        apply_options(tiny.experiment(), **option)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init") / "source"
    return fdl.train(made(seed=5), folder, log=None), folder


def test_a_run_starts_from_the_weights_of_another_less_fresh_modules(source) -> None:
    report, folder = source
    begun, anew = with_init(made(), str(folder)), with_init(made(), str(folder), ["Dense_1"])
    tiny.same(begun.init().params, report.restore("last").params)
    tiny.same(anew.init().params["Dense_0"], begun.init().params["Dense_0"])
    tiny.same(anew.init().params["Dense_1"], made().init().params["Dense_1"])
    assert begun.identity()[PARTS]["weights"]
    assert anew.identity()["fresh"] == "Dense_1"


def test_another_head_is_refused_by_name_with_a_way_out_that_works(source, tmp_path) -> None:
    other = replace(made(), model=MLP(outputs=4, hidden=(4,)), task=classify(4), dataset=tiny.dataset(classes=4))
    with pytest.raises(ValueError, match=r"Dense_1/\w+ is \[.*3\] in the weights .*give --fresh=Dense_1 to initialise"):
        fdl.train(with_init(other, str(source[1])), tmp_path / "run", log=None)
    assert fdl.train(with_init(other, str(source[1]), ["Dense_1"]), tmp_path / "run", log=None)["step"] == 12


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"fresh": ["Dense_1"]}, "add --init=RUN"),
        ({"init": "az://b/run"}, "--init=az://b/run is an address"),
        ({"init": ""}, "init is empty"),
        ({"init": "absent"}, "absent holds no checkpoint to initialise from"),
        ({"init": "SOURCE", "fresh": ["head"]}, "no parameter is below 'head'.* the model has Dense_0, Dense_1"),
        ({"init": "SOURCE", "fresh": [""]}, "empty path"),
    ],
)
def test_a_start_that_is_none_is_one_line(source, option, message) -> None:
    option = {name: str(source[1]) if value == "SOURCE" else value for name, value in option.items()}
    with pytest.raises(ValueError, match=message):
        apply_options(made(), **option).init()
    with pytest.raises(ValueError, match="starts from weights of its own"):
        with_init(made(init_from=lambda variables: variables), str(source[1]))


def test_a_page_that_chooses_what_is_fresh_says_so(source) -> None:
    page = made(init_from=of_run(source[1], fresh=("Dense_1",)))
    with pytest.raises(ValueError, match=r"chooses what stays as initialised \(Dense_1\); leave it out"):
        apply_options(page, fresh=["Dense_1"])


def test_a_path_that_leads_nowhere_is_named() -> None:
    with pytest.raises(ValueError, match="no parameter is below 'Dense'; the model has Dense_0, Dense_1"):
        drawn(with_frozen(made(), ["Dense"]))


def test_each_group_has_its_own_rate_and_decay() -> None:
    params = {"body": {"kernel": jnp.ones((2, 2))}, "head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    optimizer = optim.groups(
        {"head": optim.sgd(1.0, momentum=0.0)}, rest=optim.sgd(0.1, momentum=0.0, weight_decay=0.5)
    )
    updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    assert jax.tree.map(lambda u: float(u.reshape(-1)[0]), updates) == {
        "body": {"kernel": pytest.approx(-0.15)},
        "head": {"kernel": -1.0, "bias": -1.0},
    }


def test_a_scaled_loss_gives_the_very_same_updates() -> None:
    scaled = replace(made(), optimizer=optimizer_state.dynamic_loss_scale(made().optimizer))
    tiny.same(trained(made()).params, trained(scaled).params)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_sixteen_bits_compute_and_thirty_two_remember(precision) -> None:
    half = trained(with_precision(made(), precision))
    for leaf in jax.tree.leaves(half.params):
        assert leaf.dtype == jnp.float32
    program = str(jax.make_jaxpr(step_of(with_precision(made(), precision)))(half, tiny.batch(made(), np.ones(8))))
    assert {"bfloat16": "bf16[", "float16": "f16["}[precision] in program
    tiny.close(half.params, trained(made()).params, 0.05)


def test_options_compose_and_belong_to_the_identity() -> None:
    experiment = apply_options(made(), freeze=["Dense_0"], precision="float16", ema_decay=0.9)
    state = trained(experiment)
    tiny.same(drawn(experiment).params["Dense_0"], state.params["Dense_0"])
    assert optimizer_state.loss_scale(state.opt_state) == 2.0**15
    assert experiment.identity().items() >= {"freeze": "Dense_0", "precision": "float16", "ema_decay": 0.9}.items()
    assert made().identity() == apply_options(made()).identity()


def test_computing_again_keeps_less_and_gives_the_same_gradient() -> None:
    kept = Transformer(3, None, 16, 1, 2, context=8, dropout=0.2)
    x = np.random.default_rng(0).normal(size=(2, 8, 3)).astype(np.float32)
    random = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: kept.init(jax.random.key(0), x))
    variables = jax.tree.map(lambda leaf: 0.1 * random.normal(size=leaf.shape).astype(np.float32), shapes)

    def loss(model, variables):
        return (model.apply(variables, x, train=True, rngs={"dropout": jax.random.key(1)}) ** 2).sum()

    def residuals(remat) -> int:
        model = kept.clone(remat=remat)
        _, backward = jax.eval_shape(lambda v: jax.vjp(lambda v: loss(model, v), v), variables)
        return sum(leaf.size for leaf in jax.tree.leaves(backward))

    assert residuals("all") < residuals("dots") < residuals("none")
    models = (kept, kept.clone(remat="all"))
    whole, again = (jax.jit(jax.grad(lambda v, m=model: loss(m, v)))(variables) for model in models)
    tiny.close(whole, again, 1e-5)


def test_the_precision_of_products_is_set_for_the_process_and_part_of_the_run() -> None:
    before = jax.config.jax_default_matmul_precision
    try:
        experiment = apply_options(made(), matmul_precision="highest")
        assert jax.config.jax_default_matmul_precision == "highest"
        assert experiment.identity()["matmul_precision"] == "highest"
        batch = tiny.batch(experiment, np.ones(8))
        lowered = jax.jit(step_of(experiment)).lower(experiment.init(), batch).as_text()
        assert "precision = [HIGHEST, HIGHEST]" in lowered
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    assert "precision = [HIGHEST" not in jax.jit(step_of(made())).lower(experiment.init(), batch).as_text()
    with pytest.raises(ValueError, match="matmul_precision 'exact' is not one of default, high, highest"):
        with_matmul_precision(made(), "exact")  # type: ignore[arg-type]


def test_an_optimizer_a_schedule_and_clipping_by_name_keep_the_rest_of_the_page() -> None:
    page = made(optimizer=optim.adamw(optim.warmup_cosine(0.01, 12), weight_decay=0.1, b2=0.95))
    changed = apply_options(page, optimizer="muon", schedule="warmup_linear", clip=0.5)
    expected = optim.muon(optim.warmup_linear(0.01, 12), weight_decay=0.1, clip=0.5)
    assert describe(changed.optimizer) == describe(expected)
    assert changed.identity().items() >= {"optimizer": "muon", "schedule": "warmup_linear", "clip": 0.5}.items()
    constant = apply_options(page, schedule="constant", clip=0.0).optimizer
    assert describe(constant) == describe(optim.adamw(0.01, weight_decay=0.1, clip=None, b2=0.95))
    rates = optim.warmup_constant(1.0, rise=4), optim.warmup_linear(1.0, 20, end=0.5)
    assert [float(rates[0](step)) for step in (0, 3, 4, 999)] == [0.25, 0.8125, 1.0, 1.0]
    assert [float(rates[1](step)) for step in (0, 2, 11, 20)] == pytest.approx([0.5, 1.0, 0.75, 0.5])


def peak(experiment):
    rate = optim.learning_rate(experiment.optimizer)
    return float(rate(max(1, round(0.1 * experiment.steps))) if callable(rate) else rate)


def test_sgd_takes_a_rate_that_trains_unless_one_was_chosen_and_says_so(tmp_path) -> None:
    page = fdl.load("digits_mlp", epochs=1.0)
    assert peak(apply_options(page, optimizer="sgd")) == pytest.approx(30 * 0.003)
    assert peak(apply_options(page, optimizer="sgd", schedule="constant")) == pytest.approx(30 * 0.003)
    assert peak(apply_options(page, optimizer="muon")) == pytest.approx(0.003)
    assert peak(apply_options(fdl.load("digits_mlp", learning_rate=0.05), optimizer="sgd")) == pytest.approx(0.05)
    decays = apply_options(made(optimizer=optim.adamw(0.01, weight_decay=0.3)), optimizer="sgd")
    assert describe(decays.optimizer) == describe(
        optim.sgd(0.01 * 30, weight_decay=0.3 / 30, clip=1.0)
    )  # shrinks as before
    back = apply_options(made(optimizer=optim.sgd(0.3, weight_decay=0.01)), optimizer="adamw")
    assert describe(back.optimizer) == describe(optim.adamw(0.3 / 30, weight_decay=0.01 * 30, clip=None))
    lines: list[str] = []
    report = fdl.train(apply_options(page, optimizer="sgd"), tmp_path / "run", log=lines.append)
    assert "optimizer sgd: learning rate 0.09, for this page's default; SGD takes 30 times AdamW's" in "\n".join(lines)
    assert peak(report.restore().experiment) == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": -1.0}, "clip -1.0 is not 0 or more"),
        ({"clip": float("nan")}, "clip nan is not"),
        ({"optimizer": "adam"}, "optimizer 'adam' is not one of adamw, muon, sgd"),
        ({"schedule": "cosine"}, "schedule 'cosine' is not one of warmup_cosine"),
        ({"remat": "all"}, "MLP has no Transformer blocks"),
    ],
)
def test_an_optimizer_that_cannot_be_is_one_line(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        apply_options(made(), **options)


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1), optim.groups({"Dense_0": optim.sgd(0.1)}, rest=optim.sgd(0.2))])
def test_what_a_page_composed_is_left_to_it(optimizer) -> None:
    with pytest.raises(ValueError, match=r"--clip: tiny composes its optimizer for its model, .*; leave it out"):
        apply_options(replace(made(), optimizer=optimizer), clip=1.0)
    bare = optim.sgd(optax.cosine_decay_schedule(0.1, 12))
    with pytest.raises(ValueError, match="has a schedule without a peak"):
        apply_options(replace(made(), optimizer=bare), schedule="constant")


def test_what_a_page_freezes_stays_frozen_by_another_optimizer() -> None:
    changed = apply_options(replace(made(), optimizer=optim.frozen(optim.adamw(0.1), ["Dense_0"])), optimizer="sgd")
    assert describe(changed.optimizer) == describe(optim.frozen(optim.sgd(3.0, clip=1.0), ["Dense_0"]))


def test_a_transformer_computes_again_by_its_option() -> None:
    experiment = replace(made(), model=Transformer(3, None, 16, 1, 2, context=8))
    changed = apply_options(experiment, remat="all")
    assert changed.model.remat == "all"
    assert changed.identity()["remat"] == "all"


def test_a_start_takes_the_best_checkpoint_and_says_which(tmp_path) -> None:
    worsening = made(steps=80, evaluate_every=4, patience=2, optimizer=optim.adamw(0.3, weight_decay=0.1))
    report = fdl.train(worsening, tmp_path / "source", log=None)
    assert report["best_step"] < report["step"]
    lines: list[str] = []
    begun = with_init(made(), str(tmp_path / "source"))
    tiny.same(begun.init().params, report.restore("best").params)
    fdl.train(begun, tmp_path / "run", log=lines.append)
    assert f"at step {report['best_step']}, its best by validation loss" in "".join(lines)
