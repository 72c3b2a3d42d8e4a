"""What is said where memory is out: numbers and arrays from the compiler's message, and only flags that exist."""

import re

from fdl import pages
from fdl.cli import endings
from fdl.cli.flags import add_knobs, general_flags
from fdl.core import out_of_memory

TPU = """RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 17.17G of 15.75G hbm. Exceeded hbm capacity by 1.42G.

Total hbm usage >= 17.42G:
    reserved        258.00M
    program          13.73G
    arguments         3.43G

  Largest program allocations in hbm:

  1. Size: 13.73G
     Operator: op_name="jit(fused)/jit(main)/while/body/gather" source_file="dataset.py" source_line=190
     Shape: u8[1200000,32,32,3]{2,1,3,0:T(8,128)(4,1)}
     Unpadded size: 3.43G
     Allocation type: HLO temp
     ==========================

  2. Size: 2.00G
     Shape: (f32[65536,64]{0,1:T(8,128)S(1)}, u32[]{:S(2)})
     Allocation type: HLO temp
     ==========================

  3. Size: 512B
     Shape: f32[128]{0}
     ==========================
"""  # noqa: E501


def test_the_tpu_compilers_message_gives_its_numbers_and_its_largest_arrays():
    assert out_of_memory.is_out_of_memory(RuntimeError(TPU))
    assert out_of_memory.summary(TPU) == (
        "out of memory: 17.17 GiB used of 15.75 GiB; the largest: 13.73 GiB u8[1200000,32,32,3] (gather), "
        "2.00 GiB (f32[65536,64], u32[])"
    )


def test_the_other_messages_keep_what_they_tell():
    for said, told in (
        ("RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes.\n  a long\n tale", "allocating 17179869184"),
        ("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 13.87GiB.\n more", "allocate 13.87GiB"),
    ):
        assert out_of_memory.is_out_of_memory(RuntimeError(said))
        assert told in out_of_memory.summary(said)
    assert "(9, 9)" in out_of_memory.summary(
        str(MemoryError("Unable to allocate 1. GiB for an array with shape (9, 9)"))
    )
    assert not out_of_memory.is_out_of_memory(RuntimeError("anything else"))


def test_only_flags_that_exist_are_named():
    page = pages.read("digits_mlp")
    found = general_flags()
    add_knobs(found, page)
    line = endings.remedy(RuntimeError(TPU), page, "train", {})
    assert "\n" not in line
    named = re.findall(r"--(\w+)", line)
    assert {"batch_size", "accumulate", "evaluate_batch_size"} <= set(named)
    assert all(name in found for name in named)


def test_what_to_change_is_of_the_mode_that_ran_out(tmp_path):
    page, error = pages.read("digits_mlp"), MemoryError("Unable to allocate 74.5 GiB for an array")
    said = endings.remedy(error, page, "predict", {"input": "all.npy"})
    assert "split --input=all.npy into several files" in said
    assert "saved" not in said
    assert "--accumulate" not in said
    assert "--max_tokens" in endings.remedy(error, page, "generate", {})
    assert "--batch_size" not in endings.remedy(error, page, "evaluate", {}).replace("--evaluate_batch_size", "")
