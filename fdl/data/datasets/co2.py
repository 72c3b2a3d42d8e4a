"""Carbon dioxide in the air of Mauna Loa, weekly from 1958 to 2001: Keeling and Whorf 2004, as statsmodels ships it."""

import importlib.util
from dataclasses import replace
from pathlib import Path

from fdl.core.errors import UserError
from fdl.data.readers.table_files import table_file
from fdl.data.records import Records


def co2() -> Records:
    """Return records with `co2` in parts per million, one row a week, some missing, and the `date` of each."""
    found = importlib.util.find_spec("statsmodels")
    if found is None or found.origin is None:
        raise UserError("the CO2 series is part of statsmodels, which is not installed; run: pip install statsmodels")
    file = Path(found.origin).parent / "datasets" / "co2" / "co2.csv"
    if not file.is_file():
        raise UserError(f"{file} is not there; install a statsmodels that ships its datasets")
    return replace(table_file(file), name="co2")
