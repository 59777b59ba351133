"""The dashboard in a real browser: the system's Chromium, driven by Playwright, over a real server with real runs.

`nox -s browser` runs these. Screenshots go to the folder that INTENDANT_SCREENSHOTS names.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: run `nox -s browser`")
axe_module = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe is not installed: run `nox -s browser`"
)
CHROMIUM = os.environ.get("INTENDANT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no Chromium here (Debian: apt-get install chromium)", allow_module_level=True)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS = Path(os.environ.get("INTENDANT_SCREENSHOTS", "browser-output"))
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOURS = {"type": "rule", "values": ["color-contrast"]}
"""What may differ between light and dark."""


BEYOND = """() => {
  const found = [], root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) found.push(`wider than the window: ${root.scrollWidth}`);
  for (const text of document.querySelectorAll("svg text")) {
    const inner = text.getBoundingClientRect(), outer = text.closest("svg").parentElement.getBoundingClientRect();
    if (inner.width && (inner.left < outer.left - 16 || inner.right > outer.right + 16)) found.push(`cut: ${text.textContent}`);
  }
  return found;
}"""
"""Sixteen pixels are the padding of a card, into which a label may reach."""


@pytest.fixture(scope="module", autouse=True)
def lived_in(site) -> None:
    """What an instance has that is in use, so that no page is shown empty."""
    operations = site.service.operations

    async def use() -> None:
        await operations.set_limit("agent:mailer", "day", tokens=3000, usd=0.05, by="ada")
        await operations.set_limit("agent:poor", "day", tokens=1, usd=None, by="ada")
        await operations.set_limit("tenant:default", "month", tokens=None, usd=20, by="ada")
        memory = site.service.memory("mailer")
        await memory.add("Orders of Lindqvist are paid by invoice, within 30 days.", importance=8)
        await memory.add("Mails to suppliers are in German.")
        await operations.rate(site.completed, 4, comment="short and right", by="ada")
        await operations.start_rollout("compression_enabled", by="ada")
        await site.service.steering.change({"budget.tokens_per_step": 6000}, by="ada", note="long letters")

    site.do(use())
    site.run(site.flow("too dear", agent="poor"))
    site.doubtful()


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A signed-in page that complains of errors in its console, and of every request to another server."""

    def __init__(self, site, browser, scheme: str = "light", *, scripts: bool = True) -> None:
        self.site, self.scheme = site, scheme
        self.context = browser.new_context(
            base_url=site.base,
            color_scheme=scheme,
            viewport={"width": 1280, "height": 860},
            java_script_enabled=scripts,
        )
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{self.page.url}: {message.text}")

    def _request(self, request) -> None:
        if not request.url.startswith((f"{self.site.base}/", "data:")):
            self.wrong.append(f"asked for {request.url}")

    def sign_in(self, token: str) -> "Visit":
        self.page.goto("/sign-in")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.site.base}/")
        return self

    def shot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}-{self.scheme}.png", full_page=True)

    def clean(self) -> None:
        """Note what axe finds that keeps people from using the page."""
        found = axe_module.Axe().run(self.page, options={"runOnly": RULES if self.scheme == "light" else COLOURS})
        if found.violations_count:
            self.wrong.append(f"{self.page.url}\n{found.generate_report()}")

    def whole(self) -> None:
        """Note texts of pictures that lie beyond their card, and pages that are wider than the window."""
        self.wrong += [f"{self.page.url}: {each}" for each in self.page.evaluate(BEYOND)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, *_error: object) -> None:
        self.context.close()
        assert kind is not None or not self.wrong, "\n".join(self.wrong)


@pytest.fixture
def visit(site, chromium) -> Iterator[Visit]:
    with Visit(site, chromium) as made:
        yield made.sign_in(site.TOKEN)


def places(site) -> dict[str, str]:
    run, failed = site.completed, site.failed
    return {
        "overview": "/",
        "runs": "/runs",
        "run": f"/run?id={run}",
        "run-failed": f"/run?id={failed}",
        "graph": f"/run/graph?id={run}",
        "run-money": f"/run/money?id={run}",
        "compression": f"/run/compression?id={site.compressed}",
        "original": f"/original?run={site.compressed}&handle={site.original}",
        "run-refusals": f"/run/refusals?id={failed}",
        "events": f"/run/events?id={run}",
        "fork": f"/run/fork?id={run}",
        "step": f"/step?run={run}&step=read",
        "compare": f"/compare?a={run}&b={failed}",
        "compare-step": f"/compare/step?a={run}&b={failed}&step=read",
        "decisions": "/decisions",
        "alerts": "/alerts",
        "money": "/money",
        "budgets": "/budgets",
        "routing": "/routing",
        "refusals": "/refusals",
        "settings": "/settings?group=budget",
        "setting": "/setting?key=budget.strategy",
        "history": "/settings/history",
        "flags": "/flags?agent=mailer",
        "audit": "/audit",
        "plugins": "/plugins",
        "agents": "/agents",
        "agent": "/agent?name=mailer",
        "report": f"/report?run={run}",
        "report-all": "/report",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_quiet(site, chromium, scheme: str) -> None:
    """No violation that axe knows of, no error in the console, no request to another server, no text that is cut."""
    with Visit(site, chromium, scheme) as visit:
        visit.page.goto("/sign-in")
        visit.clean()
        visit.shot("sign-in")
        visit.sign_in(site.TOKEN)
        for name, path in places(site).items():
            visit.page.goto(path)
            visit.clean()
            visit.whole()
            visit.shot(name)
        visit.page.set_viewport_size({"width": 390, "height": 844})
        for name in ("overview", "run"):
            visit.page.goto(places(site)[name])
            visit.clean()
            visit.whole()
            visit.shot(f"{name}-narrow")


def test_a_run_is_watched_live(site, visit) -> None:
    site.handler.may_go_on.clear()
    run = site.begin(site.flow("slow letters", site.SLOW))
    visit.page.goto(f"/run?id={run}")
    row = visit.page.get_by_role("row").filter(has=visit.page.get_by_role("link", name="slow", exact=True))
    row.get_by_text("running").wait_for()
    visit.clean()
    visit.shot("live")
    site.handler.may_go_on.set()
    row.get_by_text("completed").wait_for()
    visit.page.locator("#live .tiles").get_by_text("completed").wait_for()
    figures = site.do(site.service.operations.figures_of(run))
    total = visit.page.locator("table.waterfall tfoot")
    assert f"{figures.tokens:,}" in total.inner_text()


def test_a_limit_is_set(site, visit) -> None:
    visit.page.goto("/budgets")
    visit.page.get_by_role("link", name=re.compile("agent:mailer, day")).first.click()
    visit.page.get_by_label("Tokens").fill("4500")
    visit.page.get_by_role("button", name="Set").click()
    visit.page.get_by_text("the limit of agent:mailer per day is set").wait_for()
    assert "4,500" in visit.page.get_by_role("table").first.inner_text()
    visit.clean()


def test_an_approval_is_given(site, visit) -> None:
    run = site.run(site.flow("asks in a browser", site.SEND))
    visit.page.goto(f"/decisions?run={run}")
    card = visit.page.get_by_role("article").first
    assert "<script>" in card.inner_text(), "what is asked is shown as text"
    card.get_by_label("Note").fill("go ahead")
    card.get_by_role("button", name="Approve").click()
    visit.page.wait_for_url(re.compile("/run\\?id="))
    site.until(lambda: site.status(run) == "completed")


def test_a_setting_is_changed(site, visit) -> None:
    visit.page.goto("/settings?q=classification.threshold")
    visit.page.get_by_role("link", name="classification.threshold").click()
    visit.page.get_by_label("Value").fill("0.83")
    visit.page.get_by_label("Why").fill("fewer guesses")
    visit.page.get_by_role("button", name="Change").click()
    visit.page.get_by_text("Changed; services take it over").wait_for()
    layers = visit.page.get_by_role("table").first.inner_text()
    assert "database" in layers
    assert "0.83" in layers
    assert site.service.settings.classification.threshold == 0.83
    visit.shot("setting-changed")


def test_the_audit_trail_is_filtered(site, visit) -> None:
    visit.page.goto("/audit")
    visit.page.get_by_label("Severity").select_option("critical")
    visit.page.get_by_label("Contains").fill("not today")
    visit.page.get_by_role("button", name="Search").click()
    visit.page.wait_for_url(re.compile("severity=critical"))
    rows = visit.page.locator("tbody tr")
    assert rows.count() >= 1
    assert all("step failed" in rows.nth(number).inner_text() for number in range(rows.count()))
    rows.first.locator("summary").click()
    assert "not today" in rows.first.inner_text()


def test_a_run_is_branched_and_compared(site, visit) -> None:
    visit.page.goto(f"/run/fork?id={site.completed}")
    visit.page.get_by_label("Begin with").select_option("label")
    visit.page.get_by_role("button", name="Begin the new run").click()
    visit.page.wait_for_url(re.compile("/run\\?id="))
    made = visit.page.url.partition("id=")[2]
    assert made != site.completed
    site.until(lambda: site.status(made) == "completed")
    visit.page.goto(f"/run?id={made}")
    visit.page.get_by_role("link", name="Compare", exact=True).last.click()
    visit.page.get_by_label("Second run").fill(site.completed)
    visit.page.get_by_role("button", name="Compare").click()
    assert "Step by step" in visit.page.get_by_role("main").inner_text()
    visit.shot("compared")


def test_pages_are_read_without_scripts_and_with_the_keyboard(site, chromium) -> None:
    with Visit(site, chromium, scripts=False) as visit:
        visit.sign_in(site.TOKEN)
        visit.page.goto("/runs")
        visit.page.keyboard.press("Tab")
        assert visit.page.locator(":focus").inner_text() == "Skip to the content"
        visit.page.keyboard.press("Enter")
        assert visit.page.url.endswith("#main")
        visit.page.get_by_label("Status").select_option("failed")
        visit.page.get_by_role("button", name="Filter").press("Enter")
        visit.page.wait_for_url(re.compile("status=failed"))
        assert visit.page.locator("tbody tr").count() >= 1
        visit.page.goto("/money")
        assert visit.page.locator("svg.chart").count() == 1


def test_the_token_of_the_printed_address_signs_in(site, chromium) -> None:
    """It stands after `#`, which browsers do not send."""
    with Visit(site, chromium) as visit:
        visit.page.goto(f"/sign-in#{site.TOKEN}")
        visit.page.wait_for_url(f"{site.base}/")
        assert visit.page.get_by_role("heading", name="Overview").count() == 1
