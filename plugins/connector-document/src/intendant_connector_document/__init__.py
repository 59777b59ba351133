"""Reads documents: the text of PDF files, the rows of workbooks."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from intendant.plugin import (
    Bounds,
    ConnectorCall,
    ConnectorError,
    FileRoots,
    HttpAsk,
    Json,
    LocalFiles,
    NetworkConnector,
    NetworkSettings,
    Options,
    StepError,
    bounded,
    load_file,
    operation,
    run_async,
    shown,
)

__all__ = ["DocumentConnector", "DocumentSettings", "Read"]

WILD = frozenset("*?[")


APART = (
    "to read the others all the same, list the files by `file.list` and read each in a step with `for_each` and "
    "`on_item_error: keep`"
)
"""What a step can do if one of many documents cannot be read."""


HeaderRow = Annotated[int, Field(ge=1)]
"""A row's number, from 1."""


class DocumentSettings(NetworkSettings):
    """Settings of the connector."""

    roots: tuple[Path, ...] = ()
    """Folders from which files may be read, besides the working directory."""
    working_folder: bool = True
    """Whether the working directory of the process is allowed too."""
    max_bytes: int = Field(default=50_000_000, ge=1)
    """Maximum size of one document in bytes."""
    max_unpacked: int = Field(default=500_000_000, ge=1)
    """Maximum size in bytes of a workbook (a ZIP archive) after unpacking."""
    max_pages: int = Field(default=2000, ge=1)
    """Maximum number of pages of one PDF."""
    max_cells: int = Field(default=5_000_000, ge=1)
    """Maximum number of cells (rows times columns) of a workbook."""
    max_files: int = Field(default=1000, ge=1)
    """Maximum number of files that a pattern may match."""
    read_seconds: float = Field(default=120.0, gt=0)
    """Time limit in seconds for reading one document, which happens in its own process."""
    read_megabytes: int = Field(default=2048, ge=128)
    """Memory limit in megabytes for the same, on systems that can limit it."""


class Read(Options):
    """Which documents to read, and which parts of them."""

    path: str | None = Field(default=None, min_length=1)
    """A file, or a pattern such as `invoices/*.pdf`, for which the output is a list."""
    url: str | None = Field(default=None, min_length=1)
    """The address of a document, instead of `path`."""
    pages: str | None = Field(default=None, pattern=r"^\d{1,6}(-(\d{1,6})?)?(,\d{1,6}(-\d{1,6})?)*$")
    """PDF: the pages to read, such as `1-3,7`; by default all."""
    password: str | None = Field(default=None, repr=False)
    """Encrypted PDF: its password, as `"{{ secrets.NAME }}"`."""
    tables: bool = False
    """PDF: whether to extract its tables too (`pip install 'intendant-connector-document[tables]'`)."""
    sheet: str | int | None = None
    """Workbook: a sheet's name or number, from 1; the output is then its rows alone. By default all sheets."""
    header: HeaderRow | Annotated[list[HeaderRow], Field(min_length=1, max_length=5)] | None = 1
    """Workbook or PDF table: the header row, from 1; null if there is none, and rows are then lists. A list if the
    names are spread over several rows, such as `[2, 3]` for grouped headings."""
    merged: Literal["first", "fill"] = "first"
    """Workbook: whether only the first of several merged cells has the value (`first`, as in the file), or all of
    them (`fill`)."""

    @model_validator(mode="after")
    def _one_place(self) -> "Read":
        if (self.path is None) == (self.url is None):
            raise ValueError("give `path` or `url`")
        return self


class DocumentConnector(NetworkConnector):
    """Reads documents: the text of PDF files, the rows of Excel and OpenDocument workbooks."""

    name = "document"
    Settings = DocumentSettings

    @operation(side_effects=False)
    async def read(self, parameters: Read, call: ConnectorCall) -> Json:
        """Read a document, or all documents that match a pattern.

        Returns:
            Of a PDF `kind`, `title`, `pages` (their number), `text`, and `by_page` with each page's text; with
            `tables` also `tables`, each with the `page` on which it begins and its `rows`, whose cells are text.
            Of a workbook the rows of the sheet that was named, else `kind` and `sheets`, each with `name` and
            `rows`. Of a pattern a list, each element with the file's `path`.

        Raises:
            AddressRefused: The address may not be reached.
            ConnectorError: It cannot be read: it is outside the roots, of another kind, damaged, encrypted or too
                large.
        """
        if parameters.url is not None:
            found = await self.http(HttpAsk(url=parameters.url))
            return await self._document(found.body, shown(found.url), parameters, call.notes)
        path = str(parameters.path)
        roots = self.roots(call)
        path, paths = await asyncio.to_thread(roots.locate, path, call.notes)
        if not paths:
            raise ConnectorError(f"no file matches {path}", hint="patterns: * in a name, ** for folders")
        several = bool(WILD & set(path)) and paths != [await asyncio.to_thread(_real, path)]
        made: list[Json] = []
        for file in paths:
            data = await asyncio.to_thread(load_file, roots.resolve(file), self.settings.max_bytes)
            try:
                document = await self._document(data, str(file), parameters, call.notes)
            except ConnectorError as error:
                if several:
                    raise ConnectorError(error.message, hint=f"{error.hint}; {APART}".removeprefix("; ")) from None
                raise
            if not several:
                return document
            made.append({"path": str(file), **(document if isinstance(document, dict) else {"rows": document})})
        return made

    def files(self, name: str, given: Mapping[str, Json], folder: str) -> LocalFiles | None:  # noqa: ARG002
        """The document, unless it has an address."""
        path = given.get("path")
        return LocalFiles(self._roots(folder), reads=(path,)) if isinstance(path, str) and path else None

    def roots(self, call: ConnectorCall) -> FileRoots:
        """Where files may be: the working directory, the workflow file's folder, and the setting `roots`."""
        return self._roots(call.folder)

    def _roots(self, folder: str) -> FileRoots:
        own = (Path(), Path(folder)) if self.settings.working_folder else ()
        folders, beside = (*own, *self.settings.roots), folder if own else ""
        return FileRoots(folders, self.settings.max_files, owner=self.key, beside=beside)

    async def _document(self, data: bytes, name: str, parameters: Read, notes: list[str]) -> Json:
        settings: DocumentSettings = self.settings
        how: dict[str, Any] = parameters.model_dump(
            include={"pages", "password", "tables", "sheet", "header", "merged"}
        )
        how |= {name: getattr(settings, name) for name in ("max_unpacked", "max_pages", "max_cells")}
        try:
            with bounded(Bounds(settings.read_seconds, settings.read_megabytes)):
                read: Any = await run_async(
                    "intendant_connector_document._documents:read", b64encode(data).decode(), how
                )
        except StepError as error:
            raise ConnectorError(
                f"{name} cannot be read: {error.message}",
                hint=f"see {self.setting('read_seconds')} and {self.setting('read_megabytes')}",
            ) from None
        except RuntimeError:  # what the libraries raise on damaged files is no message for users
            raise ConnectorError(f"{name} cannot be read: it is damaged") from None
        if "error" in read:
            raise ConnectorError(f"{name} {read['error']}", hint=read.get("hint", ""))
        notes += (f"{Path(name).name}: {note}" for note in read["notes"])
        return read["value"]


def _real(path: str) -> Path:
    return Path(path).expanduser().resolve()
