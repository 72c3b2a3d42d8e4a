"""Export a trained model to a file that needs no fdl: StableHLO, ONNX or safetensors.

Programs hold the weights and what a dataset does on the device (casts, scales, spectrograms), and are traced with
reference kernels alone, so that they run on any machine. Each export is read back and its answers are compared with the
run's before it counts.

Shape legend: n examples.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np

from fdl.core import kernel_choice
from fdl.core.errors import Fault, UserError, brief
from fdl.core.log import Log, logger
from fdl.core.types import PyTree
from fdl.data.modalities.kept import dataset_json
from fdl.engine.answers import predicts_change
from fdl.experiment import Experiment
from fdl.models.leaf_names import flat_names
from fdl.models.published.convert import tensors_of
from fdl.models.published.weight_files import read_tensors
from fdl.modes.evaluate import trained
from fdl.modes.prediction_file import below_folders
from fdl.runs import workdir as run_folder
from fdl.runs.atomic_files import write_json
from fdl.runs.provenance import versions
from fdl.runs.workdir import local, on_local_folder
from fdl.trained import Trained, Which, variables_of

Format = Literal["stablehlo", "onnx", "safetensors"]
Names = Literal["path", "torchvision", "timm", "huggingface"]
PLATFORMS = ("cpu", "cuda", "tpu")
SUFFIXES = {"stablehlo": ".stablehlo", "onnx": ".onnx", "safetensors": ".safetensors"}
CHANGE = "the change against the seasonal naive forecast, which repeats the last season of the past: add that"
COMPARED = (1, 7)  # sizes of the batches that an export is tried with
TOLERANCE, HALF_TOLERANCE = 1e-4, 3e-2  # of answers, relative to 1 or their size; for models that compute in 16 bits


@on_local_folder
def export(
    experiment: Experiment,
    workdir: Path | str,
    *,
    format: Format = "stablehlo",
    output: str | None = None,
    checkpoint: Which = "tested",
    names: Names = "path",
    log: Log | None = print,
) -> Path:
    """Export a run's checkpoint, compare the file's answers with the run's, and return the file.

    format: "stablehlo" is one program for CPU, GPU and TPU with a free batch size, read by `jax.export` alone; "onnx"
    is read by ONNX Runtime and others; "safetensors" holds the weights by path, for `--weights` and for NumPy.
    output: the file; by default `model` with the format's suffix in the run folder. A manifest in JSON lies beside it.
    names: of the tensors of "safetensors": by path, or those that a library reads.
    """
    log, workdir = logger(log), local(workdir)
    if format not in get_args(Format):
        raise UserError(f"format {format!r} is not one of {', '.join(get_args(Format))}")
    if names != "path" and format != "safetensors":
        raise UserError(f"--names={names} is of tensors, which {format} has none of; add --format=safetensors")
    target = below_folders(Path(output) if output else workdir / f"model{SUFFIXES[format]}")
    if target.suffix != SUFFIXES[format]:
        raise UserError(f"--output={output} does not end in {SUFFIXES[format]}, as a file of --format={format} does")
    step, state = trained(experiment, workdir, checkpoint, log)
    model = Trained(experiment=experiment, folder=workdir, step=step, variables=variables_of(state))
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.stem}.draft{target.suffix}")
    try:
        if format == "safetensors":
            count = _write_tensors(model, draft, names)
            log(f"step {step}: {count} tensors by {names} names, equal to the checkpoint's")
        else:
            rows, whence = _rows(model, max(COMPARED))
            answer = _WRITERS[format](model, draft)
            difference = _difference(model, answer, rows)
            log(f"step {step}: answers of {whence} differ by at most {difference:.2g} from the run's")
            log("traced with reference kernels, so that it runs anywhere; a kernel of this machine may round otherwise")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    if predicts_change(experiment.dataset) and format != "safetensors":
        log(f"value is {CHANGE}")
    write_json(target.with_suffix(".json"), manifest(model, format))
    log(f"{target} ({target.stat().st_size / 2**20:,.1f} MiB), with {target.with_suffix('.json').name}")
    return target


# ── Formats ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Answer = Callable[[PyTree], Mapping[str, Any]]


def _write_stablehlo(model: Trained, file: Path) -> Answer:
    """Write one program for all platforms and return its function, read back from the file."""
    from jax import export as jax_export

    (size,) = jax_export.symbolic_shape("n")
    shapes = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype), model.experiment.dataset.spec.inputs
    )
    with kernel_choice.reference_forms():
        exported = jax_export.export(jax.jit(lambda inputs: model.forward(inputs)), platforms=PLATFORMS)(shapes)
    try:
        file.write_bytes(exported.serialize())
    except ImportError:
        raise UserError("--format=stablehlo needs flatbuffers; pip install 'fdl[export]'") from None
    back = jax_export.deserialize(bytearray(file.read_bytes()))
    return lambda inputs: back.call(inputs)


def _write_onnx(model: Trained, file: Path) -> Answer:
    """Write an ONNX graph with a free batch size and return its function, run by ONNX Runtime."""
    try:
        import jax2onnx
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"--format=onnx needs {error.name}; pip install 'fdl[onnx]', in an environment of its own: jax2onnx holds "
            "back other packages"
        ) from None
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of shapes that are free on purpose
    wanted = model.experiment.dataset.spec.inputs
    names = list(wanted) if isinstance(wanted, Mapping) else ["inputs"]
    leaves = [wanted[name] for name in names] if isinstance(wanted, Mapping) else [wanted]
    outputs = list(jax.eval_shape(model.forward, jax.tree.map(_one_row, wanted)))

    def positional(*inputs: jax.Array) -> tuple[jax.Array, ...]:
        given = dict(zip(names, inputs, strict=True)) if isinstance(wanted, Mapping) else inputs[0]
        found = model.forward(given)
        return tuple(found[name] for name in outputs)

    shapes = [jax.ShapeDtypeStruct(("n", *leaf.shape), leaf.dtype) for leaf in leaves]
    try:
        with kernel_choice.reference_forms():
            jax2onnx.to_onnx(
                positional, shapes, return_mode="file", output_path=str(file), input_names=names, output_names=outputs
            )
    except Exception as error:  # of an operation that ONNX, or the converter, does not know
        raise UserError(
            f"this model has no form in ONNX yet ({type(error).__name__}: {brief(error)}); --format=stablehlo has all"
        ) from error
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def answer(inputs: PyTree) -> Mapping[str, Any]:
        given = inputs if isinstance(inputs, Mapping) else {"inputs": inputs}
        return dict(zip(outputs, session.run(outputs, {name: np.asarray(given[name]) for name in names}), strict=True))

    return answer


_WRITERS: Mapping[str, Callable[[Trained, Path], Answer]] = {"stablehlo": _write_stablehlo, "onnx": _write_onnx}


def _write_tensors(model: Trained, file: Path, names: Names) -> int:
    """Write the weights by path or a library's names and compare what is read back; return their number."""
    from safetensors.numpy import save_file

    by_path = names == "path"
    wanted = flat_names(model.variables) if by_path else tensors_of(model.model, model.variables, names)
    mark = None if by_path else {"format": "pt"}  # without which `transformers` reads no file
    save_file({name: np.asarray(tensor, order="C") for name, tensor in wanted.items()}, file, mark)
    back = read_tensors(file)
    if back.keys() != wanted.keys() or any(not np.array_equal(back[name], wanted[name]) for name in wanted):
        raise Fault(f"{file} does not hold what was written; is the disk sound?")
    return len(back)


# ── Comparison ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _one_row(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype)


def _rows(model: Trained, count: int) -> tuple[PyTree, str]:
    """Return some inputs, and what they are: of the test split, or made up where the data is not here."""
    dataset = model.experiment.dataset
    try:
        source = dataset.load("test")
    except (UserError, OSError):
        random = np.random.default_rng(0)

        def made_up(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
            if np.issubdtype(leaf.dtype, np.floating):
                return random.normal(size=(count, *leaf.shape)).astype(leaf.dtype)
            if jax.tree_util.keystr(path, simple=True) == "categories":
                most = min(dataset.spec.categories, default=1)
            else:
                most = 256 if leaf.dtype == np.uint8 else dataset.spec.vocabulary or 2
            return random.integers(0, most, (count, *leaf.shape)).astype(leaf.dtype)

        inputs = jax.tree_util.tree_map_with_path(made_up, dataset.spec.inputs)
        return inputs, f"{count} made-up rows (the data is not here)"
    count = min(count, len(source))
    return source.fetch(np.arange(count)).inputs, f"{count} test rows"


def _difference(model: Trained, answer: Answer, rows: PyTree) -> float:
    """Return the greatest difference of the file's answers; raise a Fault where it is more than rounding."""
    half = getattr(model.model, "dtype", None) is not None
    tolerance, worst = HALF_TOLERANCE if half else TOLERANCE, 0.0
    for size in COMPARED:
        inputs = jax.tree.map(lambda leaf, size=size: np.asarray(leaf[:size]), rows)
        wanted, got = jax.jit(model.forward)(inputs), answer(inputs)
        for name, column in wanted.items():
            one, other = np.asarray(column, np.float64), np.asarray(got[name], np.float64)
            if one.shape != other.shape:
                raise Fault(f"the export answers {name} {other.shape} and the run {one.shape}; please report it")
            if np.issubdtype(column.dtype, np.integer):  # a class may change where two are as likely
                continue
            difference = np.abs(one - other) / np.maximum(1, np.abs(one))
            worst = max(worst, float(difference.max(initial=0.0)))
    if not worst <= tolerance:
        raise Fault(f"the export's answers differ by {worst:.3g}, more than {tolerance:g}; it was removed: report it")
    return worst


def manifest(model: Trained, format: str) -> dict[str, Any]:
    """Return what a reader of an export needs: inputs, outputs, classes, units, and the plan of the data."""
    made, spec = model.experiment, model.experiment.dataset.spec
    outputs = jax.eval_shape(model.forward, jax.tree.map(_one_row, spec.inputs))
    return {
        "format": format,
        "experiment": made.name,
        "run": run_folder.digest(model.folder),
        "step": model.step,
        "inputs": _described(spec.inputs),
        "outputs": {name: [["n", *leaf.shape[1:]], np.dtype(leaf.dtype).name] for name, leaf in outputs.items()},
        "classes": list(spec.names or ()),
        "add to value": spec.offset,
        **({"value is": CHANGE} if predicts_change(made.dataset) else {}),
        "kernels": "reference",
        "platforms": list(PLATFORMS) if format == "stablehlo" else [],
        "versions": versions(),
        "data": json.loads(json.dumps(dataset_json(made.dataset), default=str)),
    }


def _described(shapes: PyTree) -> Any:
    if isinstance(shapes, Mapping):
        return {name: _described(each) for name, each in shapes.items()}
    return [["n", *shapes.shape], np.dtype(shapes.dtype).name]
