"""What the git connector promises, on real repositories."""

import asyncio
import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from intendant.plugin import ConnectorCall, ConnectorError
from intendant.testing import ConnectorContract, Place, Use
from intendant_connector_git import GitConnector

CALL = ConnectorCall(None, "key", "run", "step")


class TestGitContract(ConnectorContract):
    plugin = GitConnector
    entry_point = "git"

    @asynccontextmanager
    async def place(self):
        with TemporaryDirectory() as folder:
            Repository(Path(folder) / "repo").commit("one")
            yield Place(GitConnector({"roots": [folder]}), {"log": Use({"repo": f"{folder}/repo"})})


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


async def log(repo, settings=None, **parameters):
    folder = repo.folder if isinstance(repo, Repository) else repo
    return await GitConnector(settings or {}).do("log", {"repo": str(folder), **parameters}, CALL)


@pytest.fixture(autouse=True)
def _in_the_folder_of_the_test(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path / "repo")


@pytest.fixture
def outside(tmp_path_factory):
    """A folder that is no root."""
    return tmp_path_factory.mktemp("outside")


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
    for most, noted in ((4, 1), (5, 0)):
        call = ConnectorCall(None, "key", "run", "step")
        assert len(await GitConnector().do("log", {"repo": str(repo.folder), "max": most}, call)) == most
        assert [note for note in call.notes if f"more than {most} commits" in note] == call.notes
        assert len(call.notes) == noted
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


# --- what a hostile repository cannot do -----------------------------------------------------------------------


class Trap:
    """A program that leaves a mark when it runs."""

    def __init__(self, folder):
        self.mark = folder / "PWNED"
        self.program = folder / "evil"
        self.program.write_text(f"#!/bin/sh\ntouch '{self.mark}'\nexit 1\n")
        self.program.chmod(0o755)

    @property
    def sprung(self):
        return self.mark.exists()

    def reset(self):
        self.mark.unlink(missing_ok=True)


@pytest.fixture
def trap(tmp_path):
    return Trap(tmp_path)


PROGRAMS = (
    "diff.external",
    "diff.evil.textconv",
    "diff.evil.command",
    "core.pager",
    "pager.log",
    "core.fsmonitor",
    "core.sshCommand",
    "core.gitProxy",
    "core.askPass",
    "core.editor",
    "core.alternateRefsCommand",
    "credential.helper",
    "gpg.program",
    "gpg.ssh.program",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "merge.evil.driver",
    "uploadpack.packObjectsHook",
    "alias.log",
    "alias.rev-parse",
)


@pytest.mark.parametrize("where", ["config", "included", "worktree"])
async def test_programs_that_its_settings_name_are_not_run(repo, trap, where):
    attributes = "*.txt diff=evil filter=evil merge=evil\n"
    repo.commit("x", {"a.txt": "x\n", ".gitattributes": attributes})
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("y", {"a.txt": "y\n"})
    repo.git("checkout", "--quiet", "main")
    repo.commit("z", {"a.txt": "z\n"})
    repo.git("merge", "--quiet", "-s", "ours", "-m", "merge", "side")
    file = {"config": ".git/config", "included": "../more", "worktree": ".git/config.worktree"}[where]
    if where == "included":
        repo.git("config", "include.path", str(repo.folder.parent / "more"))
    if where == "worktree":
        repo.git("config", "extensions.worktreeConfig", "true")
    for key in PROGRAMS:
        value = f"!{trap.program}" if key.startswith("alias.") else str(trap.program)
        repo.git("config", "--file", file, key, value)
    repo.git("config", "--file", file, "log.showSignature", "true")
    repo.git("config", "--file", file, "log.diffMerges", "remerge")
    repo.git("config", "--file", file, "core.hooksPath", str(repo.folder.parent / "hooks"))
    (repo.folder.parent / "hooks").mkdir()
    for hook in ("post-index-change", "reference-transaction", "post-checkout", "fsmonitor-watchman"):
        (repo.folder.parent / "hooks" / hook).symlink_to(trap.program)
    trap.reset()  # the commands above may have run it
    assert len(await log(repo)) == 4
    assert not trap.sprung


async def test_a_signature_is_not_checked(repo, trap):
    """To check it would run a program that the settings name."""
    repo.commit("x", {"a.txt": "x\n"})
    repo.git("config", "log.showSignature", "true")
    repo.git("config", "gpg.program", str(trap.program))
    head = repo.git("cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n\n", 1
    )
    (repo.folder / ".git" / "signed").write_text(head + "\n")
    repo.git("reset", "--soft", repo.git("hash-object", "-t", "commit", "-w", ".git/signed"))
    assert len(await log(repo)) == 1
    assert not trap.sprung


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("remote.origin.uploadpack", "{evil}; git-upload-pack"),
        ("remote.origin.url", "ext::{evil}"),
        ("remote.origin.url", "ssh://host/x"),
        ("remote.origin.url", "git://127.0.0.1:1/x"),
        ("remote.origin.url", "http://127.0.0.1:1/x"),
        ("remote.origin.url", "evil::x"),
        ("remote.origin.vcs", "evil"),
        ("url.ext::{evil} .insteadOf", "file:"),
    ],
)
async def test_what_a_partial_clone_lacks_is_not_fetched(repo, trap, tmp_path, monkeypatch, key, value):
    """git fetches missing contents by itself, by whatever program the repository's settings name."""
    repo.commit("one", {"a.txt": "1\n"})
    repo.commit("two", {"a.txt": "1\n2\n"})
    repo.git("config", "uploadpack.allowFilter", "true")
    repo.git(
        "clone", "--quiet", "--filter=blob:none", "--no-checkout", f"file://{repo.folder}", str(tmp_path / "p")
    )
    clone = Repository.__new__(Repository)
    clone.folder = tmp_path / "p"
    clone.git("config", key.format(evil=trap.program), value.format(evil=trap.program))
    for allow in ("protocol.allow", "protocol.ext.allow", "protocol.file.allow", "protocol.evil.allow"):
        clone.git("config", allow, "always")
    clone.git("config", "core.sshCommand", str(trap.program))
    helper = tmp_path / "bin" / "git-remote-evil"
    helper.parent.mkdir()
    helper.symlink_to(trap.program)
    monkeypatch.setenv("PATH", f"{helper.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ConnectorError, match="is a partial clone") as caught:
        await log(clone)
    assert "--filter" in caught.value.hint
    assert not trap.sprung


async def test_a_program_called_git_in_the_repository_is_not_run(repo, trap, monkeypatch):
    """A search path may hold relative folders, which would mean the repository's."""
    repo.commit("x")
    for folder in (repo.folder, repo.folder.parent, repo.folder / "bin"):
        folder.mkdir(exist_ok=True)
        (folder / "git").symlink_to(trap.program)
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", "bin", os.environ["PATH"]]))
    assert len(await log(repo)) == 1
    assert not trap.sprung


# --- where repositories may be -----------------------------------------------------------------------------------


async def test_a_repository_outside_the_roots_is_refused(outside):
    other = Repository(outside / "other")
    other.commit("secret")
    with pytest.raises(ConnectorError, match="is outside the folders that may be used") as caught:
        await log(other)
    assert f"""roots='["{other.folder}"]'""" in caught.value.hint
    assert len(await log(other, {"roots": [str(outside)]})) == 1


async def test_roots_add_to_the_working_folder(repo, outside):
    repo.commit("x")
    assert len(await log(repo, {"roots": [str(outside)]})) == 1
    with pytest.raises(ConnectorError, match="outside"):
        await log(repo, {"roots": [str(outside)], "working_folder": False})


async def test_a_folder_in_a_repository_whose_top_is_outside_is_refused(outside, monkeypatch):
    other = Repository(outside / "other")
    other.commit("x", {"sub/a.txt": "x"})
    monkeypatch.chdir(other.folder / "sub")
    with pytest.raises(ConnectorError, match="outside") as caught:
        await log(".")
    assert str(other.folder) in caught.value.hint
    assert len(await log(".", {"roots": [str(other.folder)]})) == 1


@pytest.mark.parametrize("by", ["link", "file", "objects", "pack", "loose", "alternates", "commondir"])
async def test_nothing_leads_out_of_the_roots(repo, outside, by):
    """Neither links nor what git's own files say."""
    other = Repository(outside / "other")
    other.commit("secret", {"a.txt": "x"})
    digest = other.git("rev-parse", "HEAD")
    store = other.folder / ".git"
    own = repo.folder / ".git"
    match by:
        case "link":
            shutil.rmtree(own)
            own.symlink_to(store)
        case "file":
            shutil.rmtree(own)
            own.write_text(f"gitdir: {store}\n")
        case "objects":
            shutil.rmtree(own / "objects")
            (own / "objects").symlink_to(store / "objects")
        case "pack":
            other.git("gc", "--quiet")
            (own / "objects" / "pack").rmdir()
            (own / "objects" / "pack").symlink_to(store / "objects" / "pack")
        case "loose":
            for folder in (store / "objects").iterdir():
                if len(folder.name) == 2:
                    (own / "objects" / folder.name).symlink_to(folder)
        case "alternates":
            (own / "objects" / "info" / "alternates").write_text(f"{store / 'objects'}\n")
        case "commondir":
            (own / "commondir").write_text(f"{store}\n")
    if by in ("objects", "pack", "loose", "alternates"):
        (own / "refs" / "heads" / "main").write_text(f"{digest}\n")
    assert repo.git("log", "--format=%s") == "secret", "git itself would show it"
    with pytest.raises(ConnectorError, match="outside the folders that may be used"):
        await log(repo)


async def test_a_working_tree_that_its_repository_knows_is_read(outside, tmp_path):
    """Its `.git` file leads outside, and the repository there names it: nobody else could have made that entry."""
    other = Repository(outside / "other")
    other.commit("x", {"sub/a.txt": "x"})
    other.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert len(await log(tmp_path / "tree")) == 1
    assert len(await log(tmp_path / "tree" / "sub")) == 1
    (tmp_path / "forged").mkdir()
    shutil.copy(tmp_path / "tree" / ".git", tmp_path / "forged" / ".git")
    with pytest.raises(ConnectorError, match="outside"):
        await log(tmp_path / "forged")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
async def test_the_users_own_list_of_safe_folders_counts(repo, tmp_path, monkeypatch):
    repo.commit("x")
    os.chown(repo.folder, 12345, 12345)
    os.chown(repo.folder / ".git", 12345, 12345)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with pytest.raises(ConnectorError, match="belongs to another user") as caught:
        await log(repo)
    command = caught.value.hint.partition(": ")[2]
    subprocess.run(command, shell=True, check=True, env={**os.environ, "HOME": str(tmp_path)})
    assert len(await log(repo)) == 1


# --- bounds --------------------------------------------------------------------------------------------------


async def test_output_has_its_limit(repo):
    for number in range(30):
        repo.commit("long " * 200 + str(number))
    with pytest.raises(ConnectorError, match="git wrote more than 20000 bytes") as caught:
        await log(repo, {"max_bytes": 20_000})
    assert "max_bytes" in caught.value.hint
    assert len(await log(repo, {"max_bytes": 20_000}, max=5)) == 5


async def test_time_has_its_limit_and_children_end_with_git(repo, monkeypatch, tmp_path):
    """A stand-in for a git that hangs with a child of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "git"
    script.write_text(f"#!/bin/sh\nsleep 1000 & echo $! > '{tmp_path}/pid'\nwait\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ConnectorError, match=r"git took longer than 0\.5 s") as caught:
        await log(repo, {"seconds": 0.5})
    assert "setting seconds" in caught.value.hint
    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().rpartition(") ")[2].startswith("Z")


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
