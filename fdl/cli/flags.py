"""Command-line flags: those of every experiment, and the knobs of a page."""

from collections.abc import Sequence
from typing import Any

from absl import flags

from fdl import pages
from fdl.cli import modes
from fdl.cli.parsers import AnyFlag, Axes, Number, Several, WholeNumber, Words
from fdl.core.errors import UserError
from fdl.parallel import targets

DEFAULT = "digits_mlp"
KNOBS, SETTINGS = "knobs of the experiment", "execution and logging (never what is computed)"
OPTIONS, RUN, MANY = "options of any experiment", "the run", "many runs"
PROCESSES, READING, NEW_DATA = "multi-process runs", "which checkpoint is read", "new data"
SAMPLING, PREDICTING, EXPORTING = "--mode=generate", "--mode=predict", "--mode=export"
WRITING, MEASURING, DESCRIBING = "what is written", "--mode=bench", "--mode=describe"
TRAINING = "--mode=train"
_OF_MODES = TRAINING, SAMPLING, PREDICTING, EXPORTING, WRITING, MEASURING, DESCRIBING
TITLES = (KNOBS, SETTINGS, OPTIONS, RUN, MANY, PROCESSES, READING, NEW_DATA, *_OF_MODES)


class Group:
    """Defines flags under one title of the help."""

    def __init__(self, found: flags.FlagValues, title: str):
        self.at: dict[str, Any] = {"flag_values": found, "module_name": title}

    def text(self, name: str, default: str | None, help_text: str) -> None:
        """Define a flag that takes any text."""
        flags.DEFINE(Words(), name, default, help_text, **self.at)

    def several(self, name: str, default: Sequence[Any] | None, help_text: str, kind: type = str) -> None:
        """Define a flag that takes comma-separated values of one kind."""
        given = None if default is None else ",".join(map(str, default))
        parser: Any = Several(kind)  # its default is written as on the command line
        flags.DEFINE(parser, name, given, help_text, serializer=flags.CsvListSerializer(","), **self.at)

    def choice(self, name: str, default: str | None, choices: Sequence[str], help_text: str) -> None:
        """Define a flag that takes one of these choices."""
        flags.DEFINE_enum(name, default, list(choices), help_text, **self.at)

    def yes(self, name: str, default: bool | None, help_text: str, short_name: str | None = None) -> None:
        """Define a flag that is on or off."""
        flags.DEFINE_bool(name, default, help_text, short_name=short_name, **self.at)

    def whole(self, name: str, default: int | None, help_text: str, least: int | None = None) -> None:
        """Define a flag that takes an integer with a lower bound."""
        flags.DEFINE(WholeNumber(least, None), name, default, help_text, **self.at)

    def number(self, name: str, default: float | None, help_text: str, least: float | None = None) -> None:
        """Define a flag that takes a float with a lower bound."""
        flags.DEFINE(Number(least, None), name, default, help_text, **self.at)


def general_flags() -> flags.FlagValues:
    """Return the flags of every experiment."""
    found = flags.FlagValues()
    found.set_gnu_getopt(True)  # flags may follow the folders of --mode=compare
    run = Group(found, RUN)
    run.text("experiment", DEFAULT, "the name of a page of experiments/, or its file path")
    run.choice("mode", "train", [*modes.MODES, "compare", "doctor"], "what to do with it")
    run.text(
        "workdir", None, "the run folder, or s3://BUCKET/FOLDER; default: runs/ with the page's name and changed knobs"
    )
    run.yes("list", False, "list all experiments and exit")
    run.yes("help", False, "show this help and exit", short_name="h")
    _options(Group(found, OPTIONS))
    _settings(Group(found, SETTINGS))
    _runs_and_processes(found)
    _of_modes(found)
    return found


def _options(options: Group) -> None:
    options.choice("precision", None, ["bfloat16", "float16"], "compute in 16 bits; parameters stay float32")
    options.choice(
        "matmul_precision",
        None,
        ["default", "high", "highest"],
        "of float32 matrix products; highest is float32 on TPUs",
    )
    optimizers, schedules = ["adamw", "muon", "sgd"], ["warmup_cosine", "warmup_linear", "warmup_constant", "constant"]
    options.choice("optimizer", None, optimizers, "with the page's learning rate and weight decay")
    options.choice("schedule", None, schedules, "of the learning rate, whose peak is the page's")
    options.number("clip", None, "the largest global norm of a gradient, 0 for no clipping", 0)
    options.choice("remat", None, ["none", "dots", "all"], "what the blocks of a Transformer compute again, for memory")
    options.number("ema_decay", None, "evaluate with an exponential moving average of the weights")
    options.text("init", None, "start from the weights of another run: its folder")
    options.several("fresh", None, "with --init, module paths that stay as initialised, such as a new head")
    options.text("lora", None, "train low-rank adapters of kernels: a rank, and modules, as in 8:attention")
    options.yes("balance", None, "weigh the classes in training, so that rare ones count as much as others")
    options.text("fold", None, "train one fold alone: 2/5 holds out the second of five as its validation split")
    options.several("freeze", None, "module paths whose parameters are frozen, such as Dense_0,Block_0/attention")


def _settings(settings: Group) -> None:
    settings.choice(
        "accelerator", None, ["any", "cpu", "gpu", "tpu"], "kind of device, with no fallback to another (any)"
    )
    settings.choice("executor", None, ["auto", "jit", "pmap", "mesh"], "how a step is distributed over devices (auto)")
    axes = "mesh axes data, fsdp and model with their sizes, such as data:2,model:4 (all data)"
    flags.DEFINE(Axes(), "mesh", None, axes, **settings.at)
    settings.choice("feed", None, ["auto", "resident", "streamed"], "whether the data is stored on the device (auto)")
    settings.whole("fake_devices", None, "simulate this many devices on the CPU", 1)
    settings.whole("accumulate", None, "gradient accumulation: micro-batches per step", 1)
    settings.whole("evaluate_batch_size", None, "batch size of evaluation", 1)
    settings.whole("steps_per_call", None, "steps compiled into one program (chosen by model)", 1)
    settings.text("kernels", None, "custom, reference or native (C++), or by name: lstm=reference (by platform)")
    settings.yes("keep_memory", None, "on the CPU, keep freed memory allocated for the next step (true)")
    settings.whole("log_every", None, "steps between lines of metrics.jsonl (50)", 1)
    settings.whole("evaluate_every", None, "steps between evaluations, 0: at the end (ten a run)", 0)
    settings.whole("save_every", None, "steps between checkpoints, 0: at the end (as evaluations)", 0)
    settings.whole("keep", None, "checkpoints to keep: so many of the newest, besides the best (2)", 1)
    settings.whole("keep_every", None, "steps after which one more checkpoint is kept for good (none)", 1)
    settings.text("monitor", None, "the validation metric that chooses the best checkpoint (loss)")
    settings.whole(
        "patience", None, "evaluations in a row without a better one that end training, 0: never (by page)", 0
    )
    settings.number("minutes", None, "stop after so many minutes of training; not reproducible (never)", 0)
    settings.yes("baseline", None, "after training, measure the page's classical baselines (true)")
    settings.choice("nonfinite", None, ["stop", "skip"], "what to do if a loss or update is not finite (stop)")


def _runs_and_processes(found: flags.FlagValues) -> None:
    many = Group(found, MANY)
    many.whole("seeds", None, "train this many seeds as one program", 1)
    many.whole("folds", None, "cross-validation: train this many folds as one program, each held out once", 2)
    many.text("population", None, "hyperparameters to train as one program: learning_rate=1e-4..1e-2:log:16, or =1,2,3")
    many.text("sweep", None, "flag values, one run per combination, in sequence: width=64,128 seed=0,1")
    processes = Group(found, PROCESSES)
    processes.yes("distributed", False, "join a multi-process run (detected on a cluster, else set by:)")
    processes.text("coordinator", None, "host:port of the first process")
    processes.whole("processes", None, "number of processes", 1)
    processes.whole("process", None, "index of this process, from 0", 0)


def _of_modes(found: flags.FlagValues) -> None:
    trackers = "write the metrics to wandb, mlflow or trackio as well, or to several: mlflow,trackio"
    Group(found, TRAINING).several("track", None, trackers)
    which = "that of the report's test, which is the last or with patience the best; the best on validation; the last"
    Group(found, READING).choice("checkpoint", "tested", ["tested", "best", "last"], which)
    new = "in the place of a split: a file, a folder, a pattern, or - for lines to predict; to evaluate, with targets"
    Group(found, NEW_DATA).text("input", None, new)
    sampling = Group(found, SAMPLING)
    sampling.text("prompt", "", "the text to continue")
    sampling.whole("max_tokens", 200, "tokens to generate", 1)
    sampling.number("temperature", 1.0, "0 is greedy decoding", 0)
    sampling.whole("top_k", None, "sample from the k most likely tokens", 1)
    sampling.number("top_p", 1.0, "nucleus sampling: total probability of the candidates")
    seed = WholeNumber(0, 2**32 - 1)
    flags.DEFINE(seed, "sample_seed", 0, "random seed of the sampling", **sampling.at)
    predicting = Group(found, PREDICTING)
    predicting.text("split", "test", "the split to predict")
    predicting.several("columns", None, "of new data, what to write: Id,price; all where none is named")
    predicting.whole("beams", 1, "of new data, the beam width of decoded sequences; 1 is greedy", 1)
    predicting.text(
        "threshold", None, "of two classes, from which probability on the second is answered; best: highest F1"
    )
    predicting.yes("calibrate", None, "of two classes, probabilities at the temperature that fits validation best")
    formats = ["stablehlo", "onnx", "safetensors"]
    exporting, libraries = Group(found, EXPORTING), ["path", "torchvision", "timm", "huggingface"]
    exporting.choice("format", "stablehlo", formats, "of the file, which needs no fdl to be read")
    exporting.choice("names", "path", libraries, "of tensors in safetensors: by path, or those that a library reads")
    where = "a .jsonl or .csv file of predictions, the file of an export, or the page of a comparison"
    Group(found, WRITING).text("output", None, where)
    measuring = Group(found, MEASURING)
    measuring.yes("peak", False, "measure the device's peak, and the share of it that a step reaches")
    measuring.text("against", None, "the JSON of an earlier bench to compare with")
    measuring.text("profile", None, "a folder for a trace of one call; the longest operations are listed")
    measuring.text("out", None, "the JSON file; default: the run folder's name with .bench.json")
    Group(found, DESCRIBING).choice(
        "chip",
        None,
        sorted(targets.TARGETS),
        "compile for this chip, which need not be available, and report whether it fits",
    )


def add_knobs(found: flags.FlagValues, page: pages.Page) -> None:
    """Define a flag per knob of the page; a knob with the name of a setting or option replaces it."""
    replaceable = {flag.name for title in (SETTINGS, OPTIONS) for flag in found.flags_by_module_dict()[title]}
    group = Group(found, KNOBS)
    for knob in page.knobs:
        if knob.name in replaceable:
            delattr(found, knob.name)
        elif knob.name in found:
            raise UserError(f"{page.path}: knob {knob.name} is the name of a flag of every experiment; choose another")
        help_text = knob.help or knob.name.replace("_", " ")
        if knob.choices:
            group.choice(knob.name, knob.default, knob.choices, help_text)
        elif knob.many:
            group.several(knob.name, knob.default, help_text, knob.kind)
        else:
            define: dict[type, Any] = {int: group.whole, float: group.number, bool: group.yes, str: group.text}
            define[knob.kind](knob.name, knob.default, help_text)


def groups(found: flags.FlagValues) -> dict[str, list[AnyFlag]]:
    """Return the flags by title."""
    return {title: found.flags_by_module_dict().get(title, []) for title in TITLES}
