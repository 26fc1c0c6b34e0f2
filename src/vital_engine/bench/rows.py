"""Every turn of a run as a line of CSV: whoever doubts a quantile can work it out again."""

from __future__ import annotations

import csv
from typing import TextIO

from .report import Report

COLUMNS = (
    "workload", "variant", "turn", "status", "degraded", "first_token", "last_token", "all", "bound", "bound_in_order",
    "calls", "copies", "wasted_tokens",
)  # fmt: skip
"""Seconds; empty: there is none."""


def write_rows(report: Report, file: TextIO) -> None:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for (workload, variant), rows in report.rows.items():
        for row in rows:
            t = row.times
            bounds = [None if each is None else each.total for each in (row.bound, row.in_order)]
            took = (t.first_token, t.last_token, t.total)
            told = (workload, variant, row.number, t.status, " ".join(t.degraded))
            writer.writerow((*told, *took, *bounds, row.calls, row.copies, round(row.wasted, 3)))
