"""Groups a plain table in a file with DuckDB, where that gives exactly what reading record by record gives."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from intendant.plugin import Json, Table, TableUnfit, open_table, quoted
from intendant.records import in_order
from intendant_intent_aggregate._measures import Figures, Measure
from intendant_intent_aggregate._numbers import as_json, ratio
from intendant_intent_aggregate._parameters import AggregateParameters

KINDS = ("count", "sum", "mean", "min", "max", "count_distinct")
MOST_GROUPS = 200_000
"""More groups are not held at once."""
_SIMPLE = r"[+-]?\d{1,13}(\.\d{1,4})?"
"""Numbers that fit a DECIMAL(18, 4): sums of them are exact up to 38 digits."""


@dataclass(slots=True)
class _Column:
    """How one measure is computed."""

    name: str
    measure: Measure
    selected: list[str]
    """Expressions, whose values follow each other in a row."""


def grouped(
    table: Table, options: AggregateParameters, measures: dict[str, Measure], notes: list[str]
) -> list[dict[str, Json]]:
    """A record a group, sorted and cut.

    Raises:
        TableUnfit: It has to be read record by record.
    """
    if options.join or options.merge or not options.keys or options.on_error != "fail":
        raise TableUnfit
    known = set(table.columns)
    if not all(key in known for key in options.keys):
        raise TableUnfit
    columns = [_column(name, measure, known) for name, measure in measures.items()]
    with open_table(table) as engine:
        statement = _statement(engine.source, options, columns)
        found = []
        for batch in engine.rows(statement):
            found += batch
            if len(found) > MOST_GROUPS:
                raise TableUnfit
    return _rows(found, options, columns, notes)


def _column(name: str, measure: Measure, known: set[str]) -> _Column:
    field = measure.field
    if measure.kind not in KINDS or (field is not True and field not in known):
        raise TableUnfit
    if field is True:
        return _Column(name, measure, ["count(*)"])
    value = f"nullif({quoted(str(field))}, '')"
    number = f"try_cast({value} AS DECIMAL(18, 4))"
    fits = f"bool_and({value} IS NULL OR regexp_full_match({value}, '{_SIMPLE}'))"
    there = f"count({value})"
    match measure.kind:
        case "count":
            return _Column(name, measure, [there])
        case "count_distinct":
            plain = f"bool_and({value} IS NULL OR {value} = nfc_normalize({value}))"
            return _Column(name, measure, [there, plain, f"count(DISTINCT {value})"])
        case "min" | "max":
            row = "-__rn" if measure.kind == "max" else "__rn"  # the first of equal ones
            chosen = f"arg_{measure.kind}({value}, struct_pack(n := {number}, r := {row}))"
            return _Column(name, measure, [there, fits, f"{chosen} FILTER ({value} IS NOT NULL)"])
    return _Column(name, measure, [there, fits, f"sum({number})"])


def _statement(source: str, options: AggregateParameters, columns: list[_Column]) -> str:
    keys = [quoted(key) for key in options.keys]
    names = [f"__k{index}" for index in range(len(keys))]
    composed = " AND ".join(f"({key} IS NULL OR {key} = nfc_normalize({key}))" for key in keys)
    chosen = [expression for column in columns for expression in column.selected]
    given = ", ".join(f"nullif({key}, '') AS {name}" for key, name in zip(keys, names, strict=True))
    return (
        f"SELECT {', '.join(names)}, min(__rn), count(*), bool_and({composed}), {', '.join(chosen)} "  # noqa: S608
        f"FROM (SELECT *, {given}, row_number() OVER () AS __rn FROM {source}) "
        f"GROUP BY {', '.join(names)} ORDER BY min(__rn)"
    )


def _rows(
    found: list[tuple[Any, ...]], options: AggregateParameters, columns: list[_Column], notes: list[str]
) -> list[dict[str, Json]]:
    width = len(options.keys)
    kept = [row for row in found if options.include_null or all(row[:width])]
    if not kept or not all(row[width + 2] for row in kept):
        raise TableUnfit  # no group at all is an error, which is told with the first record
    read, used = sum(row[width + 1] for row in found), sum(row[width + 1] for row in kept)
    notes.append(f"{used} records in {len(kept)} groups")
    if used < read:
        notes.append(f"{read - used} records without {' or '.join(options.keys)} left out")
    figures = Figures(options.on_error)
    made = []
    for row in kept:
        record: dict[str, Json] = dict(zip(options.keys, row[:width], strict=True))
        at = width + 3
        for column in columns:
            values = row[at : at + len(column.selected)]
            record[column.name] = _value(column.measure, values, row[width + 1], figures)
            at += len(column.selected)
        made.append(record)
    notes += figures.notes()
    return in_order(made, options.order)[: options.limit]


def _value(measure: Measure, values: tuple[Any, ...], size: int, figures: Figures) -> Json:
    """One figure of one group of so many records."""
    there, field = values[0], str(measure.field)
    figures.begin(measure)
    if measure.field is not True and there < size:
        figures.skip(field, size - there)
    if measure.kind == "count":
        return int(there)
    if not values[1]:
        raise TableUnfit
    if measure.kind in ("min", "max"):
        text: str | None = values[2]
        return text
    if measure.kind == "count_distinct":
        return int(values[2])
    if there:
        figures.read_texts(field, there)
    whole = values[2] if values[2] is not None else Decimal(0)
    if measure.kind == "sum":
        return as_json(whole)
    return ratio(whole, there) if there else None
