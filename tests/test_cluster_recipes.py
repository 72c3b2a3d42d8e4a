"""The files of docs/recipes/cluster/: what they start has flags that exist, and what ends is started again or not."""

import re
import subprocess
from pathlib import Path

import pytest

from fdl.cli import flags

FOLDER = Path(__file__).parents[1] / "docs" / "recipes" / "cluster"


@pytest.mark.parametrize("name", ["train.sbatch", "jobset.yaml", "fdl.service"])
def test_every_flag_of_a_recipe_exists(name):
    text = "\n".join(line for line in (FOLDER / name).read_text().splitlines() if "#SBATCH" not in line)
    used = set(re.findall(r"--(\w+)", text))
    assert {"workdir"} <= used
    assert used <= set(flags.general_flags())


@pytest.mark.parametrize(
    ("codes", "starts", "code"),
    [([75, 137, 1, 0], 4, 0), ([75, 2, 0], 2, 2), ([0], 1, 0)],
    ids=["lost", "refused", "done"],
)
def test_a_command_is_started_again_until_it_is_done_or_refused(codes, starts, code, tmp_path):
    counted = tmp_path / "starts"
    command = tmp_path / "command"
    lines = [f'case $(wc -l < "{counted}") in', *(f"{i}) exit {one} ;;" for i, one in enumerate(codes, 1)), "esac"]
    command.write_text("\n".join([f'echo >> "{counted}"', *lines]))
    ended = subprocess.run(["bash", FOLDER / "again.sh", "bash", command], env={"WAIT": "0", "PATH": "/usr/bin:/bin"})
    assert (ended.returncode, len(counted.read_text())) == (code, starts)
