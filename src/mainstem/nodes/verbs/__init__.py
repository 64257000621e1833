"""Verbs: named transformations of a table as frozen values, used in cleaning and in remedies.

    Rescale("dep_delay", factor=1 / 60)
    MapValues("carrier", {"UA ": "UA"})
    Deduplicate(("id",), order_by="seen_at")

base.py      what a verb is, and when it may be piped
text.py      spaces, case, regular expressions
values.py    canonical values, constants, casts
numbers.py   scale, limits, ranges, logarithms, numbers as texts
dates.py     dates and instants as texts
rows.py      duplicates and near duplicates
missing.py   missing values from rows before and after
fitted.py    what a fitted verb is
scaling.py   typical values, outliers, scales: fitted verbs
matching.py  canonical values by a reviewed file
units.py     quantities in named units
privacy.py   pseudonyms and masks

A new verb is a class in one of these modules that is added to `AnyVerb`, and a constructor in `mainstem.nodes.clean`.
"""

from __future__ import annotations

from typing import get_args

from mainstem.nodes.verbs.base import ColumnVerb, Invalid, Verb
from mainstem.nodes.verbs.dates import ParseDate
from mainstem.nodes.verbs.matching import Match
from mainstem.nodes.verbs.missing import Fill, Interpolate
from mainstem.nodes.verbs.numbers import Clip, Log, ParseNumber, Rescale, Within
from mainstem.nodes.verbs.privacy import Hash, Mask
from mainstem.nodes.verbs.rows import Deduplicate, NearDuplicates
from mainstem.nodes.verbs.scaling import ImputeFitted, Outliers, Scale
from mainstem.nodes.verbs.text import Case, Extract, MustMatch, Replace, Trim
from mainstem.nodes.verbs.units import Convert
from mainstem.nodes.verbs.values import Cast, Impute, MapValues

AnyVerb = (
    Rescale
    | MapValues
    | Clip
    | Impute
    | Trim
    | Case
    | Cast
    | Deduplicate
    | Replace
    | Extract
    | MustMatch
    | Within
    | Log
    | ParseNumber
    | ParseDate
    | Fill
    | Interpolate
    | ImputeFitted
    | Outliers
    | Scale
    | NearDuplicates
    | Match
    | Convert
    | Hash
    | Mask
)
"""Every verb. Remedies and stored findings can contain these."""

VERBS: dict[str, type[AnyVerb]] = {str(verb.__struct_config__.tag): verb for verb in get_args(AnyVerb)}
"""Verbs by name."""

__all__ = [
    "VERBS",
    "AnyVerb",
    "Case",
    "Cast",
    "Clip",
    "ColumnVerb",
    "Convert",
    "Deduplicate",
    "Extract",
    "Fill",
    "Hash",
    "Impute",
    "ImputeFitted",
    "Interpolate",
    "Invalid",
    "Log",
    "MapValues",
    "Mask",
    "Match",
    "MustMatch",
    "NearDuplicates",
    "Outliers",
    "ParseDate",
    "ParseNumber",
    "Replace",
    "Rescale",
    "Scale",
    "Trim",
    "Verb",
    "Within",
]
