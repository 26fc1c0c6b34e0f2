"""``/v1/documents``: what the tenant's library holds; put in, list, read, take out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException

from vital_engine.errors import NotFound, UnreadableDocument
from vital_engine.nouns.codec import JSON, to_json
from vital_engine.services.retrieval.ingest import Failure, ingest
from vital_engine.services.retrieval.lexical import keep_up
from vital_engine.services.retrieval.reading import Document, read
from vital_engine.text.words import ANALYSIS

from .backend import AppState, Library, Principal, TheState
from .problems import ErrorBody, ErrorDetail, Problem, json_response, refusals
from .schemas import Body, Moment

router = APIRouter(tags=["documents"], responses=refusals(403, 404, 422, 500, 503))

MOST_FILES: Final = 100
"""Files of one upload."""
UPLOAD: Final = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["files"],
            "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
        }
    },
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
}
"""The body of an upload, as ``/openapi.json`` describes it; a file alone may come with its own media type too."""
Domain = Annotated[str, Query(max_length=200, description="The knowledge domain that they belong to.")]


class DocumentLine(Body):
    """A document without its text. ``characters``: the length of that; ``passages``: their number."""

    id: str
    title: str
    source: str
    domain: str
    media_type: str
    content_hash: str
    characters: int
    passages: int
    created_at: Moment


class DocumentPage(Body):
    """``next``: the ``after`` of the next page; null on the last."""

    documents: list[DocumentLine]
    next: str | None


class DocumentBody(Body):
    """A document with its text. ``pages``: number, start and end of each, in characters of the text."""

    id: str
    text: str
    title: str
    source: str
    domain: str
    media_type: str
    content_hash: str
    pages: list[tuple[int, int, int]]
    metadata: dict[str, JSON]
    created_at: Moment | None


class UnreadFile(Body):
    """A file, or a part of one, that could not be read, and why."""

    document: str
    reason: str


class UploadReport(Body):
    """What became of the documents, by number; ``passages``: those written; ``failed``: not taken in, and why."""

    added: int
    updated: int
    unchanged: int
    removed: int
    passages: int
    seconds: float
    failed: list[UnreadFile]


class UploadRefused(ErrorBody):
    """``failed``: the files, where nothing of them could be read."""

    failed: list[UnreadFile] | None = None


@router.get("/v1/documents")
async def list_documents(
    app_state: TheState,
    principal: Principal,
    domain: Annotated[list[str] | None, Query(description="Only of these; repeatable.")] = None,
    after: Annotated[str, Query(description="The last id of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> DocumentPage:
    """A page of the list, by id. ``next`` is where the next page begins; null on the last."""
    async with _library(app_state).shelves.reading(principal.tenant) as reader:
        entries = await reader.documents(domains=domain or [], after=after, limit=limit)
    lines = [
        DocumentLine(
            id=each.id,
            title=each.title,
            source=each.source,
            domain=each.domain,
            media_type=each.media_type,
            content_hash=each.content_hash,
            characters=each.characters,
            passages=each.passages,
            created_at=each.created_at.isoformat(),
        )
        for each in entries
    ]
    return DocumentPage(documents=lines, next=lines[-1].id if len(lines) == limit else None)


@router.post(
    "/v1/documents",
    status_code=201,
    response_model=UploadReport,
    response_description="Something was taken in.",
    responses={
        200: {"model": UploadReport, "description": "All was there already."},
        **refusals(413, 502),
        **refusals(422, model=UploadRefused),
    },
    openapi_extra={"requestBody": {"required": True, "content": UPLOAD}},
)
async def upload_documents(
    request: Request,
    app_state: TheState,
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
    failed = [UnreadFile(document=failure.document, reason=failure.reason) for failure in report.failed]
    if not report.added + report.updated + report.unchanged:
        error = ErrorDetail(code=UnreadableDocument.code, message=UnreadableDocument.public)
        return json_response(UploadRefused(error=error, failed=failed), 422)
    taken = UploadReport(
        added=report.added,
        updated=report.updated,
        unchanged=report.unchanged,
        removed=report.removed,
        passages=report.passages,
        seconds=report.seconds,
        failed=failed,
    )
    return json_response(taken, 201 if report.added or report.updated else 200)


@router.get(
    "/v1/documents/{document:path}",
    response_model=DocumentBody,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_document(
    document: str, request: Request, app_state: TheState, principal: Principal
) -> Response | DocumentBody:
    """A document with its text. As plain text for who prefers that, such as a person who follows a citation's link."""
    async with _library(app_state).shelves.reading(principal.tenant) as reader:
        found = await reader.document(document)
    if found is None:
        raise NotFound(f"no document {document}")
    if "text/" in request.headers.get("accept", ""):
        return PlainTextResponse(found.text, headers={"X-Content-Type-Options": "nosniff"})
    return DocumentBody(
        id=found.id,
        text=found.text,
        title=found.title,
        source=found.source,
        domain=found.domain,
        media_type=found.media_type,
        content_hash=found.content_hash,
        pages=list(found.pages),
        metadata=to_json(found.metadata),
        created_at=found.created_at.isoformat() if found.created_at is not None else None,
    )


@router.delete("/v1/documents/{document:path}", status_code=204)
async def delete_document(document: str, app_state: TheState, principal: Principal) -> None:
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
