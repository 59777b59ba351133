"""Settings of the connector, and the parameters of its operations."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from intendant.plugin import Addresses, ConnectorError, Options
from intendant_connector_file._csv import MAX_CELLS
from intendant_connector_file._remote import Elsewhere, Target, is_remote

ReadFormat = Literal["auto", "text", "json", "jsonl", "csv", "parquet", "mbox", "eml", "bytes-base64"]
WriteFormat = Literal["auto", "text", "json", "jsonl", "csv", "markdown"]
WholeFormat = Literal["auto", "text", "json", "jsonl", "csv", "markdown", "bytes-base64"]
MAX_FILES = 100_000


class FileSettings(Options):
    """Settings of the connector."""

    roots: tuple[str, ...] = ()
    """Folders in which files may be read and written, besides the working directory; and places elsewhere from
    which files may be read, such as `s3://reports/2026` or `https://data.example/exports`."""
    allow: tuple[str, ...] = ()
    """Servers that may be reached besides public addresses, as of `connector:http`: names, networks, addresses."""
    seconds: float = Field(default=60.0, gt=0)
    """Time limit in seconds for one answer of a server."""
    working_folder: bool = True
    """Whether the working directory of the process is allowed too."""
    max_bytes: int = Field(default=1_000_000_000, ge=0)
    """Upper limit for a step's own `max_bytes`."""
    max_cells: int = Field(default=MAX_CELLS, ge=1)
    """Maximum number of cells (rows times columns) of one CSV file."""
    max_flow_bytes: int = Field(default=1_000_000_000_000, ge=0)
    """Maximum size in bytes of the files of one step whose records are streamed; they are never in memory as a
    whole."""
    max_files: int = Field(default=MAX_FILES, ge=1)
    """Maximum number of files that a pattern may match."""
    read_seconds: float = Field(default=120.0, gt=0)
    """Time limit in seconds for reading the files of one step."""

    @field_validator("roots", mode="before")
    @classmethod
    def _roots_are_texts(cls, value: Any) -> Any:
        return (
            [str(one) if isinstance(one, Path) else one for one in value]
            if isinstance(value, list | tuple)
            else value
        )

    @field_validator("roots")
    @classmethod
    def _roots_elsewhere_are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for root in filter(is_remote, value):
            try:
                pattern = Target.of(root).pattern
            except ConnectorError as error:
                raise ValueError(error.message) from None
            if pattern:
                raise ValueError(f"'{root}' is a pattern, and a root is a folder")
        return value

    @field_validator("allow")
    @classmethod
    def _allow_is_readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Addresses(value)
        return value

    @property
    def folders(self) -> tuple[Path, ...]:
        """The roots on this machine."""
        return tuple(Path(root) for root in self.roots if not is_remote(root))

    @property
    def places(self) -> tuple[str, ...]:
        """The roots elsewhere."""
        return tuple(filter(is_remote, self.roots))


class Table(Options):
    """How to read a CSV."""

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    """CSV: the delimiter; by default detected (comma, semicolon, tab or bar)."""
    skip: int = Field(default=0, ge=0, le=1000)
    """CSV: number of lines to skip before the table, such as lines that name an account."""
    header: bool = True
    """CSV: whether the first row contains the column names; if not, rows are lists."""
    ragged: Literal["fail", "pad"] = "fail"
    """CSV: what to do about rows that are shorter or longer than the header."""
    names: Literal["strict", "repair"] = "strict"
    """CSV: `repair` makes up names for columns without a name or with a duplicate one: `column_4`, `name_2`."""
    types: Literal["text", "auto"] = "text"
    """CSV: `auto` converts columns that contain only numbers, or only true and false."""
    decimal: Literal[".", ","] | None = None
    """CSV: the decimal separator of numbers, with `types: auto`; `1.234,50` or `1,234.50` is then a number too.
    The default is a point; a column in which `1.234` is ambiguous stays text."""

    @property
    def table(self) -> dict[str, Any]:
        """These parameters alone."""
        return self.model_dump(include=set(Table.model_fields))


class _Place(Options):
    """Which files to read."""

    path: str = Field(min_length=1)
    """A file, a folder of mails, or a pattern such as `mails/**/*.eml`; `reports.zip/2026/*.csv` reads from inside
    an archive, `s3://reports/2026/*.csv` from a bucket, `https://data.example/exports/*.csv` from a web server."""
    format: ReadFormat = "auto"
    """By default determined by the file extension."""
    encoding: str | None = None
    """Text encoding; by default what the byte order mark says, else UTF-8."""
    max_bytes: int = Field(default=50_000_000, ge=0)
    """Maximum total size of the files in bytes. Larger files are refused; records of CSV and JSONL are streamed
    instead, unless the step sets this limit itself."""
    records: Literal["auto", "list", "reference"] = "auto"
    """CSV and JSONL: `reference` leaves the records in the file, and later steps stream them; `list` reads all of
    them now. `auto` decides by size."""


class Read(Table, _Place, Elsewhere):
    """What to read, and how."""

    links: bool = True
    """HTML mails: whether the address of a link is added after its text."""
    attachments: Literal["names", "content"] = "names"
    """Mails: `content` adds to each attachment its content in Base64, and as `file` a name to save it under."""

    @property
    def flows(self) -> bool | None:
        """Whether records are streamed: always, never, or (None) if they are too many for memory."""
        if self.records == "auto":
            return False if "max_bytes" in self.model_fields_set else None
        return self.records == "reference"


class Parse(Table):
    """What the text is, and how to read it."""

    format: Literal["csv", "json", "jsonl", "eml", "mbox"] = "csv"


class List(Elsewhere):
    """Which files to list."""

    path: str = Field(min_length=1)
    """A pattern such as `inbox/*.pdf`, or a folder; also in a bucket or on a web server."""


class Write(Options):
    """Where to write, and how."""

    path: str = Field(min_length=1)
    format: WholeFormat = "auto"
    """By default determined by the file extension; otherwise text for text, and JSON for data."""
    encoding: str = "utf-8"
    mode: Literal["replace", "create"] = "replace"
    """`create` refuses to overwrite a file with different content."""


class Append(Options):
    """Where to append, and how."""

    path: str = Field(min_length=1)
    format: WriteFormat = "auto"
    encoding: str | None = None
    """By default the encoding of the file: what its byte order mark says, else UTF-8."""
