"""``/v1/documents``: what the tenant's library holds; put in, list, read, take out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from vital_engine.errors import NotFound, UnreadableDocument
from vital_engine.receipt import as_json
from vital_engine.services.retrieval.ingest import Failure, ingest
from vital_engine.services.retrieval.lexical import keep_up
from vital_engine.services.retrieval.reading import Document, read
from vital_engine.text.words import ANALYSIS

from .app_state import AppState, Principal, TheDesk
from .engine import Library
from .problems import Problem

router = APIRouter(tags=["documents"])

MOST_FILES: Final = 100
"""Files of one upload."""
Domain = Annotated[str, Query(max_length=200, description="The knowledge domain that they belong to.")]


@router.get("/v1/documents")
async def listed(
    app_state: TheDesk,
    principal: Principal,
    domain: Annotated[list[str] | None, Query(description="Only of these; repeatable.")] = None,
    after: Annotated[str, Query(description="The last id of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> dict[str, Any]:
    """A page of the list, by id. ``next`` is where the next page begins; null on the last."""
    async with _library(app_state).shelves.reading(principal.tenant) as reader:
        entries = await reader.documents(domains=domain or [], after=after, limit=limit)
    return {"documents": as_json(entries), "next": entries[-1].id if len(entries) == limit else None}


@router.post("/v1/documents", status_code=201, response_class=JSONResponse)
async def upload(
    request: Request,
    app_state: TheDesk,
    principal: Principal,
    name: Annotated[str, Query(max_length=500, description="The file's name, where the body is the file.")] = "",
    domain: Domain = "",
) -> Response:
    """Take in documents: as a form of files (``multipart/form-data``), or one as the body, with ``?name=``.

    What is there already, by its content, is not done again. 201 if anything was taken in, 200 if all was there, 422 if
    nothing could be read; ``failed`` says of each file that could not, why.
    """
    library = _library(app_state)
    with app_state.uploads.one():
        report = await ingest(
            _documents(await _files(request, name)),
            shelves=library.shelves,
            tenant=principal.tenant,
            domain=domain,
            embedder=library.embedder,
        )
    counts = {key: value for key, value in asdict(report).items() if key != "failed"}
    failed = [{"document": failure.document, "reason": failure.reason} for failure in report.failed]
    done = report.added + report.updated + report.unchanged
    if not done:
        code, public = UnreadableDocument.code, UnreadableDocument.public
        return JSONResponse({"error": {"code": code, "message": public}, "failed": failed}, 422)
    return JSONResponse({**counts, "failed": failed}, 201 if report.added or report.updated else 200)


@router.get("/v1/documents/{document:path}", response_class=JSONResponse)
async def shown(document: str, request: Request, app_state: TheDesk, principal: Principal) -> Response:
    """A document with its text. As plain text for who prefers that, such as a person who follows a citation's link."""
    async with _library(app_state).shelves.reading(principal.tenant) as reader:
        found = await reader.document(document)
    if found is None:
        raise NotFound(f"no document {document}")
    if "text/" in request.headers.get("accept", ""):
        return PlainTextResponse(found.text, headers={"X-Content-Type-Options": "nosniff"})
    return JSONResponse(as_json(found))


@router.delete("/v1/documents/{document:path}", status_code=204)
async def removed(document: str, app_state: TheDesk, principal: Principal) -> None:
    """Take a document out: no later search finds it."""
    shelves = _library(app_state).shelves
    async with shelves.writing(principal.tenant, analysis=ANALYSIS) as writer:
        if not await writer.remove([document]):
            raise NotFound(f"no document {document}")
        await writer.changed()
    await keep_up(shelves, principal.tenant)


def _library(app_state: AppState) -> Library:
    if app_state.engine.library is None:
        raise NotFound("this engine has no library")
    return app_state.engine.library


async def _files(request: Request, name: str) -> list[tuple[str, str, bytes]]:
    """Name, stated media type and content of each file of the request."""
    media_type = request.headers.get("content-type", "")
    if not media_type.startswith("multipart/form-data"):
        if not name:
            raise Problem(422, "request.invalid", "name: say what the file is called (?name=guideline.pdf).")
        return [(_plain(name), media_type, await request.body())]
    files = []
    try:
        async with request.form(max_files=MOST_FILES, max_fields=MOST_FILES) as form:
            for _, part in form.multi_items():
                if isinstance(part, UploadFile):
                    files.append((_plain(part.filename or ""), part.content_type or "", await part.read()))
    except MultiPartException as error:
        raise Problem(422, "request.invalid", error.message) from error
    if not files:
        raise Problem(422, "request.invalid", "The form holds no file.")
    return files


def _plain(name: str) -> str:
    """A file's own name, without folders: neither slash tells anything about the document."""
    return PurePath(name.replace("\\", "/")).name or "unnamed"


def _documents(files: list[tuple[str, str, bytes]]) -> Iterator[Document | Failure]:
    """What the files hold, read in ingest's thread. What could not be read is a Failure, and costs only itself."""
    for name, media_type, content in files:
        try:
            reading = read(content, name=name, media_type=media_type or None)
            yield from reading
        except UnreadableDocument as error:
            yield Failure(name, str(error))
            continue
        for problem in reading.problems:
            yield Failure(f"{name}: {problem.where}" if problem.where else name, problem.what)
