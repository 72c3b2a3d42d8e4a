import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fdl import pages

ROOT = Path(__file__).resolve().parent.parent


def launch(*words, cwd=ROOT, **environment):
    kept = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *words],
        capture_output=True, text=True, timeout=180, cwd=cwd, env={**kept, "JAX_PLATFORMS": "cpu", **environment},
    )  # fmt: skip


def test_launch_alone_trains_the_default_and_leaves_a_report(tmp_path):
    workdir = Path("runs/digits_mlp")
    done = launch(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / workdir / "report.json").read_text())
    assert report["experiment"] == "digits_mlp"
    assert report["metrics"]["test"]["n"] > 100
    assert report["metrics"]["test"]["accuracy"] > 0.95
    assert report["steps_per_second"] > 0
    last = done.stdout.strip().splitlines()[-7:]
    assert f"n={report['metrics']['test']['n']}" in last[0]
    assert "best by validation loss" in last[1]
    assert "steps/s" in last[2]
    assert str(workdir) in last[3]
    assert done.stderr == ""  # no bar in a pipe
    pasted = " ".join(last[5].split())
    assert pasted.endswith("--workdir=runs/digits_mlp --mode=evaluate --checkpoint=best")
    assert subprocess.run(pasted, shell=True, capture_output=True, cwd=tmp_path, check=False).returncode == 0
    names = {path.name.split(".")[0] for path in (tmp_path / workdir).iterdir()}
    assert {"experiment", "metrics", "events", "checkpoints", "report"} <= names
    again = launch(cwd=tmp_path)
    assert "finished already" in again.stdout
    other = launch("--epochs=4", f"--workdir={workdir}", cwd=tmp_path)
    assert (other.returncode, "epochs is 40.0 there and 4.0 here" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--experiment=digits_mpl"], "did you mean 'digits_mlp'"),
        (["--widht=3"], "has no flag --widht; did you mean 'width'"),
        (["--width=three"], "--width=three"),
        (["--executor=warp"], "--executor=warp"),
        (["--mode=fly"], "--mode=fly"),
        (["--track=comet"], "--track=comet is none of wandb, mlflow, trackio"),
        (["digits_cnn"], "'digits_cnn' is no flag"),
        (["--epochs=0"], "epochs 0 and batch_size 64 must be positive"),
        (["--width=0"], "no width may be 0"),
        (["--width=2.5"], "--width=2.5: write a whole number"),
        (["--dropout=half"], "--dropout=half: write a number"),
        (["--depth=-1"], "depth=-1 is below 0"),
        (["--learning_rate=nan"], "learning_rate=nan is no number"),
        (["--dropout=1.5"], "dropout 1.5 is not a rate"),
        (["--fresh="], "--fresh is empty; give it a value, or leave it out"),
        (["--prompt=a"], "--prompt is for --mode=generate and this is --mode=train; leave it out"),
        (["--process=1"], "--process is for --distributed"),
        (["--distributed", "--processes=2"], "--distributed lacks --coordinator and --process"),
        (["--sweep=widht=3"], "has no flag --widht; did you mean 'width'"),
        (["--sweep=width=3,x"], "--sweep: width=x: write a whole number"),
        (["--sweep=mode=describe"], "--sweep: mode is no part of what a run is"),
        (["--sweep=width=3", "--seeds=2"], "--seeds and --sweep are two ways to many runs"),
        (["--seeds=2", "--seed=5"], "--seed is one number and the population varies it"),
        (["--distributed", "--coordinator=a", "--processes=1", "--process=0"], "--coordinator=a is not host:port"),
        (["--experiment=digits_cnn", "--channels=8,x"], "--channels=8,x: write whole numbers with commas between"),
        (["--mesh=data:3"], "mesh data:3 takes 3 devices and there are 1"),
        (["--mesh=banana"], "write axis:devices, such as data:2,model:4"),
        (["--fake_devices=0"], "--fake_devices=0"),
        (["--fake_devices=2", "--accelerator=gpu"], "leave out --accelerator=gpu"),
        (["--accelerator=tpu"], "accelerator 'tpu' is not available: jax sees 1 cpu device"),
        (["--fake_devices=8", "--batch_size=100"], "batch_size 100 does not divide over 8 devices; try 96 or 104"),
        (["--mode=evaluate", "--workdir=/nowhere/at/all"], "holds no run"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, words, message):
    done = launch(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_list_and_help_do_not_import_jax(tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError('jax was imported')")
    (tmp_path / "numpy.py").write_text("raise ImportError('numpy was imported')")
    listing = launch("--list", PYTHONPATH=str(tmp_path))
    assert listing.returncode == 0, listing.stderr
    assert "digits_mlp" in listing.stdout
    helped = launch("--help", PYTHONPATH=str(tmp_path))
    assert helped.returncode == 0, helped.stderr
    assert "--width" in helped.stdout
    assert launch("--widht=1", PYTHONPATH=str(tmp_path)).returncode == 2


@pytest.mark.parametrize("variable", ["JAX_DISABLE_JIT", "JAX_DEBUG_NANS", "JAX_DEBUG_INFS"])
@pytest.mark.parametrize("words", [[], ["--seeds=2"], ["--mode=evaluate", "--experiment=digits_mlp"]])
def test_a_debug_mode_that_programs_cannot_follow_is_refused_in_one_line(tmp_path, variable, words):
    if words and variable != "JAX_DISABLE_JIT":
        pytest.skip("one variable in every mode, and every variable in one")
    done = launch(*words, "--workdir=run", cwd=tmp_path, **{variable: "1"})
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{variable} is set" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--list"], ["--help"], ["--experiment=gpt2", "--help"]])
def test_what_is_shown_fits_a_terminal_of_80_columns(words):
    shown = launch(*words)
    assert (shown.returncode, [line for line in shown.stdout.splitlines() if len(line) > 80]) == (0, [])
    assert "enum" not in shown.stdout


def test_a_page_may_import_what_lies_beside_it_and_a_run_belongs_to_that_as_well(tmp_path):
    """Two folders may each have a helper of one name, and no page's file is taken for an installed package later."""
    page = "from helper import WIDTH\nfrom fdl import load\n\ndef experiment(*, seed: int = 0):\n"
    page += "    import late\n    return load('digits_mlp', width=WIDTH * late.TIMES, seed=seed)\n"
    for name, width in (("a", 3), ("b", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "page.py").write_text(page)
        (tmp_path / name / "helper.py").write_text(f"WIDTH = {width}\n")
        (tmp_path / name / "late.py").write_text("TIMES = 1\n")
        (tmp_path / name / "colorsys.py").write_text("raise ImportError('a file beside a page')\n")
    code = (
        "import sys, fdl\n"
        "widths = [fdl.load(f'{name}/page.py').model.hidden[0] for name in 'aba']\n"
        "import colorsys\n"
        "print(*widths)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert (done.returncode, done.stdout.split()) == (0, ["3", "5", "3"]), done.stderr
    words = [f"--experiment={tmp_path / 'a' / 'page.py'}", f"--workdir={tmp_path / 'run'}"]
    digests = pages.read(str(tmp_path / "a" / "page.py")).imports()
    assert set(digests) == {"helper", "late"}
    assert launch(*words, "--mode=describe").returncode == 0
    (tmp_path / "a" / "helper.py").write_text('"""Says more."""\nWIDTH = 3  # neurons\n')
    assert pages.read(str(tmp_path / "a" / "page.py")).imports() == digests
    (tmp_path / "a" / "helper.py").write_text("WIDTH = 4\n")
    assert pages.read(str(tmp_path / "a" / "page.py")).imports() != digests


def test_who_reads_only_the_beginning_of_a_list_sees_no_error():
    listing = subprocess.Popen(
        [sys.executable, str(ROOT / "launch.py"), "--list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    listing.stdout.close()
    assert (listing.wait(60), listing.stderr.read()) == (0, "")
    listing.stderr.close()


def test_a_fault_of_the_users_own_code_keeps_its_traceback(tmp_path):
    page = tmp_path / "mine.py"
    page.write_text('"""Mine."""\n\n\ndef experiment(*, seed: int = 0, batch_size: int = 1):\n    return int("one")\n')
    done = launch(f"--experiment={page}")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_mesh_is_given_by_its_axes(tmp_path):
    words = ["--mode=describe", "--fake_devices=4", "--mesh=data:2,fsdp:2"]
    done = launch(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mesh" in done.stdout


def test_a_table_that_is_mended_trains_where_it_failed_and_one_that_changed_is_refused(tmp_path):
    table, words = tmp_path / "t.csv", ["--experiment=table", "--dataset=t.csv", "--target=y", "--epochs=2"]
    rows = [f"{i / 2},{(i * 7) % 13}" for i in range(60)]
    table.write_text("\n".join(["x,y", *rows[:-1], "59,inf"]))
    assert launch(*words, cwd=tmp_path).returncode == 2
    table.write_text("\n".join(["x,y", *rows]))
    mended = launch(*words, cwd=tmp_path)
    assert mended.returncode == 0, mended.stderr
    table.write_text("\n".join(["x,y", *rows[:-1], "59,12"]))
    changed = launch(*words, cwd=tmp_path)
    assert changed.returncode == 2
    assert "holds another run" in changed.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_the_pages_of_the_guide_run_as_they_stand(tmp_path, number):
    text = (ROOT / "docs" / "guide.md").read_text()
    page = tmp_path / "page.py"
    page.write_text(text.split("```python\n")[number].split("```", 1)[0])
    done = launch(f"--experiment={page}", "--epochs=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_flag_file_says_which_page_it_is_for(tmp_path):
    (tmp_path / "flags").write_text("--experiment=digits_cnn\n--hidden=24\n")
    shown = launch(f"--flagfile={tmp_path / 'flags'}", "--help")
    assert (shown.returncode, "experiment digits_cnn" in shown.stdout) == (0, True)
    missing = launch(f"--flagfile={tmp_path / 'none'}")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_a_word_that_is_no_text_is_refused_in_one_line(tmp_path):
    done = launch("--workdir=runs/\udcff\x1b[2J")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert r"--workdir=runs/\udcff\x1b[2J is not UTF-8" in done.stderr


def test_a_page_that_leaves_is_a_fault_and_no_success(tmp_path):
    (tmp_path / "leaves.py").write_text("import sys\n\ndef experiment(*, seed: int = 0):\n    sys.exit(0)\n")
    done = launch(f"--experiment={tmp_path / 'leaves.py'}", f"--workdir={tmp_path / 'run'}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "called sys.exit(0)" in done.stderr


def test_an_environment_in_which_jax_does_not_start_is_one_line(tmp_path):
    done = launch(f"--workdir={tmp_path / 'run'}", JAX_ENABLE_X64="maybe")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "JAX does not start" in done.stderr
    assert "maybe" in done.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--workdir=az://box/run",),
        ("--workdir=az://b", "--sweep=width=4,8"),
        ("--mode=predict", "--output=s3://b/x.csv"),
    ],
)
def test_an_address_is_one_line_before_anything_is_made(flags, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "launch.py"), *flags], capture_output=True, text=True, cwd=tmp_path, env=os.environ
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "is an address" in done.stderr
    assert not list(tmp_path.iterdir())
