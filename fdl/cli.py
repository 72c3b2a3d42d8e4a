"""Run one mode of one page from the command line: parsed flags in, an exit code and one-line errors out.

Heavy imports (JAX) come after the input has been validated.
"""

import dis
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fdl
from fdl import pages
from fdl.core import out_of_memory
from fdl.core.errors import DONE, FAULT, STOPPED, WRONG_INPUT, Fault, Stopped, UserError, reason
from fdl.parallel import targets
from fdl.parallel.jax_startup import prepare_jax
from fdl.runs import lock, signals, streams
from fdl.runs import workdir as folder

if TYPE_CHECKING:
    from fdl.engine.population import Population
    from fdl.experiment import Experiment


def refuse(error: Exception) -> int:
    """Print a user error in one line and return its exit code."""
    return end(error, WRONG_INPUT)


def end(error: BaseException, code: int) -> int:
    """Print the error that ends the program in one line and return the exit code."""
    print(f"error: {streams.printable(' '.join(str(error).split()))}", file=sys.stderr)
    return code


def stoppable(run: Callable[[], int]) -> int:
    """Return the exit code of a run; print one line if a signal ends it."""
    streams.outlive_readers()
    signals.leave_on_request(tidy=False)
    signals.end_with_parent()
    try:
        return run()
    except Stopped as stopped:
        signals.leaving()
        return end(stopped, STOPPED)
    except SystemExit as error:  # raised by a page or a library: the run is not complete
        return end(Fault(f"the page or a library it uses called sys.exit({error.code!r}); take that call out"), FAULT)


PATHS = ("input", "output", "baseline", "profile", "out")  # flags that name a file or folder
CHIPS = sorted(targets.TARGETS)
TARGET = "FDL_TARGET"  # environment variable of the subprocess that compiles for a chip that is not available
OF_THE_PROCESS = ("fake_devices", "kernels", "keep_memory")  # settings that are no part of an experiment


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a command line asks for.

    page, knobs: the experiment, every knob with its value.
    settings:    Experiment fields that override the page's, and those `OF_THE_PROCESS`.
    options:     of `options.apply_options`.
    mode:        what to do, with the mode's own arguments.
    workdir:     the run folder; a default is made of what differs from the page.
    many:        `seeds`, `population` or `sweep`, where it is more than one run.
    distributed: coordinator, processes and process, where this is one of several processes.
    """

    page: pages.Page
    knobs: Mapping[str, Any]
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    mode: str
    mode_args: Mapping[str, Any]
    workdir: str | None
    many: Mapping[str, Any]
    distributed: Mapping[str, Any] | None

    @property
    def changed(self) -> dict[str, Any]:
        """Return the knobs whose values are not the defaults."""
        return {knob.name: self.knobs[knob.name] for knob in self.page.knobs if self.knobs[knob.name] != knob.default}

    @property
    def run_folder(self) -> Path:
        """Return the run folder; raise a ValueError where it is an address."""
        if self.workdir:
            return folder.local(self.workdir)
        return folder.default(self.page.name, {**self.changed, **self.many, **self.options})


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given a value."""
    return {name: value for name, value in values.items() if value not in (None, "", ())}


def run(command: Command) -> int:
    """Do what a command asks for and return the exit code; what is wrong becomes one line."""
    try:
        return execute(command)
    except ValueError as error:
        if not ours(error, command.page):
            raise
        return refuse(error)
    except Fault as error:
        return end(error, FAULT)
    except OSError as error:
        return end(Fault(reason(error)), FAULT)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory.is_out_of_memory(error):
            raise
        return end(Fault(remedy(error, command.page, command.mode, command.mode_args)), FAULT)


def execute(command: Command) -> int:
    """Do what a command asks for and return the exit code."""
    many, mode, workdir = command.many, command.mode, command.run_folder
    for name in set(PATHS) & set(command.mode_args):
        folder.local(command.mode_args[name] or "", name)
    if "sweep" in many:
        from fdl.modes import sweep as sweeping

        sweeping.sweep(sweeping.this_command(("sweep", "workdir")), many["sweep"], workdir)
        return DONE

    # Before JAX is imported: a second start exits at once, and a chip that is not here is compiled for elsewhere.
    if mode == "train" and command.distributed is None:
        lock.refuse_held(workdir)
    if (chip := command.mode_args.get("chip")) and (code := in_subprocess(chip)) is not None:
        return code

    prepare_jax(command.settings, command.distributed)
    if mode == "doctor":
        return int(any(finding.remedy for finding in fdl.doctor(command.settings.get("accelerator", "any"))))
    make = making(command)
    if command.distributed is None:  # JAX is imported by now
        signals.leave_on_request()
    if many:
        fdl.train_population(family(make, command.changed, **many), workdir)
    else:
        MODES[mode](make(), workdir, **command.mode_args)
    return DONE


def making(command: Command) -> "Callable[..., Experiment]":
    """Return the function `(**numbers) -> Experiment` of a page with the knobs, settings and options of a command."""
    from dataclasses import replace

    from fdl.engine.options import apply_options
    from fdl.experiment import Experiment, maker

    function = maker(str(command.page.path))
    settings = {name: value for name, value in command.settings.items() if name not in OF_THE_PROCESS}

    def make(**numbers: Any) -> Experiment:
        return apply_options(replace(function(**{**command.knobs, **numbers}), **settings), **command.options)

    return make


def family(
    make: "Callable[..., Experiment]", fixed: Collection[str], seeds: int | None = None, population: str = ""
) -> "Population":
    """Return the population of experiments of `make`; raise a ValueError if it varies a fixed knob."""
    from fdl.engine.population import Population, members, parse

    values = members(seeds, parse(population))
    for knob in values:
        if knob in fixed:
            raise UserError(f"--{knob} is one number and the population varies it; leave one of them out")
    return Population(make=make, values=values)


def parse_sweep(text: str) -> dict[str, list[str]]:
    """Parse `flag=value,value`, separated by blanks; raise a ValueError for anything else."""
    from fdl.modes.sweep import parse

    return parse(text)


def remedy(error: Exception, page: pages.Page, mode: str, mode_args: Mapping[str, Any]) -> str:
    """Return one line with the memory used, and the flags of this mode that reduce it."""
    smaller = ["lower --batch_size"] if any(knob.name == "batch_size" for knob in page.knobs) else []
    step = [*smaller, "raise --accumulate", "lower --evaluate_batch_size", "--feed=streamed", "--precision=bfloat16"]
    ways = {
        "train": [*step, "or a smaller model; checkpoints are kept"],
        "evaluate": ["lower --evaluate_batch_size", "or --feed=streamed"],
        "predict": ["lower --evaluate_batch_size", "or --precision=bfloat16"],
        "generate": ["lower --max_tokens", "or --precision=bfloat16"],
    }.get(mode, [*step, "or a smaller model"])
    if mode_args.get("input"):
        ways = [f"split --input={mode_args['input']} into several files", "or lower --evaluate_batch_size"]
    return f"{out_of_memory.summary(str(error))}; {', '.join(ways)}"


def describe(experiment: "Experiment", *, chip: str | None = None) -> None:
    """Describe an experiment, or its memory use on a chip that is not available."""
    if chip is None:
        fdl.describe(experiment)
        return
    from fdl.modes.describe_target import describe_target

    describe_target(experiment, chip)


def in_subprocess(target: str) -> int | None:
    """Run this command in a subprocess with the environment of a target's compiler, and return its exit code.

    None if this is that subprocess already. In a subprocess because the compiler may abort without a message.
    """
    environment = {**targets.environment(target), TARGET: target}
    if os.environ.get(TARGET) == target:
        return None
    code = subprocess.run(
        [sys.executable, *sys.orig_argv[1:]], env={**os.environ, **environment}, check=False
    ).returncode
    if code < 0:
        raise Fault(
            f"the compiler for {target} ended with signal {-code}; docs/accelerators.md names versions that work"
        )
    return code


def measure(
    experiment: "Experiment",
    workdir_path: Path,
    *,
    peak: bool = False,
    baseline: str | None = None,
    profile: str | None = None,
    out: str | None = None,
) -> None:
    """Benchmark an experiment, or with `peak` only the device."""
    from fdl.modes import bench
    from fdl.runs.atomic_files import write_json

    if peak:
        bench.peak(experiment)
        return
    if baseline and not Path(baseline).is_file():
        raise UserError(f"--baseline={baseline} is no file; --mode=bench writes one")
    file = Path(out) if out else workdir_path.with_name(f"{workdir_path.name}.bench.json")
    if file.exists():
        bench.earlier(file)  # refuse to overwrite a file that is not a bench's
    result = bench.bench(
        experiment, baseline=Path(baseline) if baseline else None, profile=Path(profile) if profile else None
    )
    write_json(file, result)


def generate(
    experiment: "Experiment", workdir_path: Path, *, prompt: str, max_tokens: int, checkpoint: Any, **sampling: Any
) -> None:
    """Generate text from a prompt with the sampling flags."""
    from fdl.models.sampling import Sampling

    sampling["seed"] = sampling.pop("sample_seed")
    fdl.generate(
        experiment, workdir_path, prompt, max_tokens=max_tokens, sampling=Sampling(**sampling), checkpoint=checkpoint
    )


# Mode -> function of the experiment, the run folder and the mode's flags; attributes of fdl are imported lazily.
MODES: Mapping[str, Callable[..., object]] = {
    "train": lambda experiment, workdir_path: fdl.train(experiment, workdir_path),
    "evaluate": lambda experiment, workdir_path, **mode_args: fdl.evaluate(experiment, workdir_path, **mode_args),
    "predict": lambda experiment, workdir_path, **mode_args: fdl.predict(experiment, workdir_path, **mode_args),
    "generate": generate,
    "describe": lambda experiment, workdir_path, **mode_args: describe(experiment, **mode_args),
    "bench": measure,
}


def ours(error: ValueError, page: pages.Page) -> bool:
    """Return whether an error was written for users: by fdl, or by a `raise` in the page's folder.

    Any other ValueError, such as that of `int("one")` in a page, is a fault of the code and needs its traceback.
    """
    if isinstance(error, UserError):
        return True
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    assert at is not None
    code = at.tb_frame.f_code
    in_page = Path(code.co_filename).resolve().parent == page.path.resolve().parent
    return in_page and dis.opname[code.co_code[at.tb_lasti]] == "RAISE_VARARGS"
