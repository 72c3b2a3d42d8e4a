import os
import subprocess
import sys
from pathlib import Path

import pytest

from fdl.runs.streams import printable

TALK = """
import sys
from fdl.runs import streams
streams.outlive_readers()
for i in range(20_000):
    print("line", i, "\\x1b[31m \\udcff \\u03a3")
print("bar \\x1b[A", file=sys.stderr, flush=True)
open(sys.argv[1], "w").write("the end")
sys.exit(3)
"""
HEAD = "{} | head -1; exit ${{PIPESTATUS[0]}}"


def talk(mark: Path, shell: str, **environment: str) -> tuple[int, str]:
    command = f"{sys.executable} -c '{TALK}' {mark}"
    done = subprocess.run(
        ["bash", "-c", shell.format(command)], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("shell", [HEAD, "{} >/dev/full 2>/dev/full", "{} >&-", "{} >&- 2>&- <&-"])
def test_a_process_outlives_its_readers_and_its_exit_code_is_its_own(tmp_path, shell):
    assert talk(tmp_path / "mark", shell)[0] == 3
    assert (tmp_path / "mark").read_text() == "the end"


def test_what_a_terminal_would_obey_is_shown_escaped_and_what_it_cannot_show_as_well(tmp_path):
    code, said = talk(tmp_path / "mark", "{}", PYTHONIOENCODING="ascii")
    assert code == 3
    assert said.splitlines()[0] == r"line 0 \x1b[31m \udcff \u03a3"
    assert said.endswith("bar \x1b[A\n")  # of the progress bar


def test_printable_keeps_words_of_all_scripts():
    words = "Σ é 雪 👩‍👩‍👧 \t\r\n"
    assert printable(words) == words
    assert printable("a\rb\x9b2J\u202ecod\x07") == r"a\rb\x9b2J\u202ecod\x07"
