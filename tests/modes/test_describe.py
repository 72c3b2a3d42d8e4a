"""Description counts what is never allocated."""

from fdl.experiment import load
from fdl.modes.describe import describe


def test_published_sizes_are_described_exactly():
    lines: list[str] = []
    assert describe(load("imagenet_alexnet"), log=lines.append)["parameters"] == 61_100_840
    assert describe(load("bert", size="tiny"), log=lines.append)["parameters"] == 4_386_178
    said = [" ".join(line.split()) for text in lines for line in text.splitlines()]
    assert "parameters 61,100,840" in said
    assert "bert 4,385,920" in said  # the encoder besides its head


def test_what_leads_with_the_batch_is_written_so():
    described = describe(load("digits_mlp"), log=lambda text: None)
    assert [described[name] for name in ("inputs", "targets", "outputs")] == [
        "float32[B, 8, 8, 1]",
        "int32[B]",
        "float32[B, 10]",
    ]


def test_it_says_what_products_keep_of_float32():
    lines: list[str] = []
    assert describe(load("digits_mlp"), log=lines.append)["matmul_precision"] == "default"
    assert any("one bfloat16 pass on a TPU" in line and "--matmul_precision=highest" in line for line in lines)


def test_it_says_which_attention_runs_and_why():
    lines: list[str] = []
    found = describe(load("pydoc_gpt"), log=lines.append)
    assert found["kernel_notes"]["attention"] == ["reference: no fused kernel for a cpu"]
    assert any(" ".join(line.split()) == "attention reference: no fused kernel for a cpu" for line in lines)
