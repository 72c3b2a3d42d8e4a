"""The modes as the command line calls them: functions of the experiment, the run folder and the mode's flags.

Attributes of fdl are imported lazily, so that the flags are checked before JAX is there.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fdl
from fdl.core.errors import UserError

if TYPE_CHECKING:
    from fdl.experiment import Experiment


def describe(experiment: "Experiment", *, chip: str | None = None) -> None:
    """Describe an experiment, or its memory use on a chip that is not available."""
    if chip is None:
        fdl.describe(experiment)
        return
    from fdl.modes.describe_target import describe_target

    describe_target(experiment, chip)


def measure(
    experiment: "Experiment",
    workdir_path: Path | str,
    *,
    peak: bool = False,
    against: str | None = None,
    profile: str | None = None,
    out: str | None = None,
) -> None:
    """Benchmark an experiment, or with `peak` the device, with the share of it that a step reaches."""
    from fdl.modes import bench
    from fdl.runs.atomic_files import write_json
    from fdl.runs.workdir import beside

    if peak:
        bench.peak(experiment)
        return
    if against and not Path(against).is_file():
        raise UserError(f"--against={against} is no file; --mode=bench writes one")
    file = Path(out) if out else beside(workdir_path, ".bench.json")
    if file.exists():
        bench.earlier(file)  # refuse to overwrite a file that is not a bench's
    result = bench.bench(
        experiment, baseline=Path(against) if against else None, profile=Path(profile) if profile else None
    )
    write_json(file, result)


def generate(
    experiment: "Experiment",
    workdir_path: Path | str,
    *,
    prompt: str,
    max_tokens: int,
    checkpoint: Any,
    **sampling: Any,
) -> None:
    """Generate text from a prompt with the sampling flags."""
    from fdl.models.sampling import Sampling

    sampling["seed"] = sampling.pop("sample_seed")
    fdl.generate(
        experiment, workdir_path, prompt, max_tokens=max_tokens, sampling=Sampling(**sampling), checkpoint=checkpoint
    )


def predict(
    experiment: "Experiment",
    workdir_path: Path | str,
    *,
    split: str,
    input: str | None,
    output: str | None,
    checkpoint: Any,
    **formed: Any,
) -> None:
    """Predict a split, or new data."""
    from fdl.modes.predict import Form, predict_in_form

    if input is None and (of_new := [name for name in ("columns", "beams") if formed[name] not in (None, (), 1)]):
        raise UserError(f"--{of_new[0]} is of new data; give --input, or leave it out")
    formed["calibrated"] = bool(formed.pop("calibrate"))
    form = Form(**{**formed, "columns": formed["columns"] or ()})
    predict_in_form(experiment, workdir_path, split, input, output=output, checkpoint=checkpoint, form=form)


MODES: Mapping[str, Callable[..., object]] = {
    "train": lambda experiment, workdir_path, **mode_args: fdl.train(experiment, workdir_path, **mode_args),
    "evaluate": lambda experiment, workdir_path, **mode_args: fdl.evaluate(experiment, workdir_path, **mode_args),
    "predict": predict,
    "generate": generate,
    "export": lambda experiment, workdir_path, **mode_args: fdl.export(experiment, workdir_path, **mode_args),
    "describe": lambda experiment, workdir_path, **mode_args: describe(experiment, **mode_args),
    "bench": measure,
    "check": lambda experiment, workdir_path: fdl.check(experiment),
    "find_lr": lambda experiment, workdir_path: fdl.find_lr(experiment, workdir_path),
}
