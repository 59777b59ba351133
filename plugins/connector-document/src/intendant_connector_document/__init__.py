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
"""What a step does where one of many documents cannot be read."""


HeaderRow = Annotated[int, Field(ge=1)]
"""A row's number, from 1."""


class DocumentSettings(NetworkSettings):
    """Settings of the connector."""

    roots: tuple[Path, ...] = ()
    """Folders in which files may be read, besides the working folder."""
    working_folder: bool = True
    """Whether the folder of the process is one of them."""
    max_bytes: int = Field(default=50_000_000, ge=1)
    """Bytes of one document at most."""
    max_unpacked: int = Field(default=500_000_000, ge=1)
    """Bytes that a workbook, which is an archive, may have when it is unpacked."""
    max_pages: int = Field(default=2000, ge=1)
    """Pages of one PDF that are read."""
    max_cells: int = Field(default=5_000_000, ge=1)
    """Rows times columns of a workbook that is read."""
    max_files: int = Field(default=1000, ge=1)
    """Files that a pattern may find."""
    read_seconds: float = Field(default=120.0, gt=0)
    """Seconds that reading one document may take, in a process of its own."""
    read_megabytes: int = Field(default=2048, ge=128)
    """Memory for the same, on systems that can limit it."""


class Read(Options):
    """Which documents to read, and what of them."""

    path: str | None = Field(default=None, min_length=1)
    """A file, or a pattern such as `invoices/*.pdf`, which gives a list."""
    url: str | None = Field(default=None, min_length=1)
    """Or an address."""
    pages: str | None = Field(default=None, pattern=r"^\d{1,6}(-(\d{1,6})?)?(,\d{1,6}(-\d{1,6})?)*$")
    """Of a PDF: such as `1-3,7`; by default all."""
    password: str | None = Field(default=None, repr=False)
    """Of an encrypted PDF: `"{{ secrets.NAME }}"`."""
    tables: bool = False
    """Of a PDF: whether its tables are found too (`pip install 'intendant-connector-document[tables]'`)."""
    sheet: str | int | None = None
    """Of a workbook: a sheet's name or number, from 1; its rows are given alone. By default all sheets."""
    header: HeaderRow | Annotated[list[HeaderRow], Field(min_length=1, max_length=5)] | None = 1
    """The row that has the names, from 1; null for none, and rows are lists then. A list where several rows have
    parts of the names, such as `[2, 3]` with headings over others."""
    merged: Literal["first", "fill"] = "first"
    """Of a workbook: of cells that are merged, whether the first alone has the value, as in the file, or all."""

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
        """Read a document, or all that match a pattern.

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
        """Where files may be: the working folder, that of the workflow's file, and what the settings name."""
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
