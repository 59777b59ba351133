"""Packs the examples that have a flow into the core, where `intendant new flow --from JOB` finds them.

python docs/pack_jobs.py
"""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

EXAMPLES = Path(__file__).parent / "examples"
PACK = Path(__file__).parent.parent / "core/src/intendant/cli/jobs.zip"
MADE = {"out", "__pycache__", "app.log", "shop.db"}
"""What running an example leaves behind."""


def files() -> dict[str, bytes]:
    """The files of all jobs, by their paths in the pack."""
    found = {}
    for flow in sorted(EXAMPLES.glob("*/flow.yaml")):
        for path in sorted(flow.parent.rglob("*")):
            if path.is_file() and not MADE & set(path.relative_to(EXAMPLES).parts):
                found[path.relative_to(EXAMPLES).as_posix()] = path.read_bytes()
    return found


def main() -> None:
    """Write the pack; the same files give the same bytes."""
    with ZipFile(PACK, "w") as pack:
        for name, content in files().items():
            pack.writestr(ZipInfo(name), content, ZIP_DEFLATED)


if __name__ == "__main__":
    main()
