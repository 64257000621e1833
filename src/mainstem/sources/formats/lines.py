"""Lines of CSV files that are no rows: left out and told, or set aside as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mainstem.masking import brief
from mainstem.nodes.files import Files
from mainstem.ports import Relation

if TYPE_CHECKING:
    from mainstem.sources.formats.base import Reading

REJECTED = """SELECT DISTINCT ON (file_path, line_byte_position) file_path, line, csv_line, error_message
FROM reject_errors JOIN reject_scans USING (scan_id, file_id) ORDER BY file_path, line_byte_position"""


def skips(node: Files) -> bool:
    """Return whether a line that is no row does not fail the run."""
    return bool(node.options.get("ignore_errors")) or node.policy("*") == "quarantine"


def skipped(reading: Reading, raw: Relation) -> None:
    """Note the lines of files that cannot be read as rows. With the contract `quarantine` they are set aside."""
    from mainstem.sources.setaside import Unfit

    with reading.engine.session({"files": raw}) as session:
        session.fetch("SELECT count(*) FROM files")
        found = session.fetch(REJECTED).to_pylist()
    if not found:
        return
    if reading.node.policy("*") == "quarantine":
        for row in found:
            reason = f"line {row['line']}: {row['error_message']}"
            reading.shape.unfit.append(Unfit(reason, reading.told(row["file_path"]), json.dumps(row["csv_line"])))
        return
    first = found[0]
    many = f"{len(found):,} lines are" if len(found) > 1 else "1 line is"
    place = f"{reading.told(first['file_path'])}, line {first['line']}: {brief(first['csv_line'])}"
    reading.shape.notes.append(f"{many} no row and left out, the first in {place}")
