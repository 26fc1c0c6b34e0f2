"""``vital ingest``: documents into the library, with progress; a second run ingests only new or changed files.

It stands alone because it loads all that reads documents, which no other command needs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from vital_engine.engine import Engine
from vital_engine.errors import NotFound, UnreadableDocument
from vital_engine.services.retrieval.ingest import Failure, IngestReport, ingest
from vital_engine.services.retrieval.reading import MEDIA_TYPES, Document, read
from vital_engine.settings import Settings

from .terminal import DEGRADED, OK

SAMPLE = resources.files("vital_engine") / "sample" / "abstracts.jsonl"


async def ingest_files(paths: Sequence[Path], settings: Settings, *, domain: str, prune: bool, as_json: bool) -> int:
    """Take in files, or all readable files below folders. Returns the exit code: degraded if some could not be read."""
    async with Engine(settings) as app:
        for note in app.notes:
            print(f"note: {note}", file=sys.stderr)
        console = Console(stderr=True)
        report = await take_in(app, files(paths), domain=domain, prune=prune, console=console)
        if as_json:
            print(json.dumps(asdict(report), default=str, ensure_ascii=False))
        else:
            print(summary(report))
            for failure in report.failed[:20]:
                print(f"  ! {failure.document}: {failure.reason}", file=sys.stderr)
        return DEGRADED if report.failed else OK


async def take_in(
    app: Engine, named: Sequence[tuple[Path, str]], *, domain: str, prune: bool, console: Console
) -> IngestReport:
    """Ingest files with a progress bar.

    :param app: the engine.
    :param named: path and name of each file.
    :param domain: domain of the documents.
    :param prune: whether to delete the domain's other documents.
    :param console: for the progress bar.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("reading", total=None)

        def show(report: IngestReport) -> None:
            progress.update(bar, description=f"{report.passages} passages", completed=report.documents)

        return await ingest(
            documents(named),
            shelves=app.knowledge,
            tenant=app.settings.tenant,
            domain=domain,
            embedder=app.embedder,
            progress=show,
            prune=prune,
        )


def files(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Files as they are; of folders, all that can be read, in order of name. Each with the name that it goes by: what
    stands below a folder is named from there, so that ``x/readme.md`` does not replace ``y/readme.md``.

    :raises NotFound: one of them is not there, or a folder holds nothing that can be read.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_file():
            found.append((path, path.name))
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in MEDIA_TYPES)
            if not inside:
                raise NotFound(f"{path} holds no file that can be read ({' '.join(MEDIA_TYPES)})")
            found += [(p, p.relative_to(path).as_posix()) for p in inside]
        else:
            raise NotFound(f"there is no {path}")
    return found


def documents(named: Sequence[tuple[Path, str]]) -> Iterator[Document | Failure]:
    """What the files hold. What could not be read is a Failure, and costs only itself."""
    for path, name in named:
        try:
            reading = read(path, name=name)
            yield from reading
        except UnreadableDocument as error:
            yield Failure(str(path), str(error))
            continue
        for problem in reading.problems:
            yield Failure(f"{name}: {problem.where}" if problem.where else name, problem.what)


def summary(report: IngestReport) -> str:
    """One line on what was ingested.

    :param report: of the ingest.
    """
    parts = [f"{report.added} added", f"{report.updated} updated", f"{report.unchanged} unchanged"]
    if report.removed:
        parts.append(f"{report.removed} removed")
    if report.failed:
        parts.append(f"{len(report.failed)} could not be read")
    return f"{', '.join(parts)}: {report.passages} passages in {report.seconds:.1f} s"
