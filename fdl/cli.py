"""What the command line calls: a page and its values become an experiment, a mode runs it, mistakes become one line.

Nothing heavy is imported before the input is known to be right.
"""

import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fdl
from fdl import pages
from fdl.core import kernel_choice, out_of_memory
from fdl.core.errors import DONE, FAULT, STOPPED, WRONG_INPUT, Fault, Stopped, reason
from fdl.parallel import compile_cache, memory, targets
from fdl.runs import lock, signals, streams
from fdl.runs import workdir as folder

if TYPE_CHECKING:
    from fdl.engine.population import Population
    from fdl.experiment import Experiment


def refuse(error: Exception) -> int:
    """Print a mistake of the user's in one line and return the exit code for it."""
    return end(error, WRONG_INPUT)


def end(error: BaseException, code: int) -> int:
    """Print in one line what ended the program, and return the exit code."""
    print(f"error: {streams.printable(' '.join(str(error).split()))}", file=sys.stderr)
    return code


def stoppable(run: Callable[[], int]) -> int:
    """Return the exit code of a run; where a signal ends it, say so in one line."""
    streams.outlive_readers()
    signals.leave_on_request(tidy=False)
    signals.end_with_parent()
    try:
        return run()
    except Stopped as stopped:
        signals.leaving()
        return end(stopped, STOPPED)
    except SystemExit as error:  # of a page or a library: what it was called for has not been done
        return end(Fault(f"the page or a library it uses called sys.exit({error.code!r}); take that call out"), FAULT)


PATHS = ("input", "output", "baseline", "profile", "out")  # flags that name a file or folder
CHIPS = sorted(targets.TARGETS)
TARGET = "FDL_TARGET"  # in the environment of the process that compiles for a chip that is not here
OF_THE_PROCESS = ("fake_devices", "kernels", "keep_memory")  # settings that are no part of an experiment


def run(
    page: pages.Page,
    knobs: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    mode: str,
    workdir: str | None,
    own: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    many: Mapping[str, Any] | None = None,
    distributed: Mapping[str, Any] | None = None,
) -> int:
    """Run one mode of one page and return the exit code.

    settings: fields of Experiment that override the page's, and `fake_devices`, `kernels` and `keep_memory`.
    own: arguments of the mode itself. options: of `options.apply_options`. many: `seeds`, `population` or `sweep`,
    where one run is not all. distributed: coordinator, processes and process, where this is one of several.
    """
    options, many = ({k: v for k, v in (given or {}).items() if v not in (None, "", ())} for given in (options, many))
    changed = {k.name: knobs[k.name] for k in page.knobs if knobs[k.name] != k.default}
    try:
        place = folder.local(workdir) if workdir else folder.default(page.name, {**changed, **many, **options})
        for name in set(PATHS) & set(own or {}):
            folder.local((own or {})[name] or "", name)
        if "sweep" in many:
            from fdl.modes import sweep as sweeping

            sweeping.sweep(sweeping.this_command(("sweep", "workdir")), many["sweep"], place)
            return DONE
        if mode == "train" and distributed is None:
            lock.refuse_held(place)  # before JAX is imported: a second start leaves at once
        if chip := (own or {}).get("chip"):
            code = in_subprocess(chip)
            if code is not None:
                return code
        prepare_jax(settings, distributed)
        settings = {name: value for name, value in settings.items() if name not in OF_THE_PROCESS}
        if mode == "doctor":
            return int(any(finding.remedy for finding in fdl.doctor(settings.get("accelerator", "any"))))
        make = making(page, knobs, settings, options)
        if distributed is None:  # JAX is imported by now
            signals.leave_on_request()
        if many:
            fdl.train_population(family(make, changed, **many), place)
        else:
            MODES[mode](make(), place, **(own or {}))
    except ValueError as error:
        if not ours(error, page):
            raise
        return refuse(error)
    except Fault as error:
        return end(error, FAULT)
    except OSError as error:
        return end(Fault(reason(error)), FAULT)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory.is_out_of_memory(error):
            raise
        return end(Fault(remedy(error, page, mode, own or {})), FAULT)
    return DONE


def making(
    page: pages.Page, knobs: Mapping[str, Any], settings: Mapping[str, Any], options: Mapping[str, Any]
) -> "Callable[..., Experiment]":
    """Return the function `(**numbers) -> Experiment` of a page with these knobs, settings and options."""
    from dataclasses import replace

    from fdl.engine.options import apply_options
    from fdl.experiment import Experiment, maker

    function = maker(str(page.path))

    def make(**numbers: Any) -> Experiment:
        return apply_options(replace(function(**{**knobs, **numbers}), **settings), **options)

    return make


def family(
    make: "Callable[..., Experiment]", fixed: Collection[str], seeds: int | None = None, population: str = ""
) -> "Population":
    """Return the population of what `make` makes: some numbers for each member, besides the knobs that are fixed."""
    from fdl.engine.population import Population, members, parse

    values = members(seeds, parse(population))
    for knob in values:
        if knob in fixed:
            raise ValueError(f"--{knob} is one number and the population varies it; leave one of them out")
    return Population(make=make, values=values)


def parse_sweep(text: str) -> dict[str, list[str]]:
    """Read `flag=value,value`, several separated by blanks; raise a ValueError on anything else."""
    from fdl.modes.sweep import parse

    return parse(text)


def remedy(error: Exception, page: pages.Page, mode: str, own: Mapping[str, Any]) -> str:
    """Return one line with what was used, and what can be typed in this mode to use less."""
    smaller = ["lower --batch_size"] if any(knob.name == "batch_size" for knob in page.knobs) else []
    step = [*smaller, "raise --accumulate", "lower --evaluate_batch_size", "--feed=streamed", "--precision=bfloat16"]
    ways = {
        "train": [*step, "or a smaller model; what was saved stays"],
        "evaluate": ["lower --evaluate_batch_size", "or --feed=streamed"],
        "predict": ["lower --evaluate_batch_size", "or --precision=bfloat16"],
        "generate": ["lower --max_tokens", "or --precision=bfloat16"],
    }.get(mode, [*step, "or a smaller model"])
    if own.get("input"):
        ways = [f"split --input={own['input']} into several files", "or lower --evaluate_batch_size"]
    return f"{out_of_memory.summary(str(error))}; {', '.join(ways)}"


def describe(experiment: "Experiment", *, chip: str | None = None) -> None:
    """Describe an experiment, or what it takes on a chip that is not here."""
    if chip is None:
        fdl.describe(experiment)
        return
    from fdl.modes.describe_target import describe_target

    describe_target(experiment, chip)


def in_subprocess(target: str) -> int | None:
    """Run this command again with what a target's compiler reads at its start, and return its exit code.

    None where this is that process already. It is one of its own, since a compiler may end it without a word.
    """
    wanted = {**targets.environment(target), TARGET: target}
    if os.environ.get(TARGET) == target:
        return None
    code = subprocess.run([sys.executable, *sys.orig_argv[1:]], env={**os.environ, **wanted}, check=False).returncode
    if code < 0:
        raise Fault(
            f"the compiler for {target} ended with signal {-code}; docs/accelerators.md names versions that work"
        )
    return code


def measure(
    experiment: "Experiment",
    place: Path,
    *,
    peak: bool = False,
    baseline: str | None = None,
    profile: str | None = None,
    out: str | None = None,
) -> None:
    """Measure an experiment, or with `peak` the device alone."""
    from fdl.modes import bench
    from fdl.runs.atomic_files import write_json

    if peak:
        bench.peak(experiment)
        return
    if baseline and not Path(baseline).is_file():
        raise ValueError(f"--baseline={baseline} is no file; --mode=bench writes one")
    file = Path(out) if out else place.with_name(f"{place.name}.bench.json")
    if file.exists():
        bench.earlier(file)  # what is no bench's is not written over
    result = bench.bench(
        experiment, baseline=Path(baseline) if baseline else None, profile=Path(profile) if profile else None
    )
    write_json(file, result)


def generate(
    experiment: "Experiment", place: Path, *, prompt: str, max_tokens: int, checkpoint: Any, **sampling: Any
) -> None:
    """Let a language model go on where a prompt ends, with the sampling that the flags say."""
    from fdl.models.sampling import Sampling

    sampling["seed"] = sampling.pop("sample_seed")
    fdl.generate(experiment, place, prompt, max_tokens=max_tokens, sampling=Sampling(**sampling), checkpoint=checkpoint)


# What each mode does with the experiment, the run folder and the mode's own flags; fdl imports when it is asked.
MODES: Mapping[str, Callable[..., object]] = {
    "train": lambda experiment, place: fdl.train(experiment, place),
    "evaluate": lambda experiment, place, **own: fdl.evaluate(experiment, place, **own),
    "predict": lambda experiment, place, **own: fdl.predict(experiment, place, **own),
    "generate": generate,
    "describe": lambda experiment, place, **own: describe(experiment, **own),
    "bench": measure,
}


def ours(error: ValueError, page: pages.Page) -> bool:
    """Say whether fdl or the page raised this error in so many words; if not, its traceback says more."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(last.filename).resolve()
    written_for_users = file.is_relative_to(Path(__file__).resolve().parent) or file == page.path.resolve()
    return written_for_users and (last.line or "").startswith("raise ")


def prepare_jax(settings: Mapping[str, Any], distributed: Mapping[str, Any] | None) -> None:
    """Set what JAX reads only once, before it starts: kernels, platform, devices, memory, compile cache, processes."""
    fake_devices, kernels = settings.get("fake_devices"), settings.get("kernels")
    keep_memory, accelerator = settings.get("keep_memory", True), settings.get("accelerator")
    if kernels is not None:
        kernel_choice.parse(kernels)
        os.environ[kernel_choice.VARIABLE] = kernels
    if fake_devices:
        if accelerator not in (None, "any", "cpu"):
            raise ValueError(f"--fake_devices={fake_devices} are CPU devices; leave out --accelerator={accelerator}")
        os.environ["XLA_FLAGS"] = (
            f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={fake_devices}"
        )
    if metadata.version("jaxlib").startswith("0.10."):  # alone, its new convolutions take a third longer
        extra = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {extra}"
    if fake_devices or accelerator == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    compile_cache.configure()
    hush()
    if keep_memory:
        memory.keep_freed_memory()
    compile_cache.repair_on_read()
    if distributed is not None:
        from fdl.parallel.processes import join

        join(distributed["coordinator"], distributed["processes"], distributed["process"])


def hush() -> None:
    """Keep Orbax's threads from telling at length, and beside the point, what a checkpoint's one line says."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    def unraisable(seen: "sys.UnraisableHookArgs") -> None:
        if str(seen.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(seen)

    def thread_failed(seen: "threading.ExceptHookArgs") -> None:
        if not type(seen.thread).__module__.startswith("orbax"):
            threading.__excepthook__(seen)

    sys.unraisablehook, threading.excepthook = unraisable, thread_failed
