"""Train, evaluate, predict, generate, describe, bench: launch any experiment with flags.

    python launch.py                                          trains the default experiment
    python launch.py --list                                   shows every experiment
    python launch.py --experiment=digits_cnn --help           shows its knobs
    python launch.py --experiment=digits_cnn --hidden=64 --executor=mesh --fake_devices=8

The knobs of an experiment are flags of their own, typed and with defaults. The same command goes on where it stopped.
Exit codes: 0 done, 1 a fault, 2 wrong input, 75 stopped by a signal after saving: the same command goes on.
"""

import re
import signal
import sys
from functools import partial
from itertools import pairwise
from typing import Any

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported, Ctrl-C needs no traceback

from absl import flags

from fdl import cli, pages

DEFAULT = "digits_mlp"
KNOBS, SETTINGS = "knobs of the experiment", "where and how often (never what is computed)"
OPTIONS, RUN, MANY = "options of any experiment", "the run", "many runs"
PROCESSES, READING = "several processes as one run", "which weights are read"
SAMPLING, PREDICTING, MEASURING = (
    "what --mode=generate writes",
    "what --mode=predict answers",
    "what --mode=bench measures",
)
TITLES = (KNOBS, SETTINGS, OPTIONS, RUN, MANY, PROCESSES, READING, SAMPLING, PREDICTING, MEASURING)
MODES = {  # of the flags that some modes alone have
    MANY: ("train",),
    READING: ("evaluate", "predict", "generate"),
    SAMPLING: ("generate",),
    PREDICTING: ("predict",),
    MEASURING: ("bench",),
}


def general_flags() -> flags.FlagValues:
    """Return the flags that every experiment has."""
    found = flags.FlagValues()
    at: dict[str, Any] = {"flag_values": found, "module_name": RUN}
    flags.DEFINE_string("experiment", DEFAULT, "a page of experiments/ by name, or the path of a page", **at)
    flags.DEFINE_enum("mode", "train", [*cli.MODES, "doctor"], "what to do with it", **at)
    flags.DEFINE_string("workdir", None, "the run folder; by default runs/ and the page with its changed knobs", **at)
    flags.DEFINE_bool("list", False, "show every experiment and leave", **at)
    flags.DEFINE_bool("help", False, "show these flags and leave", short_name="h", **at)
    at["module_name"] = MANY
    flags.DEFINE_integer("seeds", None, "train this many seeds as one program", lower_bound=1, **at)
    flags.DEFINE_string(
        "population", None, "numbers to train side by side: learning_rate=1e-4..1e-2:log:16, or =1,2,3", **at
    )
    flags.DEFINE_string("sweep", None, "flags to run one after another, each a run: width=64,128 seed=0,1", **at)
    at["module_name"] = PROCESSES
    flags.DEFINE_bool("distributed", False, "be one of several processes (the cluster tells which, or these:)", **at)
    flags.DEFINE_string("coordinator", None, "host:port of the first process", **at)
    flags.DEFINE_integer("processes", None, "how many there are", lower_bound=1, **at)
    flags.DEFINE_integer("process", None, "which of them this is, from 0", lower_bound=0, **at)
    at["module_name"] = READING
    flags.DEFINE_enum("checkpoint", "last", ["last", "best"], "the newest, or the best by validation", **at)
    at["module_name"] = OPTIONS
    flags.DEFINE_enum("precision", None, ["bfloat16", "float16"], "compute in 16 bits; parameters stay float32", **at)
    flags.DEFINE_enum(
        "matmul_precision",
        None,
        ["default", "high", "highest"],
        "of float32 products; highest is float32 on TPUs",
        **at,
    )
    flags.DEFINE_float("ema_decay", None, "evaluate with an exponential moving average of the weights", **at)
    flags.DEFINE_list("freeze", None, "module paths whose parameters stay as they are, Dense_0,Block_0/attention", **at)
    at["module_name"] = SAMPLING
    flags.DEFINE_string("prompt", "", "the text to go on from", **at)
    flags.DEFINE_integer("max_tokens", 200, "tokens to write", lower_bound=1, **at)
    flags.DEFINE_float("temperature", 1.0, "0 always writes the likeliest token", lower_bound=0, **at)
    flags.DEFINE_integer("top_k", None, "choose among so many likeliest tokens", lower_bound=1, **at)
    flags.DEFINE_float("top_p", 1.0, "choose among the likeliest that have this probability together", **at)
    flags.DEFINE_integer("sample_seed", 0, "another number, another text", lower_bound=0, upper_bound=2**32 - 1, **at)
    at["module_name"] = PREDICTING
    flags.DEFINE_string("split", "test", "the examples to answer for", **at)
    flags.DEFINE_string("input", None, "instead, an .npy or .npz file of inputs", **at)
    flags.DEFINE_string("output", None, "a .jsonl or .csv file; predictions-SPLIT.jsonl in the run folder", **at)
    at["module_name"] = MEASURING
    flags.DEFINE_bool("peak", False, "only what the device can do, without any model", **at)
    flags.DEFINE_string("baseline", None, "the JSON of an earlier bench, to compare with", **at)
    flags.DEFINE_string("profile", None, "a folder for a trace of one call, and show the longest operations", **at)
    flags.DEFINE_string("out", None, "where the JSON goes; the run folder's name and .bench.json", **at)
    at["module_name"] = SETTINGS
    flags.DEFINE_enum("accelerator", None, ["any", "cpu", "gpu", "tpu"], "never another than this (any)", **at)
    flags.DEFINE_enum("executor", None, ["auto", "jit", "pmap", "mesh"], "how devices share a step (auto)", **at)
    flags.DEFINE(_Axes(), "mesh", None, "devices along data, fsdp and model, such as data:2,model:4 (all data)", **at)
    flags.DEFINE_enum(
        "feed", None, ["auto", "resident", "streamed"], "where the data waits: on the device or not (auto)", **at
    )
    flags.DEFINE_integer("fake_devices", None, "simulate this many devices on the CPU", lower_bound=1, **at)
    flags.DEFINE_integer("accumulate", None, "micro-batches per step, for batches that do not fit", lower_bound=1, **at)
    flags.DEFINE_integer("evaluate_batch_size", None, "examples per batch of an evaluation", lower_bound=1, **at)
    flags.DEFINE_integer("steps_per_call", None, "steps that run as one program (chosen by model)", lower_bound=1, **at)
    flags.DEFINE_string("kernels", None, "custom or reference, or by name: lstm=reference (by platform)", **at)
    flags.DEFINE_bool("keep_memory", None, "on the CPU, keep freed memory for the next step (true)", **at)
    flags.DEFINE_integer("log_every", None, "steps between lines of metrics.jsonl (50)", lower_bound=1, **at)
    flags.DEFINE_integer(
        "evaluate_every", None, "steps between evaluations, 0: at the end (ten a run)", lower_bound=0, **at
    )
    flags.DEFINE_integer(
        "save_every", None, "steps between checkpoints, 0: at the end (as evaluations)", lower_bound=0, **at
    )
    flags.DEFINE_enum("nonfinite", None, ["stop", "skip"], "what to do with a step that is not finite (stop)", **at)
    return found


def add_knobs(found: flags.FlagValues, page: pages.Page) -> None:
    """Make each knob of the page a flag; a knob named like a setting takes its place."""
    settings = {flag.name for flag in found.flags_by_module_dict()[SETTINGS]}
    for knob in page.knobs:
        if knob.name in settings:
            delattr(found, knob.name)
        elif knob.name in found:
            raise ValueError(f"{page.path}: knob {knob.name} is the name of a flag of launch.py; choose another")
        help_text = knob.help or knob.name.replace("_", " ")
        at: dict[str, Any] = {"flag_values": found, "module_name": KNOBS}
        if knob.choices:
            flags.DEFINE_enum(knob.name, knob.default, list(knob.choices), help_text, **at)
        elif knob.many:
            serializer = flags.CsvListSerializer(",")
            flags.DEFINE(_Many(knob.kind), knob.name, _joined(knob.default), help_text, serializer=serializer, **at)
        else:
            define: dict[type, Any] = {
                int: partial(flags.DEFINE, _Whole()),
                float: flags.DEFINE_float,
                bool: flags.DEFINE_bool,
                str: flags.DEFINE_string,
            }
            define[knob.kind](knob.name, knob.default, help_text, **at)


def _joined(values: tuple | None) -> str | None:
    return None if values is None else ",".join(map(str, values))


class _Many(flags.ArgumentParser):
    """Parses `1,2,3` into a tuple of one kind."""

    def __init__(self, kind: type):
        self.kind = kind

    def parse(self, argument: str | tuple) -> tuple:
        if not isinstance(argument, str):
            return tuple(argument)
        try:
            return tuple(self.kind(word) for word in argument.split(",") if word)
        except ValueError:
            raise ValueError(f"write {self.flag_type()}") from None

    def flag_type(self) -> str:
        return f"{self.kind.__name__},..."


class _Whole(flags.IntegerParser):
    """Parses a whole number."""

    def convert(self, argument: str | int) -> int:
        try:
            return super().convert(argument)
        except (ValueError, TypeError):
            raise ValueError("write a whole number") from None


class _Axes(flags.ArgumentParser):
    """Parses `data:2,model:4` into a mapping."""

    def parse(self, argument: str) -> dict[str, int]:
        pairs = (word.split(":") for word in argument.split(","))
        try:
            return {axis: int(size) for axis, size in pairs}
        except ValueError:
            raise ValueError("write axis:devices, such as data:2,model:4") from None

    def flag_type(self) -> str:
        return "axis:devices,..."


def usage(found: flags.FlagValues, page: pages.Page) -> str:
    """Return the help: what this program is, the page, and every flag with its default."""
    parts = [__doc__ or "", f"experiment {page.name}: {page.doc}"]
    by_title = groups(found)
    for title in TITLES:
        lines = [
            f"  --{flag.name}={flag.default_as_str or ''}  ({flag.parser.flag_type()})  {flag.help}"
            for flag in by_title[title]
        ]
        parts.append("\n".join([f"{title}:", *lines]))
    return "\n\n".join(part.strip("\n") for part in parts)


def peek(argv: list[str], name: str) -> str | None:
    """Return the value of one flag before the flags are known, as `--name=value` or `--name value`."""
    value = None
    for word, after in pairwise([*argv, ""]):
        if word.lstrip("-") == name and word.startswith("-"):
            value = after
        elif word.startswith((f"--{name}=", f"-{name}=")):
            value = word.split("=", 1)[1]
    return value


def main(argv: list[str]) -> int:
    """Parse the flags, run the mode and return the exit code; a signal ends it with one line and 75."""
    return cli.stoppable(lambda: launch(argv))


def launch(argv: list[str]) -> int:
    """Parse the flags, run the mode and return the exit code.

    Flag files are read in place, so that a page, a record or a sweep sees what they hold.
    """
    try:
        argv[1:] = flags.FlagValues().read_flags_from_files(argv[1:], force_gnu=True)
        refuse_bytes(argv)
        found = general_flags()
        page = pages.read(peek(argv[1:], "experiment") or DEFAULT)
        add_knobs(found, page)
        extra = found(respell(argv))[1:]
        if extra:
            raise ValueError(f"{extra[0]!r} is no flag; flags begin with -- (--help shows them all)")
        if found["list"].value:
            return cli.listing()
        if found["help"].value:
            print(usage(found, page))
            return 0
        knobs = page.complete({knob.name: found[knob.name].value for knob in page.knobs})
        values = {title: {flag.name: flag.value for flag in group} for title, group in groups(found).items()}
        refuse_idle(found)
        many = values[MANY]
        if many["sweep"]:
            many["sweep"] = swept(many["sweep"], found, page)
    except flags.UnrecognizedFlagError as error:
        return cli.refuse(ValueError(unknown(error.flagname, found, page)))
    except (flags.Error, ValueError) as error:
        return cli.refuse(error)
    mode, distributed = str(found["mode"].value), values[PROCESSES].pop("distributed")
    titles = [title for title, modes in MODES.items() if mode in modes and title != MANY]
    return cli.run(
        page,
        knobs,
        {name: value for name, value in values[SETTINGS].items() if value is not None},
        mode=mode,
        workdir=found["workdir"].value,
        own={name: value for title in titles for name, value in values[title].items()},
        options=values[OPTIONS],
        many=many,
        distributed=values[PROCESSES] if distributed else None,
    )


RENAMED = {"average": "ema_decay", "ops": "kernels"}  # since 0.2; the old spellings go in 0.3


def respell(argv: list[str]) -> list[str]:
    """Return the arguments with flags that were renamed under their new names, and say so in one line each."""
    words = []
    for word in argv:
        name, equals, value = word.partition("=")
        new = RENAMED.get(name.lstrip("-")) if name.startswith("-") else None
        if new:
            print(f"note: --{name.lstrip('-')} is --{new} since fdl 0.2", file=sys.stderr)
            for old, now in {"own": "custom", "plain": "reference", "keep": "materialize"}.items():
                value = re.sub(rf"\b{old}\b", now, value)
        words.append(f"--{new}{equals}{value}" if new else word)
    return words


def groups(found: flags.FlagValues) -> dict[str, list[flags.Flag]]:
    """Return the flags by title."""
    return {title: found.flags_by_module_dict().get(title, []) for title in TITLES}


def unknown(name: str, found: flags.FlagValues, page: pages.Page) -> str:
    """Return what to say of a flag that the page and launch.py lack."""
    return f"{page.name} has no flag --{name}{pages.meant(name, list(found))}; --help shows them all"


def refuse_bytes(argv: list[str]) -> None:
    """Raise a ValueError for a word that is not UTF-8: neither a folder nor a record could keep it."""
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{word} is not UTF-8; rename what it names") from None


def refuse_idle(found: flags.FlagValues) -> None:
    """Raise a ValueError for a flag that was given and would do nothing in this mode."""
    mode, by_title = found["mode"].value, groups(found)
    for title, modes in MODES.items():
        for flag in by_title[title]:
            if flag.present and mode not in modes:
                fitting = " or ".join(f"--mode={one}" for one in modes)
                raise ValueError(f"--{flag.name} is for {fitting} and this is --mode={mode}; leave it out")
    for flag in by_title[PROCESSES]:
        if flag.present and not found["distributed"].value:
            raise ValueError(f"--{flag.name} is for --distributed; add that, or leave it out")


def swept(text: str, found: flags.FlagValues, page: pages.Page) -> dict[str, list[str]]:
    """Return the flags of a sweep with their values; raise a ValueError where one does not fit, before any run."""
    settings = cli.parse_sweep(text)
    of_a_run = {"experiment", *(flag.name for title in (KNOBS, SETTINGS, OPTIONS) for flag in groups(found)[title])}
    if alone := [flag.name for flag in groups(found)[MANY] if flag.present and flag.name != "sweep"]:
        raise ValueError(f"--{alone[0]} and --sweep are two ways to many runs; leave out one of them")
    for name, words in settings.items():
        if name not in found:
            raise ValueError(unknown(name, found, page))
        if name not in of_a_run:
            raise ValueError(f"--sweep: {name} is no part of what a run is; vary knobs, settings or options")
        for word in words:
            try:
                found[name].parser.parse(word)
            except ValueError as error:
                raise ValueError(f"--sweep: {name}={word}: {error}") from None
    return settings


if __name__ == "__main__":
    sys.exit(main(sys.argv))
