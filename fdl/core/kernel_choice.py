"""Which form each op takes: by backend, unless `FDL_OPS` (the flag `--ops`) says otherwise.

The own forms mend what XLA does on the CPU, where they were measured (docs/performance.md); elsewhere ops are plain.
"""

import os

OPS = {
    "convolution": "backward convolutions in the form that XLA:CPU is fast at",
    "max_pool": "windows side by side remember their winner",
    "lstm": "one weight gradient after the loop, not one in every step",
    "keep": "what blocks add up and convolutions read is computed once, not again for every consumer",
    "embedding": "rows of a small table are added up by a matrix product",
}
FORMS = ("own", "plain")


def own(op: str) -> bool:
    """Say whether an op takes its own form where this is traced."""
    return chosen()[op] == "own"


def chosen() -> dict[str, str]:
    """Return the form of every op: "own" on the CPU and "plain" elsewhere, unless forced."""
    import jax  # not above: flags are checked before JAX is imported

    usual = "own" if jax.default_backend() == "cpu" else "plain"
    return dict.fromkeys(OPS, usual) | parse(os.environ.get("FDL_OPS", ""))


def parse(text: str) -> dict[str, str]:
    """Return the forms that `text` forces: "plain", "own", or some of them such as "lstm=plain,keep=own"."""
    if text in FORMS:
        return dict.fromkeys(OPS, text)
    forced = {}
    for word in filter(None, text.split(",")):
        op, _, form = word.partition("=")
        if op not in OPS or form not in FORMS:
            raise ValueError(f"--ops={text}: {word!r} is no op=form; ops are {', '.join(OPS)}; forms own and plain")
        forced[op] = form
    return forced
