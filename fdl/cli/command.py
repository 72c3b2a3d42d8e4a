"""Run one mode of one page from the command line: parsed flags in, an exit code and one-line errors out.

Heavy imports (JAX) come after the input has been validated.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fdl
from fdl import pages
from fdl.cli import chip_subprocess, endings, modes
from fdl.core import out_of_memory
from fdl.core.errors import DONE, FAULT, Fault, UserError, reason
from fdl.parallel.jax_startup import prepare_jax
from fdl.runs import lock, signals
from fdl.runs import workdir as folder
from fdl.runs.stores.store import is_address

if TYPE_CHECKING:
    from fdl.engine.population import Population
    from fdl.experiment import Experiment


PATHS = ("output", "against", "profile", "out")  # flags that name a file or folder here
OF_THE_PROCESS = ("fake_devices", "kernels", "keep_memory")  # settings that are no part of an experiment


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a command line asks for.

    page, knobs: the experiment, every knob with its value.
    settings:    Experiment fields that override the page's, and those `OF_THE_PROCESS`.
    options:     of `options.apply_options`.
    mode:        what to do, with the mode's own arguments.
    workdir:     the run folder; a default is made of what differs from the page.
    restored:    the page, its knobs and options are those of the run folder, which was given alone.
    many:        `seeds`, `folds`, `population` or `sweep`, where it is more than one run.
    distributed: coordinator, processes and process, where this is one of several processes.
    """

    page: pages.Page
    knobs: Mapping[str, Any]
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    mode: str
    mode_args: Mapping[str, Any]
    workdir: str | None
    restored: bool
    many: Mapping[str, Any]
    distributed: Mapping[str, Any] | None

    @property
    def changed(self) -> dict[str, Any]:
        """Return the knobs whose values are not the defaults."""
        return {knob.name: self.knobs[knob.name] for knob in self.page.knobs if self.knobs[knob.name] != knob.default}

    @property
    def address(self) -> str:
        """Return the address of a run folder on an object store, or ""."""
        return self.workdir if self.workdir and is_address(self.workdir) else ""

    @cached_property
    def run_folder(self) -> Path:
        """Return the run folder, of an address one into which it is fetched; raise a UserError for other URLs."""
        if self.workdir:
            return local_folder(self.workdir)
        return folder.default(self.page.name, {**self.changed, **self.many, **self.options})


@cache
def local_folder(workdir: str) -> Path:
    """Return a run folder, of an address the one that it is fetched into; raise a UserError for other URLs."""
    return folder.local(workdir)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given a value."""
    return {name: value for name, value in values.items() if value not in (None, "", ())}


def run(command: Command) -> int:
    """Do what a command asks for and return the exit code; what is wrong becomes one line."""
    try:
        return execute(command)
    except ValueError as error:
        if not endings.ours(error, command.page):
            raise
        return endings.refuse(error)
    except ModuleNotFoundError as error:
        if not (extra := endings.extra_with(error.name or "")):
            raise
        return endings.refuse(UserError(f"this needs {error.name}, which is not installed; pip install 'fdl[{extra}]'"))
    except Fault as error:
        return endings.end(error, FAULT)
    except OSError as error:
        return endings.end(Fault(reason(error)), FAULT)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory.is_out_of_memory(error):
            raise
        return endings.end(Fault(endings.remedy(error, command.page, command.mode, command.mode_args)), FAULT)


def execute(command: Command) -> int:
    """Do what a command asks for and return the exit code."""
    many, mode = command.many, command.mode
    writes = bool(command.address) and mode == "train"  # `open_run` holds the address and fetches it
    workdir = command.address or command.run_folder  # an address is fetched where it is read or written
    mode_args = checked(command.mode_args)
    if "sweep" in many:
        if writes:
            raise UserError(
                f"--sweep needs a folder for its runs and --workdir={command.address} is none; give a folder"
            )
        from fdl.modes import sweep as sweeping

        sweeping.sweep(sweeping.this_command(("sweep", "workdir")), many["sweep"], Path(workdir))
        return DONE

    if mode == "compare":
        fdl.compare(*mode_args["folders"], output=mode_args["output"])
        return DONE

    # Before JAX is imported: a second start exits at once, and a chip that is not here is compiled for elsewhere.
    if mode == "train" and command.distributed is None and not writes:
        lock.refuse_held(Path(workdir))
    if (chip := mode_args.get("chip")) and (code := chip_subprocess.in_subprocess(chip)) is not None:
        return code

    prepare_jax(command.settings, command.distributed)
    if mode == "doctor":
        return int(any(finding.remedy for finding in fdl.doctor(command.settings.get("accelerator", "any"))))
    make = making(command)
    if command.distributed is None:  # JAX is imported by now
        signals.leave_on_request()
    if many:
        fdl.train_population(family(make, command.changed, **many), workdir, **mode_args)
    else:
        modes.MODES[mode](make(), workdir, **mode_args)
    return DONE


def checked(mode_args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a mode, trackers as their writers; raise a UserError for one that cannot be."""
    arguments = dict(mode_args)
    for name in set(PATHS) & set(arguments):
        folder.local(arguments[name] or "", name)
    if track := arguments.pop("track", None):
        arguments["writers"] = fdl.trackers(*track)
    return arguments


def making(command: Command) -> "Callable[..., Experiment]":
    """Return the function `(**numbers) -> Experiment` of a page with the knobs, settings and options of a command."""
    from dataclasses import replace

    from fdl.engine.options import apply_options
    from fdl.experiment import Experiment, maker
    from fdl.trained import restored_experiment

    settings = {name: value for name, value in command.settings.items() if name not in OF_THE_PROCESS}
    if settings.pop("baseline", True) is False:
        settings["baselines"] = ()

    if settings.get("patience") == 0:
        settings["patience"] = None
    if command.restored:
        return lambda: replace(
            restored_experiment(command.run_folder, dataset=command.knobs.get("dataset")), **settings
        )
    function = maker(str(command.page.path))

    def make(**numbers: Any) -> Experiment:
        return apply_options(replace(function(**{**command.knobs, **numbers}), **settings), **command.options)

    return make


def family(
    make: "Callable[..., Experiment]",
    fixed: Collection[str],
    seeds: int | None = None,
    population: str = "",
    folds: int | None = None,
) -> "Population":
    """Return the population of experiments of `make`; raise a ValueError if it varies a fixed knob."""
    from fdl.engine.population import Population, members, of_folds, parse

    if folds:
        if seeds or population:
            both = "seeds" if seeds else "population"
            raise UserError(f"--folds and --{both} are two ways to many members; leave out one of them")
        return of_folds(make, folds)
    values = members(seeds, parse(population))
    for knob in values:
        if knob in fixed:
            raise UserError(f"--{knob} is one number and the population varies it; leave one of them out")
    return Population(make=make, values=values)


def parse_sweep(text: str) -> dict[str, list[str]]:
    """Parse `flag=value,value`, separated by blanks; raise a ValueError for anything else."""
    from fdl.modes.sweep import parse

    return parse(text)
