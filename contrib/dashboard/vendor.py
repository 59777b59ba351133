"""Puts what browsers load into the distribution: files of npm packages, with their licences. Needs `npm`.

python contrib/dashboard/vendor.py          fetch them
python contrib/dashboard/vendor.py --check  say whether those here are the ones that the packages have
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "src/intendant_dashboard/static/vendor"


class Package(NamedTuple):
    """A package of npm, and what is taken of it."""

    name: str
    version: str
    integrity: str
    """The SHA-512 of its archive, as npm's registry has it."""
    files: dict[str, str]
    """Names here, by their paths in the package."""


PACKAGES = (
    Package(
        "htmx.org",
        "4.0.1",
        "sha512-oF7JgXhDW9UXCy/k1ZYFUQgzu/rm19ORWPSPNL91vPluB2PB9+MV55tyQdH/w7o2EAbTYUG5SDW1R60mdkdqGg==",
        {
            "dist/htmx.min.js": "htmx.min.js",
            "dist/ext/hx-sse.min.js": "hx-sse.min.js",
            "LICENSE": "htmx.LICENSE.txt",
        },
    ),
    Package(
        "uplot",
        "1.6.32",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {
            "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
            "dist/uPlot.min.css": "uPlot.min.css",
            "LICENSE": "uPlot.LICENSE.txt",
        },
    ),
)


def files_of(package: Package) -> dict[str, bytes]:
    """What is taken of a package, by its name here.

    Raises:
        SystemExit: The archive is not the one that is expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        what = f"{package.name}@{package.version}"
        subprocess.run(["npm", "pack", "--silent", what], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if package.integrity != f"sha512-{digest}":
            sys.exit(f"{what}: the archive has sha512-{digest}, not {package.integrity}")
        with tarfile.open(archive) as opened:
            members = {name: opened.extractfile(f"package/{path}") for path, name in package.files.items()}
            found = {name: member.read() for name, member in members.items() if member is not None}
    return {name: _without_map(data) for name, data in found.items()}


def _without_map(data: bytes) -> bytes:
    """A script without the address of its source map, which is not here to be fetched."""
    lines = data.decode().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("//# sourceMappingURL")).encode()


def main() -> None:
    """Fetch, or check."""
    found = {name: data for package in PACKAGES for name, data in files_of(package).items()}
    if "--check" in sys.argv:
        wrong = [name for name, data in found.items() if (FOLDER / name).read_bytes() != data]
        sys.exit(f"not as in their packages: {', '.join(wrong)}" if wrong else 0)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in found.items():
        (FOLDER / name).write_bytes(data)
        print(f"{len(data):>7} {name}")


if __name__ == "__main__":
    main()
