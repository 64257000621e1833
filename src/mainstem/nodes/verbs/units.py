"""Verbs for quantities in named units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from mainstem.errors import DefinitionError, SchemaError, UnknownName
from mainstem.nodes.verbs.base import ColumnVerb, Invalid, otherwise

if TYPE_CHECKING:
    import ibis


class Unit(NamedTuple):
    """A unit: its dimension, and how a quantity becomes one of the dimension's base: `x × factor + offset`."""

    dimension: str
    factor: float
    offset: float = 0.0


def _units() -> dict[str, Unit]:
    of = {
        "length": {"m": 1, "mm": 1e-3, "cm": 1e-2, "dm": 0.1, "km": 1e3, "in": 0.0254, "ft": 0.3048, "yd": 0.9144}
        | {"mi": 1609.344, "nmi": 1852},
        "mass": {"kg": 1, "mg": 1e-6, "g": 1e-3, "t": 1e3, "oz": 0.028349523125, "lb": 0.45359237, "st": 6.35029318},
        "time": {"s": 1, "ms": 1e-3, "us": 1e-6, "min": 60, "h": 3600, "d": 86400, "wk": 604800},
        "speed": {"m/s": 1, "km/h": 1 / 3.6, "mph": 0.44704, "kn": 1852 / 3600, "ft/s": 0.3048},
        "area": {"m2": 1, "cm2": 1e-4, "ha": 1e4, "km2": 1e6, "ft2": 0.09290304, "ac": 4046.8564224},
        "volume": {"l": 1, "ml": 1e-3, "cl": 1e-2, "hl": 100, "m3": 1000, "gal": 3.785411784, "floz": 0.0295735295625},
        "pressure": {"Pa": 1, "hPa": 100, "kPa": 1e3, "bar": 1e5, "mbar": 100, "psi": 6894.757293168, "inHg": 3386.389},
        "energy": {"J": 1, "kJ": 1e3, "MJ": 1e6, "Wh": 3600, "kWh": 3.6e6, "MWh": 3.6e9, "cal": 4.184, "kcal": 4184},
        "power": {"W": 1, "kW": 1e3, "MW": 1e6, "hp": 745.69987158227022},
        "data": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    }
    found = {name: Unit(kind, float(factor)) for kind, units in of.items() for name, factor in units.items()}
    degrees = {"K": (1.0, 0.0), "C": (1.0, 273.15), "F": (5 / 9, 273.15 - 32 * 5 / 9)}
    return found | {name: Unit("temperature", *scale) for name, scale in degrees.items()}


UNITS = _units()
"""The units by name. A gallon and a fluid ounce are those of the United States."""


class Convert(ColumnVerb, frozen=True, tag="convert"):
    """Convert quantities to the unit `to`: from one unit (`unit`), from the unit that another column names
    (`unit_column`), or, with neither, from the unit that follows the number in a text, as in `12.5 lb`. A quantity of
    an unknown unit or of another dimension, and a text that is no quantity, is `invalid`. Null stays null. The result
    is a float. Needs no statistics.

    `unit_column` then holds the unit `to` in the rows that were converted.
    """

    to: str
    unit: str = ""
    unit_column: str = ""
    invalid: Invalid = "fail"

    keeps_type: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in filter(None, (self.to, self.unit)):
            if name not in UNITS:
                raise UnknownName.among("unit", name, UNITS)
        if self.unit and self.unit_column:
            raise DefinitionError("`unit` and `unit_column` of 'convert' exclude each other", got=self.unit_column)
        if not self.to or self.unit_column == self.column:
            raise DefinitionError("'convert' needs a unit `to`, and a `unit_column` of its own", got=self.unit_column)
        if self.unit and UNITS[self.unit].dimension != UNITS[self.to].dimension:
            raise DefinitionError(
                "the units of 'convert' measure different things",
                got=f"{self.unit} ({UNITS[self.unit].dimension}) to {self.to} ({UNITS[self.to].dimension})",
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, self.unit_column) if self.unit_column else (self.column,)

    @property
    def changed(self) -> tuple[str, ...]:
        return self.columns

    @property
    def takes(self) -> str:  # type: ignore[override]
        return "a number" if self.unit or self.unit_column else "a text"

    def accepts(self, type: Any) -> bool:
        return bool(type.is_numeric() if self.unit or self.unit_column else type.is_string())

    def check(self, table: ibis.Table, place: str | None = None) -> None:
        super().check(table, place)
        if self.unit_column and not table[self.unit_column].type().is_string():
            kind = str(table[self.unit_column].type())
            raise SchemaError(f"{self.unit_column!r} names no units", where=place, got=kind, expected="a text")

    def value(self, column: Any) -> ibis.Value:
        import ibis

        if self.unit:
            return self._converted(column.cast("float64"), UNITS[self.unit])
        pattern = r"^\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([^\s0-9][^\s]*)\s*$"
        number, unit = column.re_extract(pattern, 1).try_cast("float64"), column.re_extract(pattern, 2)
        return column.re_search(pattern).ifelse(self._by_name(number, unit), ibis.null("float64"))

    def results(self, table: ibis.Table) -> dict[str, ibis.Value]:
        import ibis

        if not self.unit_column:
            return super().results(table)
        number: Any = table[self.column].cast("float64")
        unit = table[self.unit_column]
        found = self._by_name(number, unit.strip())
        return {self.column: found, self.unit_column: found.notnull().ifelse(ibis.literal(self.to), unit)}

    def _by_name(self, number: Any, unit: Any) -> Any:
        import ibis

        alike = {name: own for name, own in UNITS.items() if own.dimension == UNITS[self.to].dimension}
        cases = ((unit == name, self._converted(number, own)) for name, own in alike.items())
        return ibis.cases(*cases, else_=ibis.null("float64"))

    def _converted(self, number: Any, unit: Unit) -> Any:
        goal = UNITS[self.to]
        if unit == goal:
            return number
        return number * (unit.factor / goal.factor) + (unit.offset - goal.offset) / goal.factor

    def describe(self) -> str:
        given = self.unit or (f"the unit in {self.unit_column}" if self.unit_column else "the unit in the text")
        return f"{self.column} from {given} to {self.to}, {otherwise(self.invalid)}"
