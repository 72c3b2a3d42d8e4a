"""What `--help` and `--list` print."""

from collections.abc import Mapping

from absl import flags

from fdl import pages
from fdl.cli.flags import groups
from fdl.cli.parsers import AnyFlag
from fdl.core.differences import shown
from fdl.core.wrapping import wrapped


def usage(found: flags.FlagValues, page: pages.Page, command: str, about: str) -> str:
    """Return the help text: the program, the page, and every flag with its type and default.

    command: how the program was called, replacing `python launch.py`. about: the program's docstring.
    """
    texts = about.strip("\n"), f"experiment {page.name}: {page.doc}".strip("\n")
    wrapped_texts = [text.replace("python launch.py", command).split("\n") for text in texts]
    parts = ["\n".join(map(wrapped, lines)) for lines in wrapped_texts]
    for title, of_it in groups(found).items():
        parts.append("\n".join([f"{title}:", *map(_line, of_it)]))
    return "\n\n".join(parts)


def _line(flag: AnyFlag) -> str:
    value = shown(flag.default) if isinstance(flag.default, float) else (flag.default_as_str or "").strip("'")
    return wrapped(f"  --{flag.name}={value}  ({_type(flag)})  {_help(flag)}", indent=6)


def _type(flag: AnyFlag) -> str:
    """Return the type of a flag as shown in the help."""
    parser = flag.parser
    if isinstance(parser, flags.EnumParser):
        *others, last = parser.enum_values
        return f"{', '.join(others)} or {last}" if others else str(last)
    if isinstance(parser, flags.BooleanParser):
        return "true or false"
    return str(parser.flag_type())


def _help(flag: AnyFlag) -> str:
    """Return the help of a flag without absl's prefix of choices."""
    text = flag.help or ""
    return text.split(">: ", 1)[-1] if isinstance(flag.parser, flags.EnumParser) and text.startswith("<") else text


def listing(summaries: Mapping[str, str]) -> str:
    """Return each name with its summary, wrapped to 80 columns."""
    width = max(map(len, summaries)) + 2
    return "\n".join(wrapped(f"{name:{width}}{text}", indent=width) for name, text in summaries.items())
