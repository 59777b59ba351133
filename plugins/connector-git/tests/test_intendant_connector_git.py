"""What the git connector promises, on real repositories."""

import asyncio
import os
import subprocess

import pytest

from intendant.plugin import ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract
from intendant_connector_git import GitConnector

CALL = ConnectorCall(None, "key", "run", "step")


class TestGitContract(ConnectorContract):
    plugin = GitConnector
    entry_point = "git"


class Repository:
    """A repository in a folder, with commits of known authors and dates."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments, **env):
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        own |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments],
            cwd=self.folder,
            env={**own, **env},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, message, files=None, *, author="Ada <ada@example.org>", date="2026-03-01T10:00:00+0200"):
        for path, content in (files or {}).items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--author={author}", f"--date={date}", "-m", message)
        return self.git("rev-parse", "HEAD")


async def log(repo, **parameters):
    folder = repo.folder if isinstance(repo, Repository) else repo
    return await GitConnector().do("log", {"repo": str(folder), **parameters}, CALL)


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path / "repo")


async def test_reads_commits_with_their_files(repo):
    digest = repo.commit("Add all\n\nWith a body\nof two lines.\n", {"core/a.py": "1\n2\n", "top.txt": "x\n"})
    assert await log(repo) == [
        {
            "hash": digest,
            "author": "Ada",
            "email": "ada@example.org",
            "date": "2026-03-01T10:00:00+02:00",
            "subject": "Add all",
            "body": "With a body\nof two lines.",
            "files": [
                {"path": "core/a.py", "folder": "core", "added": 2, "removed": 0},
                {"path": "top.txt", "folder": ".", "added": 1, "removed": 0},
            ],
            "added": 3,
            "removed": 0,
        }
    ]


async def test_renames_binary_files_and_empty_commits(repo):
    repo.commit("one", {"src/old.txt": "line\n" * 20})
    repo.git("mv", "src/old.txt", "new.txt")
    repo.commit("two")
    repo.commit("three", {"pic.bin": b"\0\1\2"})
    repo.commit("four")
    four, three, two, one = await log(repo)
    assert four["files"] == []
    assert three["files"] == [{"path": "pic.bin", "folder": ".", "added": 0, "removed": 0, "binary": True}]
    assert two["files"] == [
        {"path": "new.txt", "folder": ".", "added": 0, "removed": 0, "renamed_from": "src/old.txt"}
    ]
    assert one["added"] == 20


async def test_texts_that_look_like_the_output_format_stay_texts(repo):
    """Subjects, bodies and paths may hold tabs, line breaks, quotes, numbers and other scripts."""
    body = "1\t2\tfake.py\n\n3\t4\tfake.py"
    repo.commit(f"5\t6\tfake 数据 'x'\n\n{body}", {'d "q"/tab\there\n5\t6\té.txt': "x\n"})
    (commit,) = await log(repo)
    assert commit["subject"] == "5\t6\tfake 数据 'x'"
    assert commit["body"] == body
    assert [file["path"] for file in commit["files"]] == ['d "q"/tab\there\n5\t6\té.txt']
    assert commit["files"][0]["folder"] == 'd "q"'


async def test_a_message_in_a_broken_encoding_does_not_stop_it(repo):
    (repo.folder / "message").write_bytes(b"caf\xe9")
    repo.git("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "-F", "message")
    (commit,) = await log(repo)
    assert commit["subject"].startswith("caf")


async def test_authors_go_by_the_mailmap(repo):
    repo.commit("x", {".mailmap": "Ada <ada@example.org> <old@example.org>\n"}, author="A. <old@example.org>")
    (commit,) = await log(repo)
    assert (commit["author"], commit["email"]) == ("Ada", "ada@example.org")


async def test_chooses_by_date_path_branch_and_number(repo):
    for number in range(1, 5):
        date = f"2026-0{number}-01T00:00:00Z"
        repo.git("commit", "--quiet", "--allow-empty", "-m", f"c{number}", GIT_COMMITTER_DATE=date)
    repo.commit("file", {"docs/a.md": "x\n"})
    repo.git("branch", "early", "HEAD~3")
    assert [c["subject"] for c in await log(repo, max=2)] == ["file", "c4"]
    assert [c["subject"] for c in await log(repo, since="2026-02-15", until="2026-03-15")] == ["c3"]
    assert [c["subject"] for c in await log(repo, branch="early")] == ["c2", "c1"]
    assert [c["subject"] for c in await log(repo, branch="early..main")] == ["file", "c4", "c3"]
    assert [c["subject"] for c in await log(repo, paths=["docs"])] == ["file"]


async def test_merges_can_be_left_out(repo):
    repo.commit("base")
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("side", {"a": "1"})
    repo.git("checkout", "--quiet", "main")
    repo.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    assert sorted(c["subject"] for c in await log(repo)) == ["base", "merge", "side"]
    assert sorted(c["subject"] for c in await log(repo, merges=False)) == ["base", "side"]


async def test_an_empty_repository_has_an_empty_history(repo):
    assert await log(repo) == []


async def test_the_environment_does_not_point_it_elsewhere(repo, tmp_path, monkeypatch):
    """As it would inside a git hook, which runs with GIT_DIR set."""
    other = Repository(tmp_path / "other")
    other.commit("other")
    repo.commit("own")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    assert [commit["subject"] for commit in await log(repo)] == ["own"]


async def test_no_repository(tmp_path):
    with pytest.raises(ConnectorError, match="is not in a git repository"):
        await log(tmp_path)


async def test_no_folder(tmp_path):
    with pytest.raises(ConnectorError, match="is no folder"):
        await log(tmp_path / "nowhere")


@pytest.mark.parametrize("branch", ["nowhere", "a..b", "0" * 40])
async def test_an_unknown_revision(repo, branch):
    repo.commit("x")
    with pytest.raises(ConnectorError, match="there is no branch, tag or commit"):
        await log(repo, branch=branch)


async def test_git_is_not_installed(repo, monkeypatch):
    monkeypatch.setenv("PATH", str(repo.folder))
    with pytest.raises(ConnectorError, match="'git' is not installed"):
        await log(repo)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("branch", "--output=/tmp/x"),
        ("paths", ["--output=x"]),
        ("since", "-1"),
        ("since", "garbage"),
        ("until", "next tuesday"),
        ("branch", "a\0b"),
        ("max", 0),
    ],
)
async def test_values_that_git_would_misunderstand_are_refused(repo, name, value):
    repo.commit("x")
    with pytest.raises(ConnectorError, match=f"`with` of git.log is wrong: {name}"):
        await log(repo, **{name: value})


async def test_programs_named_in_the_repository_are_not_run(repo):
    marker = repo.folder.parent / "marker"
    script = repo.folder.parent / "evil"
    script.write_text(f"#!/bin/sh\ntouch '{marker}'\n")
    script.chmod(0o755)
    repo.commit("x", {"a.txt": "x\n", ".gitattributes": "*.txt diff=evil\n"})
    for key in ("diff.external", "diff.evil.textconv", "diff.evil.command", "core.pager", "core.fsmonitor"):
        repo.git("config", key, str(script))
    repo.git("config", "log.showSignature", "true")
    repo.git("config", "gpg.program", str(script))
    head = repo.git("cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n\n", 1
    )
    (repo.folder / ".git" / "signed").write_text(head + "\n")
    repo.git("reset", "--soft", repo.git("hash-object", "-t", "commit", "-w", ".git/signed"))
    marker.unlink(missing_ok=True)  # the commands above may have run it
    assert len(await log(repo)) == 1
    assert not marker.exists()


async def test_git_is_killed_when_the_step_is_cancelled(repo, monkeypatch, tmp_path):
    """A stand-in for a git that hangs: the connector must not leave it running."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "git"
    script.write_text("#!/bin/sh\necho $$ > pid.tmp\nmv pid.tmp pid\nexec sleep 1000\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    task = asyncio.create_task(log(repo))
    while not (repo.folder / "pid").exists():
        await asyncio.sleep(0.01)
    pid = int((repo.folder / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
