"""Options for any experiment: composable functions from one experiment to another.

All are off by default and part of a run's identity; a page may use the same building blocks itself.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypedDict, Unpack, get_args

import jax
import jax.numpy as jnp
import optax

from fdl import optim, pages
from fdl.core import optimizer_state
from fdl.core.errors import UserError
from fdl.core.recorded import name_of, recipe_of
from fdl.engine.balance import balanced
from fdl.engine.folds import folded
from fdl.experiment import Experiment
from fdl.runs import workdir
from fdl.runs.checkpoints.warm_start import of_run

Precision = Literal["bfloat16", "float16"]
MatmulPrecision = Literal["default", "high", "highest"]
Remat = Literal["none", "dots", "all"]  # of `fdl.models.Transformer`
OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adamw": optim.adamw,
    "muon": optim.muon,
    "sgd": optim.sgd,
}
LEARNING_RATE = "learning_rate"  # the knob of a page
SGD_RATE = 30  # times AdamW's: the test loss of 150 steps of digits_mlp is .077, AdamW's .107, and 1.87 at its rate
SCHEDULES: Mapping[str, Callable[[Any, int], Any]] = {  # of the peak and the number of steps
    "warmup_cosine": optim.warmup_cosine,
    "warmup_linear": optim.warmup_linear,
    "warmup_constant": lambda peak, steps: optim.warmup_constant(peak),
    "constant": lambda peak, steps: peak,
}


def with_precision(experiment: Experiment, precision: Precision) -> Experiment:
    """Compute in 16 bits; parameters, statistics and losses stay float32; float16 uses dynamic loss scaling."""
    if precision not in get_args(Precision):
        raise UserError(f"precision {precision!r} is not one of {', '.join(get_args(Precision))}")
    if not hasattr(experiment.model, "dtype"):
        raise UserError(f"{type(experiment.model).__name__} has no dtype to compute in; leave out --precision")
    optimizer = experiment.optimizer
    if precision == "float16":
        optimizer = optimizer_state.dynamic_loss_scale(optimizer)
    model = experiment.model.clone(dtype=jnp.dtype(precision))
    return _marked(experiment, replace(experiment, model=model, optimizer=optimizer), precision=precision)


def with_ema(experiment: Experiment, decay: float) -> Experiment:
    """Evaluate with an exponential moving average of the weights; training is unchanged."""
    if not 0 < decay < 1:
        raise UserError(f"ema_decay {decay} is not between 0 and 1; try 0.999")
    averaged = replace(experiment, optimizer=optimizer_state.ema(experiment.optimizer, decay))
    return _marked(experiment, averaged, ema_decay=decay)


def with_frozen(experiment: Experiment, paths: Sequence[str]) -> Experiment:
    """Freeze the parameters below these module paths."""
    if not all(paths):
        raise UserError(f"freeze {','.join(paths)!r} has an empty path; write Dense_0,Block_0/attention")
    frozen = replace(experiment, optimizer=optim.frozen(experiment.optimizer, paths))
    return _marked(experiment, frozen, freeze=",".join(sorted(paths)))


def with_lora(experiment: Experiment, text: str) -> Experiment:
    """Train low-rank adapters of the kernels, and what is new beside the pretrained weights, such as a head.

    text: `RANK`, or `RANK:MODULE,MODULE` as in `8:attention`; modules as in `optim.lora`.
    """
    rank, colon, modules = text.partition(":")
    names = tuple(modules.split(",")) if colon else ()
    if not rank.isdecimal() or not all(names):
        raise UserError(f"lora {text!r} is no rank with modules; write 8, 8:attention or 8:query,value")
    if experiment.init_from is None:
        raise UserError(
            f"--lora={text} adapts weights that were trained, and {experiment.name} starts from random ones; add "
            "--init=RUN, or --weights=FILE where the page has it"
        )
    fresh = getattr(experiment.init_from, "fresh", ())
    adapted = optim.lora(experiment.optimizer, int(rank), names, fresh=fresh, seed=experiment.seed)
    return _marked(experiment, replace(experiment, optimizer=adapted), lora=text)


def with_optimizer(
    experiment: Experiment, optimizer: str | None = None, schedule: str | None = None, clip: float | None = None
) -> Experiment:
    """Train with another optimizer, learning-rate schedule or gradient clipping, and otherwise as the page has it.

    optimizer: of OPTIMIZERS, with the page's learning rate, weight decay and clipping; from AdamW or Muon to SGD the
    rate is SGD_RATE times as high, the decay as much lower, so that weights shrink as before, and the other way round.
    A rate that is not the page's default was chosen, and stays.
    schedule: of SCHEDULES, with that rate as its peak. clip: the largest global norm of a gradient; 0 is no clipping.
    Raises a UserError where the page's optimizer is not one of OPTIMIZERS: it was composed for its model.
    """
    named = {"optimizer": optimizer, "schedule": schedule, "clip": clip}
    given = {name: value for name, value in named.items() if value is not None}
    recipe, flags = recipe_of(experiment.optimizer), ", ".join(f"--{name}" for name in given)
    if recipe and recipe.factory == name_of(optim.frozen):  # what is frozen stays so
        inner = with_optimizer(replace(experiment, optimizer=recipe.arguments["optimizer"]), optimizer, schedule, clip)
        changed = replace(experiment, optimizer=recipe.remake(optimizer=inner.optimizer))
        return _marked(experiment, changed, **given)
    name = next((name for name, make in OPTIMIZERS.items() if recipe and recipe.factory == name_of(make)), None)
    if recipe is None or name is None:
        made = f"by {recipe.factory}" if recipe else "of Optax's parts"
        raise UserError(
            f"{flags}: {experiment.name} composes its optimizer for its model, {made}; leave it out, or change the page"
        )
    for flag, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        if given.get(flag, next(iter(known))) not in known:
            raise UserError(f"{flag} {given[flag]!r} is not one of {', '.join(known)}")
    if clip is not None and not 0 <= clip < math.inf:
        raise UserError(f"clip {clip} is not 0 or more and finite; give the largest norm of a gradient, 0 for none")

    arguments = dict(recipe.arguments)
    if optimizer not in (None, name):  # momenta are of one optimizer and mean something else in another
        shared = ("learning_rate", "weight_decay", "clip")
        clipped = inspect.signature(OPTIMIZERS[name]).parameters["clip"].default
        arguments = {"clip": clipped, **{key: value for key, value in arguments.items() if key in shared}}
        arguments |= _rescaled(experiment, arguments, name, optimizer or name)
    if schedule is not None:
        arguments["learning_rate"] = SCHEDULES[schedule](
            _peak(experiment, arguments["learning_rate"]), experiment.steps
        )
    if clip is not None:
        arguments["clip"] = clip or None
    changed = replace(experiment, optimizer=OPTIMIZERS[optimizer or name](**arguments))
    return _marked(experiment, changed, **given)


def _rescaled(experiment: Experiment, arguments: Mapping[str, Any], before: str, after: str) -> dict[str, Any]:
    """Return the learning rate and weight decay that suit another optimizer; as they are where the rate was chosen."""
    factor = {(True, False): 1 / SGD_RATE, (False, True): SGD_RATE}.get((before == "sgd", after == "sgd"), 1)
    rate, decay = arguments["learning_rate"], arguments.get("weight_decay", 0.0)
    peak = _peak_of(rate)
    if factor == 1 or _chose_rate(experiment) or peak is None:
        return {}
    recipe = recipe_of(rate)
    scaled = recipe.remake(**{**recipe.arguments, "peak": peak * factor}) if recipe else peak * factor
    return {"learning_rate": scaled, "weight_decay": decay / factor}


def _chose_rate(experiment: Experiment) -> bool:
    """Say whether the learning rate is another than the page's default."""
    if experiment.page is None or LEARNING_RATE not in experiment.knobs:
        return False
    default = next(knob.default for knob in pages.read(str(experiment.page)).knobs if knob.name == LEARNING_RATE)
    value = experiment.knobs[LEARNING_RATE]
    return not isinstance(value, int | float) or value != default


def optimizer_note(experiment: Experiment) -> str:
    """Return in a line what `with_optimizer` trains with; nothing where the page's own optimizer does."""
    peak = _peak_of(optim.learning_rate(experiment.optimizer))
    if "optimizer" not in experiment.knobs or peak is None:
        return ""
    said = f"optimizer {experiment.knobs['optimizer']}: learning rate {peak:.4g}"
    if _chose_rate(experiment):
        return said
    return f"{said}, for this page's default; SGD takes {SGD_RATE} times AdamW's, and --learning_rate=RATE sets it"


def _peak(experiment: Experiment, learning_rate: Any) -> Any:
    """Return the largest learning rate of a page's schedule, a number or a traced one."""
    peak = _peak_of(learning_rate)
    if peak is None:
        raise UserError(
            f"--schedule: {experiment.name} has a schedule without a peak; leave it out, or change the page"
        )
    return peak


def _peak_of(learning_rate: Any) -> Any:
    """Return the peak of a schedule of `fdl.optim`, a constant as it is, None of other schedules."""
    recipe = recipe_of(learning_rate)
    return recipe.arguments.get("peak") if recipe else None if callable(learning_rate) else learning_rate


def with_remat(experiment: Experiment, remat: Remat) -> Experiment:
    """Compute parts of each block again in the backward pass, for less memory: all of it, or all but its products."""
    if remat not in get_args(Remat):
        raise UserError(f"remat {remat!r} is not one of {', '.join(get_args(Remat))}")
    if not hasattr(experiment.model, "remat"):
        raise UserError(
            f"{type(experiment.model).__name__} has no Transformer blocks to compute again; leave out --remat, and "
            "give --accumulate=2 for less memory"
        )
    return _marked(experiment, replace(experiment, model=experiment.model.clone(remat=remat)), remat=remat)


def with_init(experiment: Experiment, run: str, fresh: Sequence[str] = ()) -> Experiment:
    """Initialise from the weights of another run's best checkpoint, averaged where it averages, at step 0.

    run: its folder. fresh: module paths that stay as initialised, such as a head for other classes. The digest of the
    weights is part of the identity.
    """
    if experiment.init_from is not None:
        raise UserError(f"--init={run}: {experiment.name} starts from weights of its own; leave out one of them")
    if not run:
        raise UserError("init is empty; give the folder of a run, or leave it out")
    if not all(fresh):
        raise UserError(f"fresh {','.join(fresh)!r} has an empty path; write Dense_1,Block_0/attention")
    begun = replace(experiment, init_from=of_run(workdir.local(run, "init"), fresh=fresh))
    marked = _marked(experiment, begun, init=str(run))
    return _marked(marked, marked, fresh=",".join(sorted(fresh))) if fresh else marked


def with_matmul_precision(experiment: Experiment, precision: MatmulPrecision) -> Experiment:
    """Set `jax_default_matmul_precision` for float32 matrix products, for the whole process.

    XLA's default is one bfloat16 pass on a TPU and TF32 on NVIDIA; "highest" is float32 everywhere.
    """
    if precision not in get_args(MatmulPrecision):
        raise UserError(f"matmul_precision {precision!r} is not one of {', '.join(get_args(MatmulPrecision))}")
    jax.config.update("jax_default_matmul_precision", precision)
    return _marked(experiment, experiment, matmul_precision=precision)


class Options(TypedDict, total=False):
    """The options of any experiment, by the names of their flags; what is not given changes nothing."""

    optimizer: str | None
    schedule: str | None
    clip: float | None
    remat: Remat | None
    init: str | None
    fresh: Sequence[str]
    lora: str | None
    freeze: Sequence[str]
    balance: bool | None
    fold: str | None
    precision: Precision | None
    matmul_precision: MatmulPrecision | None
    ema_decay: float | None


def apply_options(experiment: Experiment, **options: Unpack[Options]) -> Experiment:
    """Return the experiment with these options. The order matters: the average must wrap all other transformations."""
    given, made = {name: value for name, value in options.items() if value not in (None, (), [])}, experiment
    if "fresh" in given and "init" not in given:
        fresh, chosen = ",".join(options["fresh"]), ",".join(getattr(experiment.init_from, "fresh", ()))
        if chosen:
            raise UserError(
                f"fresh {fresh}: this experiment chooses what stays as initialised ({chosen}); leave it out"
            )
        raise UserError(f"fresh {fresh} is of the weights of another run; add --init=RUN, or leave it out")
    if {"optimizer", "schedule", "clip"} & set(given):
        made = with_optimizer(made, options.get("optimizer"), options.get("schedule"), options.get("clip"))
    made = with_remat(made, remat) if (remat := options.get("remat")) else made
    made = with_init(made, options["init"] or "", options.get("fresh", ())) if "init" in given else made
    made = with_lora(made, lora) if (lora := options.get("lora")) is not None else made
    made = with_frozen(made, options["freeze"]) if "freeze" in given else made
    made = _marked(made, balanced(made), balance=True) if options.get("balance") else made
    made = _marked(made, folded(made, fold), fold=fold) if (fold := options.get("fold")) else made
    made = with_precision(made, precision) if (precision := options.get("precision")) else made
    made = with_matmul_precision(made, matmul) if (matmul := options.get("matmul_precision")) else made
    return with_ema(made, decay) if (decay := options.get("ema_decay")) is not None else made


def _marked(before: Experiment, after: Experiment, **options: str | float) -> Experiment:
    """Return the experiment after options, which its knobs name, so that a page goes on answering for its parts."""
    marked = replace(after, knobs={**after.knobs, **options})
    return marked.answered_for() if before.is_all_from_page() else marked
