"""The command line: `fdl`, `python -m fdl` and, in the repository, `python launch.py`."""

import re
import signal
import sys
from itertools import pairwise
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported, Ctrl-C needs no traceback

from fdl import WINDOWS

if sys.platform == "win32":
    sys.exit(f"error: {WINDOWS}")

from absl import flags as absl_flags

from fdl import pages
from fdl.cli import endings
from fdl.cli.command import Command, given, local_folder, parse_sweep
from fdl.cli.command import run as run_command
from fdl.cli.flags import (
    DEFAULT,
    DESCRIBING,
    EXPORTING,
    KNOBS,
    MANY,
    MEASURING,
    NEW_DATA,
    OPTIONS,
    PREDICTING,
    PROCESSES,
    READING,
    SAMPLING,
    SETTINGS,
    TRAINING,
    WRITING,
    add_knobs,
    general_flags,
    groups,
)
from fdl.cli.help_text import listing, usage
from fdl.core.differences import shown
from fdl.core.errors import FAULT, Fault, UserError
from fdl.runs.page_copy import PageCopy, has_page, page_of

ABOUT = """
Train, evaluate, predict, generate, describe, bench: launch any experiment with
flags.

    python launch.py                                     trains the default
    python launch.py --list                              shows every experiment
    python launch.py --experiment=digits_cnn --help      shows its knobs
    python launch.py --experiment=digits_cnn --hidden=64 --executor=mesh

The knobs of an experiment are flags of their own, typed and with defaults. The
same command goes on where it stopped. Exit codes: 0 done, 1 a fault, 2 wrong
input, 75 stopped by a signal after saving: the same command goes on.
"""
MOVED = "dataset"  # the knob that may differ from the run's: its data lie elsewhere now, and are compared
RESTORING = ("evaluate", "predict", "generate", "export", "describe")  # modes that a run folder is enough for
MODES = {  # of the flags that some modes alone have
    MANY: ("train",),
    TRAINING: ("train",),
    READING: ("evaluate", "predict", "generate", "export"),
    NEW_DATA: ("evaluate", "predict"),
    SAMPLING: ("generate",),
    PREDICTING: ("predict",),
    EXPORTING: ("export",),
    WRITING: ("predict", "export", "compare"),
    MEASURING: ("bench",),
    DESCRIBING: ("describe",),
}


def run() -> int:
    """Run the command `fdl`."""
    return main(sys.argv)


def main(argv: list[str]) -> int:
    """Parse the flags, run the mode and return the exit code; a signal ends it with one line and 75."""
    return endings.stoppable(lambda: launch(argv))


def launch(argv: list[str]) -> int:
    """Parse the flags, run the mode and return the exit code.

    Flag files are read in place, so that a page, a record or a sweep sees what they hold.
    """
    try:
        argv[1:] = absl_flags.FlagValues().read_flags_from_files(argv[1:], force_gnu=True)
        refuse_bytes(argv)
        found = general_flags()
        kept = kept_page(argv[1:])
        page = kept.page if kept else pages.read(peek(argv[1:], "experiment") or DEFAULT)
        add_knobs(found, page)
        folders = found(respell(argv))[1:]
        if folders and found["mode"].value != "compare":
            raise UserError(f"{folders[0]!r} is no flag; flags begin with -- (--help shows them all)")
        if found["list"].value:
            print(listing({name: pages.read(name).summary for name in pages.names()}))
            return 0
        if found["help"].value:
            print(usage(found, page, command(argv[0]), ABOUT))
            return 0
        if kept:
            take_kept(found, kept)
        elif found["mode"].value in MODES[READING] and not peek(argv[1:], "experiment"):
            refuse_no_run(found["workdir"].value)
        knobs = page.complete({knob.name: found[knob.name].value for knob in page.knobs})
        values = {title: {flag.name: flag.value for flag in group} for title, group in groups(found).items()}
        refuse_idle(found)
        many = values[MANY]
        if many["sweep"]:
            many["sweep"] = swept(many["sweep"], found, page)
    except absl_flags.UnrecognizedFlagError as error:
        return endings.refuse(ValueError(unknown(error.flagname, found, page)))
    except (absl_flags.Error, ValueError) as error:
        return endings.refuse(error)
    except Fault as error:  # a run folder on a store that fails
        return endings.end(error, FAULT)
    mode, distributed = str(found["mode"].value), values[PROCESSES].pop("distributed")
    titles = [title for title, modes in MODES.items() if mode in modes and title != MANY]
    mode_args = {name: value for title in titles for name, value in values[title].items()}
    return run_command(
        Command(
            page=page,
            knobs=knobs,
            settings={name: value for name, value in values[SETTINGS].items() if value is not None},
            options={name: value for name, value in values[OPTIONS].items() if value not in (None, ())},
            mode=mode,
            mode_args=mode_args if mode != "compare" else {**mode_args, "folders": folders},
            workdir=found["workdir"].value,
            restored=kept is not None,
            many=given(many),
            distributed=values[PROCESSES] if distributed else None,
        )
    )


def kept_page(words: list[str]) -> PageCopy | None:
    """Return the page that a run folder keeps, where a command gives the folder and no experiment."""
    mode, workdir = peek(words, "mode"), peek(words, "workdir")
    if mode not in RESTORING or not workdir or peek(words, "experiment"):
        return None
    folder = local_folder(workdir)
    return page_of(folder) if has_page(folder) else None


def refuse_no_run(workdir: str | None) -> None:
    """Raise a UserError where a folder is given that holds no run, and no experiment by which there could be one."""
    if workdir and not next(local_folder(workdir).rglob("experiment.json"), None):
        raise UserError(
            f"--workdir={workdir} holds no run; give the folder of one, which has an experiment.json, or train first"
        )


def take_kept(found: absl_flags.FlagValues, kept: PageCopy) -> None:
    """Give the knobs and options that were not given the values of the run; raise a UserError where one differs."""
    values = {**kept.knobs, **kept.options}
    for flag in (flag for title in (KNOBS, OPTIONS) for flag in groups(found)[title]):
        value = values.get(flag.name)
        if flag.present and flag.name == MOVED:
            continue
        if flag.present and flag.value != value:
            raise UserError(
                f"--{flag.name}={shown(flag.value)}, and the run in {found['workdir'].value} has {shown(value)}; leave "
                "it out"
            )
        flag.value = value


def command(program: str) -> str:
    """Return what people type to call a program: `fdl` where it is installed, `python launch.py` in the repository."""
    if Path(program).name == "__main__.py":
        return "python -m fdl"
    return "python launch.py" if program.endswith(".py") else Path(program).stem


def peek(argv: list[str], name: str) -> str | None:
    """Return the value of one flag before the flags are known, as `--name=value` or `--name value`."""
    value = None
    for word, after in pairwise([*argv, ""]):
        if word.lstrip("-") == name and word.startswith("-"):
            value = after
        elif word.startswith((f"--{name}=", f"-{name}=")):
            value = word.split("=", 1)[1]
    return value


RENAMED = {"average": "ema_decay", "ops": "kernels"}  # since 0.2; the old spellings go in 0.3


def respell(argv: list[str]) -> list[str]:
    """Return the arguments with flags that were renamed under their new names, and say so in one line each."""
    words = []
    for word in argv:
        name, equals, value = word.partition("=")
        new = RENAMED.get(name.lstrip("-")) if name.startswith("-") else None
        if name == "--baseline" and value.endswith(".json"):  # of --mode=bench
            new = "against"
        if new:
            print(f"note: --{name.lstrip('-')} is --{new} since fdl 0.2", file=sys.stderr)
            for old, now in {"own": "custom", "plain": "reference", "keep": "materialize"}.items():
                value = re.sub(rf"\b{old}\b", now, value)
        words.append(f"--{new}{equals}{value}" if new else word)
    return words


def unknown(name: str, found: absl_flags.FlagValues, page: pages.Page) -> str:
    """Return what to say of a flag that the page and launch.py lack."""
    return f"{page.name} has no flag --{name}{pages.meant(name, list(found))}; --help shows them all"


def refuse_bytes(argv: list[str]) -> None:
    """Raise a ValueError for a word that is not UTF-8: neither a folder nor a record could keep it."""
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UserError(f"{word} is not UTF-8; rename what it names") from None


def refuse_idle(found: absl_flags.FlagValues) -> None:
    """Raise a ValueError for a flag that was given and would do nothing in this mode."""
    mode, by_title = found["mode"].value, groups(found)
    if mode == "compare":
        idle = [flag.name for flags in by_title.values() for flag in flags if flag.present]
        if idle := [name for name in idle if name not in ("mode", "output")]:
            raise UserError(f"--mode=compare reads run folders, as words, and --{idle[0]} does nothing; leave it out")
    for title, modes in MODES.items():
        for flag in by_title[title]:
            if flag.present and mode not in modes:
                fitting = " or ".join(f"--mode={one}" for one in modes)
                raise UserError(f"--{flag.name} is for {fitting} and this is --mode={mode}; leave it out")
    for flag in by_title[OPTIONS]:
        if flag.present and flag.value in ("", ()):
            raise UserError(f"--{flag.name} is empty; give it a value, or leave it out")
    for flag in by_title[PROCESSES]:
        if flag.present and not found["distributed"].value:
            raise UserError(f"--{flag.name} is for --distributed; add that, or leave it out")


def swept(text: str, found: absl_flags.FlagValues, page: pages.Page) -> dict[str, list[str]]:
    """Return the flags of a sweep with their values; raise a ValueError where one does not fit, before any run."""
    settings = parse_sweep(text)
    of_a_run = {"experiment", *(flag.name for title in (KNOBS, SETTINGS, OPTIONS) for flag in groups(found)[title])}
    if alone := [flag.name for flag in groups(found)[MANY] if flag.present and flag.name != "sweep"]:
        raise UserError(f"--{alone[0]} and --sweep are two ways to many runs; leave out one of them")
    for name, words in settings.items():
        if name not in found:
            raise UserError(unknown(name, found, page))
        if name not in of_a_run:
            raise UserError(f"--sweep: {name} is no part of what a run is; vary knobs, settings or options")
        for word in words:
            try:
                found[name].parser.parse(word)
            except ValueError as error:
                raise UserError(f"--sweep: {name}={word}: {error}") from None
    return settings


if __name__ == "__main__":
    sys.exit(run())
