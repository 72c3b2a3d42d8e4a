"""The recipes of fine-tuning: what starts from the weights, at which rate it learns, and what a run folder needs."""

import csv
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from safetensors.numpy import save_file

import fdl
import tiny
from fdl.engine.options import apply_options
from fdl.experiment import load
from fdl.models.leaf_names import flat_names
from fdl.models.published.convert import tensors_of
from fdl.modes.train import train

PAGES = {
    "finetune_image": ({"depth": 18, "size": 32}, ("head",), ("head",)),
    "finetune_text": ({"size": "tiny", "length": 8, "inputs": "text"}, ("head",), ("head", "bert/pooler")),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Gray pictures by class, and a table of texts."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, shade in (("dark", 20), ("light", 220)):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            pixels = (shade + random.integers(-20, 20, (9, 9))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{i}.png")
    with open(folder / "texts.csv", "w", newline="") as file:
        rows = [("warm" if i % 2 else "cold", f"{'sun' if i % 2 else 'ice'} number {i}") for i in range(40)]
        csv.writer(file).writerows([("kind", "text"), *rows])
    return folder


@pytest.fixture(scope="module")
def published(data, tmp_path_factory):
    """For each page a folder of the Hub: tensors in published names, of other classes, and the words of a tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sun", "ice", "number", *map(str, range(40))]
    model = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    model.enable_padding(length=64)
    folders, random = {}, np.random.default_rng(1)
    for page, library in (("finetune_image", "torchvision"), ("finetune_text", "huggingface")):
        folders[page] = tmp_path_factory.mktemp(page)
        model.save(str(folders[page] / "tokenizer.json"))
        tokenizer = {"tokenizer": str(folders[page] / "tokenizer.json")} if page == "finetune_text" else {}
        made = load(page, **knobs(page, data), **tokenizer)
        abstract = made.abstract()
        variables = jax.tree.map(
            lambda x: random.normal(0.5, 0.1, x.shape).astype(np.float32),
            {"params": abstract.params, **abstract.model_state},
        )
        save_file(tensors_of(made.model, variables, library), folders[page] / "model.safetensors")
    return folders


def knobs(page, data):
    return {**PAGES[page][0], "dataset": str(data / ("pictures" if page == "finetune_image" else "texts.csv"))}


def below(name, paths):
    return any(f"{name}/".startswith(f"{path}/") for path in paths)


@pytest.mark.parametrize("page", PAGES)
def test_the_body_starts_from_the_weights_and_learns_at_its_share_of_the_rate(page, data, published):
    _, fresh, head = PAGES[page]
    made = load(page, **knobs(page, data), weights=str(published[page]))
    abstract = made.abstract()
    zeros = {"params": abstract.params, **abstract.model_state}
    start = made.init_from(jax.tree.map(lambda x: np.zeros(x.shape, np.float32), zeros))
    for name, leaf in flat_names(start).items():
        assert bool(np.any(leaf)) != below(name.removeprefix("params/"), fresh), name

    # One step of gradients that are all 1: Adam moves each parameter by its learning rate, decay aside.
    def moved(**changed):
        one = load(page, **knobs(page, data), weights=str(published[page]), weight_decay=0.0, **changed)
        update, _ = jax.jit(lambda: one.optimizer.update(params, one.optimizer.init(params), params))()
        return {name: float(np.max(np.abs(leaf))) for name, leaf in flat_names(update).items()}

    params = jax.tree.map(lambda x: np.ones(x.shape[-1:], np.float32), abstract.params)
    tenth, frozen = moved(), moved(body=0.0)
    full = tenth["head/kernel"]
    assert full > 0
    for name in tenth:
        assert tenth[name] == pytest.approx(full if below(name, head) else full / 10, rel=1e-3), name
        assert frozen[name] == pytest.approx(full if below(name, head) else 0.0, rel=1e-3), name


def test_a_fine_tuned_run_needs_neither_the_weights_nor_the_tokenizer_any_more(data, published, tmp_path):
    weights = shutil.copytree(published["finetune_text"], tmp_path / "weights")
    given = {**knobs("finetune_text", data), "weights": str(weights), "epochs": 1.0, "batch_size": 8}
    made = apply_options(load("finetune_text", **given), lora="2:attention")
    train(made, tmp_path / "run", log=None)
    assert json.loads((tmp_path / "run" / "dataset.json").read_text())["tokens"]["unit"] == "published"
    shutil.rmtree(weights)
    model = fdl.restore(tmp_path / "run", "last")
    # LoRA: what was not adapted stands as it was published, bit for bit; the file said 64 tokens, the page says 8.
    assert model.experiment.dataset.spec.inputs["inputs"].shape == (8,)
    embedding = model.variables["params"]["bert"]["embed"]["embedding"]
    file = fdl.models.published.weight_files.read_tensors(published["finetune_text"])
    np.testing.assert_array_equal(embedding, file["bert.embeddings.word_embeddings.weight"])
    assert len(model.predict(["sun number 3", "ice number 4"])["class"]) == 2


def test_adapters_below_a_frozen_body_are_refused(data, published):
    made = load("finetune_text", **knobs("finetune_text", data), weights=str(published["finetune_text"]), body=0.0)
    with pytest.raises(ValueError, match=r"lora adapts bert/Block_0/attention/\w+/kernel, which the optimizer freezes"):
        apply_options(made, lora="2:attention").abstract()


def test_only_the_head_is_trained_and_a_path_without_parameters_is_refused():
    params = {"body": {"a": {"kernel": jnp.ones(2)}, "b": {"kernel": jnp.ones(2)}}, "head": {"kernel": jnp.ones(2)}}
    optimizer = fdl.optim.train_only(optax.sgd(1.0), ["body/b", "head"])
    update, _ = optimizer.update(params, optimizer.init(params), params)
    tiny.same(update["body"], {"a": {"kernel": np.zeros(2)}, "b": {"kernel": -np.ones(2)}})
    with pytest.raises(ValueError, match="no parameter is below 'heads'; the model has body, head"):
        fdl.optim.train_only(optax.sgd(1.0), ["heads"]).init(params)


def test_weights_that_are_not_there_are_named(data):
    with pytest.raises(ValueError, match=r"there is no file nowhere; give a \.safetensors or"):
        load("finetune_text", **knobs("finetune_text", data), weights="nowhere")
