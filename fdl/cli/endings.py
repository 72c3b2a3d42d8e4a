"""How a command ends: its exit code, and errors as one line."""

import dis
import re
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from fdl import pages
from fdl.core import out_of_memory
from fdl.core.errors import FAULT, STOPPED, WRONG_INPUT, Fault, Stopped, UserError
from fdl.runs import signals, streams


def refuse(error: Exception) -> int:
    """Print a user error in one line and return its exit code."""
    return end(error, WRONG_INPUT)


def end(error: BaseException, code: int) -> int:
    """Print the error that ends the program in one line and return the exit code."""
    print(f"error: {streams.printable(' '.join(str(error).split()))}", file=sys.stderr)
    return code


def stoppable(run: Callable[[], int]) -> int:
    """Return the exit code of a run; print one line if a signal ends it."""
    streams.outlive_readers()
    signals.leave_on_request(tidy=False)
    signals.end_with_parent()
    try:
        return run()
    except Stopped as stopped:
        signals.leaving()
        return end(stopped, STOPPED)
    except SystemExit as error:  # raised by a page or a library: the run is not complete
        return end(Fault(f"the page or a library it uses called sys.exit({error.code!r}); take that call out"), FAULT)


def remedy(error: Exception, page: pages.Page, mode: str, mode_args: Mapping[str, Any]) -> str:
    """Return one line with the memory used, and the flags of this mode that reduce it."""
    smaller = ["lower --batch_size"] if any(knob.name == "batch_size" for knob in page.knobs) else []
    step = [*smaller, "raise --accumulate", "lower --evaluate_batch_size", "--feed=streamed", "--precision=bfloat16"]
    ways = {
        "train": [*step, "or a smaller model; checkpoints are kept"],
        "evaluate": ["lower --evaluate_batch_size", "or --feed=streamed"],
        "predict": ["lower --evaluate_batch_size", "or --precision=bfloat16"],
        "generate": ["lower --max_tokens", "or --precision=bfloat16"],
    }.get(mode, [*step, "or a smaller model"])
    if mode_args.get("input"):
        ways = [f"split --input={mode_args['input']} into several files", "or lower --evaluate_batch_size"]
    return f"{out_of_memory.summary(str(error))}; {', '.join(ways)}"


def extra_with(module: str) -> str:
    """Return the first extra of fdl that installs a module's package, "" where none does."""
    package = module.partition(".")[0].replace("_", "-").lower()
    for line in metadata.requires("fdl") or ():
        found = re.match(r"([\w.-]+)[^;]*;.*\bextra == ['\"](\w+)['\"]", line)
        if found and found[1].replace("_", "-").lower() == package:
            return found[2]
    return ""


def ours(error: ValueError, page: pages.Page) -> bool:
    """Return whether an error was written for users: by fdl, or by a `raise` in the page's folder.

    Any other ValueError, such as that of `int("one")` in a page, is a fault of the code and needs its traceback.
    """
    if isinstance(error, UserError):
        return True
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    assert at is not None
    code = at.tb_frame.f_code
    in_page = Path(code.co_filename).resolve().parent == page.path.resolve().parent
    return in_page and dis.opname[code.co_code[at.tb_lasti]] == "RAISE_VARARGS"
