"""The dashboard in a browser. `browser.rs` starts a gateway for each class, and says in variables where it is."""

import os
import re
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from pretend import HOSTILE, Pretended

ADMIN = os.environ["ADMIN"]
PLAIN = os.environ["PLAIN"]
# Counts the questions under way that the page asks by itself.
COUNTED = """
    const polled = ["/version", "/overview", "/generations", "/traces"];
    const fetched = window.fetch;
    let underWay = 0;
    window.mostAtOnce = 0;
    window.fetch = (path, ...more) => {
        const counts = polled.includes(path.split("?")[0]) ? 1 : 0;
        underWay += counts;
        window.mostAtOnce = Math.max(window.mostAtOnce, underWay);
        return fetched(path, ...more).finally(() => underWay -= counts);
    };
"""
# Long enough for anything that happens at once, on a machine that does other things too.
SOON_MS = 60_000

expect.set_options(timeout=SOON_MS)


def configuration():
    """The text of the gateway's configuration."""
    with open(os.environ["CONFIGURATION"], encoding="utf-8") as opened:
        return opened.read()


def configure(text):
    """Writes it."""
    with open(os.environ["CONFIGURATION"], "w", encoding="utf-8") as opened:
        opened.write(text)


def send(path, **fields):
    """A request to the gateway itself; its status."""
    request = urllib.request.Request(PLAIN + path, headers={name.replace("_", "-"): it for name, it in fields.items()})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


class Browser(unittest.TestCase):
    """A browser for each class, a tab of its own for each case."""

    @classmethod
    def setUpClass(cls):
        cls.playwright = sync_playwright().start()
        cls.browser = cls.playwright.chromium.launch(executable_path=os.environ["CHROMIUM"])

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.playwright.stop()

    def setUp(self):
        self.context = self.browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        self.addCleanup(self.context.close)
        # Complaints of the browser, and addresses that were asked.
        self.complaints, self.asked = [], []
        self.may_complain_of = None
        self.page = self.tab()

    def tab(self):
        page = self.context.new_page()
        page.set_default_timeout(SOON_MS)
        page.on("console", self.heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.add_init_script(COUNTED)
        return page

    def heard(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def tearDown(self):
        allowed = self.may_complain_of
        self.assertEqual([it for it in self.complaints if allowed is None or not re.search(allowed, it)], [])
        self.assertTrue(self.asked)
        self.assertEqual(self.page.evaluate("window.mostAtOnce"), 1, "the page asks one question at a time")
        for url in self.asked:
            self.assertEqual(url[:len(ADMIN) + 1], ADMIN + "/", "a request left the origin")

    def open(self, view="pipelines", page=None):
        page = page or self.page
        page.goto(f"{ADMIN}/#/{view}")
        return page

    def heading(self, text, page=None):
        expect((page or self.page).get_by_role("heading", level=2, name=text, exact=True)).to_be_visible()

    def generation(self):
        expect(self.page.locator("#status")).to_contain_text("generation")
        return int(re.search(r"generation (\d+)", self.page.locator("#status").inner_text())[1])

    def screenshot(self, name, page=None):
        if folder := os.environ.get("SCREENSHOTS"):
            (page or self.page).screenshot(path=f"{folder}/{name}.png", full_page=True)


class Open(Browser):
    """A gateway without a token, whose stages do what they are asked for."""

    def card(self, name):
        return self.page.locator(".card").filter(has=self.page.get_by_role("link", name=name, exact=True))

    def figure(self, place, name):
        term = self.page.locator("dt", has_text=re.compile(f"^{name}$"))
        return place.locator(".figures > div").filter(has=term).locator("dd")

    def test_pipelines_are_shown_as_chains_with_their_rates(self):
        self.open()
        card = self.card("main")
        names = card.locator(".stage .name")
        expect(names).to_have_text(["0:pass-through-sync", "1:fault-middleware", "2:fault-service"])
        # A stage with a store of its own parts the others.
        expect(card.locator(".segment")).to_have_count(3)
        expect(self.card("next").locator(".stage .name")).to_have_text(["0:hello"])
        stop = threading.Event()

        def load():
            while not stop.is_set():
                send("/main")

        thread = threading.Thread(target=load)
        thread.start()
        try:
            expect(self.figure(card, "Requests")).to_have_text(re.compile(r"^[1-9][\d.,]*/s$"))
            expect(self.figure(card, "p99")).to_have_text(re.compile(r"[µm]s$"))
            expect(self.figure(card, "Errors")).to_have_text("0 %")
            expect(card.locator(".strip")).to_have_attribute("aria-label", re.compile("1:fault-middleware [0-9.]+ "))
            card.get_by_role("link", name="main", exact=True).click()
            self.heading("main")
            rows = self.page.locator(".flame-row")
            expect(rows).to_have_count(3)
            expect(rows.nth(2).locator(".value")).to_have_text(re.compile(r"[0-9.]+ [nµm]s · [0-9.]+ %"))
            self.page.get_by_role("link", name="1:fault-middleware").first.click()
            detail = self.page.locator(".detail")
            expect(detail).to_contain_text(re.compile("sha256:[0-9a-f]{64}"))
            expect(detail).to_contain_text("clocks")
            expect(detail).to_contain_text("wasi:http/")
            self.screenshot("real-pipeline")
        finally:
            stop.set()
            thread.join()

    def test_a_trap_is_shown_within_two_seconds(self):
        self.open()
        card = self.card("main")
        traps = self.figure(card, "Traps")
        expect(traps).to_have_text(re.compile(r"^\d+$"))
        before = int(traps.inner_text())
        self.assertGreaterEqual(send("/main", x_fault="trap"), 500)
        expect(traps).to_have_text(str(before + 1), timeout=2000)
        expect(self.page.locator("#happened")).to_contain_text("main: 1 trap")
        expect(card.locator(".badge.bad")).to_contain_text("trap")

    def test_reload_differences_and_rollback(self):
        self.open("generations")
        first = self.generation()
        text = configuration()
        configure(text.replace('greeting = "before"', 'greeting = "after"'))
        dialog = self.page.get_by_role("dialog")
        # Nothing happens without a yes.
        self.page.get_by_role("button", name="Reload…").click()
        expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
        self.page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        self.assertEqual(self.generation(), first)

        self.page.get_by_role("button", name="Reload…").click()
        dialog.get_by_role("button", name="Reload", exact=True).click()
        expect(dialog).to_contain_text("Done.")
        expect(dialog.locator("pre")).to_contain_text(f"generation {first + 1}: ")
        dialog.get_by_role("button", name="Close").click()
        expect(self.page.locator("#status")).to_contain_text(f"generation {first + 1}")
        expect(self.page.locator("#happened")).to_contain_text(f"Generation {first + 1} serves, in place of {first}.")

        self.page.get_by_role("button", name="Compare").click()
        expect(self.page.locator(".diff .gone")).to_have_text(re.compile('"greeting": "before"'))
        expect(self.page.locator(".diff .new")).to_have_text(re.compile('"greeting": "after"'))
        self.screenshot("real-generations")

        self.page.get_by_role("button", name="Roll back…").click()
        expect(dialog).to_contain_text(f"Roll back from generation {first + 1}?")
        dialog.get_by_role("button", name="Roll back", exact=True).click()
        expect(dialog).to_contain_text("Done.")
        dialog.get_by_role("button", name="Close").click()
        expect(self.page.locator("#status")).to_contain_text(f"generation {first + 2}")
        configure(text)

    def test_a_refused_configuration_says_why(self):
        self.open("generations")
        first = self.generation()
        text = configuration()
        configure(text + "\n[nonsense]\n")
        # The browser says of each 422 that it was one.
        self.may_complain_of = "status of 422"
        dialog = self.page.get_by_role("dialog")
        try:
            self.page.get_by_role("button", name="Reload…").click()
            dialog.get_by_role("button", name="Reload", exact=True).click()
            expect(dialog).to_contain_text("Refused: nothing was changed.")
            expect(dialog.locator("pre")).to_contain_text("nonsense")
            self.screenshot("real-refused")
            dialog.get_by_role("button", name="Close").click()
            expect(self.page.locator(".findings").first).to_contain_text("nonsense")
            expect(self.page.locator("#happened")).to_contain_text("A configuration was refused")
            self.assertEqual(self.generation(), first)
        finally:
            configure(text)

    def test_a_trace_is_a_waterfall(self):
        # The first observed request may go through the chain as others do, until the stages can be observed one by one.
        self.open("traces")
        self.heading("Traces")
        deadline = time.monotonic() + SOON_MS / 1000
        while True:
            # The service waits as long as the stage does.
            self.assertEqual(send("/main", x_middleware="slow", x_fault="slow", x_delay_ms="60"), 200)
            self.open("traces")
            self.page.reload()
            self.page.locator(".traces a").first.click()
            expect(self.page.locator(".waterfall")).to_be_visible()
            stage = self.page.locator(".span > button").filter(has_text="1:fault-middleware")
            if stage.count() > 0:
                break
            self.assertLess(time.monotonic(), deadline, "no trace has its stages")
        expect(self.page.locator(".span")).to_have_count(4)
        stage.click()
        expect(stage).to_have_attribute("aria-expanded", "true")
        own = self.page.locator(".span-detail .terms > div").filter(has_text="linkspan.stage.own_time").locator("dd")
        whole = stage.locator(".value").inner_text()
        own, whole = [float(re.match(r"([0-9.]+) ms", text)[1]) for text in (own.inner_text(), whole)]
        # The stage's own time is without the service's.
        self.assertTrue(60 <= own <= whole - 59, (own, whole))
        # The next round does not close it.
        self.page.wait_for_timeout(2500)
        expect(stage).to_have_attribute("aria-expanded", "true")
        self.screenshot("real-trace")

    def test_the_next_request_is_waited_for_and_shown(self):
        self.open("traces")
        form = self.page.get_by_role("form", name="Trace the next request")
        form.get_by_label("Method").fill("get")
        form.get_by_label("Path begins with").fill("/main")
        form.get_by_role("button", name="Trace the next request").click()
        expect(form.get_by_role("status")).to_contain_text("Waiting for a request that matches")
        self.assertEqual(send("/main"), 200)
        # Also what nobody samples, and in the first request: each stage.
        expect(self.page.locator(".waterfall")).to_be_visible()
        for name in ("0:pass-through-sync", "1:fault-middleware", "2:fault-service"):
            expect(self.page.locator(".span > button").filter(has_text=name)).to_have_count(1)
        self.page.locator(".span > button").nth(1).click()
        expect(self.page.get_by_role("heading", name="Request: what the stage changed")).to_be_visible()
        self.screenshot("watched")
        # Another one is not waited for any longer than somebody wants to.
        self.open("traces")
        form.get_by_label("Path begins with").fill("/never")
        form.get_by_role("button", name="Trace the next request").click()
        form.get_by_role("button", name="Stop waiting").click()
        expect(form.get_by_role("button", name="Trace the next request")).to_be_enabled()
        self.may_complain_of = "400"
        form.get_by_label("Path begins with").fill("never")
        form.get_by_role("button", name="Trace the next request").click()
        expect(form.get_by_role("status")).to_contain_text("does not begin with `/`")

    def test_sides_of_a_split_are_beside_each_other(self):
        self.open("routes")
        card = self.page.locator(".card").filter(has_text="/split")
        expect(card.locator(".shares .value")).to_have_text(["75 %", "25 %"])
        expect(card.locator("thead th")).to_have_text(["Figure", "main", "next"])
        expect(card.locator("tbody tr").filter(has_text="Requests").locator("td")).to_have_text([re.compile("/s$")] * 2)

    def test_a_gateway_that_does_not_answer_is_told_and_taken_up_again(self):
        self.may_complain_of = "net::ERR_"
        self.open()
        expect(self.card("main")).to_be_visible()
        self.context.route("**/overview*", lambda route: route.abort("connectionrefused"))
        trouble = self.page.get_by_role("alert")
        expect(trouble).to_contain_text(re.compile(r"Disconnected since \d\d:\d\d:\d\d"))
        # What was known is still there.
        expect(self.card("main")).to_be_visible()
        # Asked more and more seldom.
        self.page.wait_for_timeout(4000)
        before = len(self.asked)
        self.page.wait_for_timeout(3000)
        self.assertLessEqual(len(self.asked) - before, 1)
        self.screenshot("disconnected")
        self.context.unroute("**/overview*")
        trouble.get_by_role("button", name="Try now").click()
        expect(trouble).to_be_empty()
        expect(self.page.locator("#happened")).to_contain_text("The gateway answers again.")

    def test_keyboard_theme_and_a_page_that_nobody_sees(self):
        hide = "hidden => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });" \
               " document.dispatchEvent(new Event('visibilitychange')); }"
        self.open()
        expect(self.card("main")).to_be_visible()
        self.page.keyboard.press("Tab")
        expect(self.page.get_by_role("link", name="Skip to content")).to_be_focused()
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("main")).to_be_focused()
        self.page.keyboard.press("Tab")
        expect(self.page.get_by_role("searchbox")).to_be_focused()
        self.page.get_by_role("link", name="Pipelines").focus()
        self.page.keyboard.press("Tab")
        expect(self.page.get_by_role("link", name="Routes")).to_be_focused()
        outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        self.assertEqual(outline, "solid")
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("heading", level=2, name="Routes")).to_be_focused()
        # Focus stays where it is while the numbers change.
        self.open()
        search = self.page.get_by_role("searchbox")
        search.fill("ma")
        self.page.wait_for_timeout(2500)
        expect(search).to_be_focused()
        expect(search).to_have_value("ma")
        expect(self.card("next")).to_be_hidden()

        self.page.get_by_label("Theme").select_option("dark")
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        self.assertEqual(self.page.evaluate(ground), "rgb(14, 18, 23)")
        self.page.reload()
        self.assertEqual(self.page.evaluate(ground), "rgb(14, 18, 23)")
        self.assertEqual(self.open(page=self.tab()).evaluate(ground), "rgb(245, 246, 248)")
        self.context.pages[-1].close()

        expect(self.card("main")).to_be_visible()
        self.page.evaluate(hide, True)
        # A round that has begun goes on to its end.
        self.page.wait_for_timeout(4000)
        before = len(self.asked)
        self.page.wait_for_timeout(3000)
        self.assertEqual(len(self.asked), before)
        with self.page.expect_request("**/overview*"):
            self.page.evaluate(hide, False)


class Guarded(Browser):
    """A gateway with a token and a read token."""

    def setUp(self):
        super().setUp()
        # The browser says of each 401 and 403 that it was one.
        self.may_complain_of = "status of 40[13]"

    def give(self, token, page=None):
        dialog = (page or self.page).get_by_role("dialog")
        expect(dialog).to_be_visible()
        dialog.get_by_label("Token").fill(token)
        self.screenshot("token", page)
        dialog.get_by_role("button", name="Use the token").click()
        return dialog

    def test_the_token_is_asked_for_and_kept_by_the_tab(self):
        self.open()
        dialog = self.give("wrong")
        expect(dialog).to_contain_text("did not take this token")
        self.page.keyboard.press("Escape")
        self.give(os.environ["TOKEN"])
        expect(dialog).to_be_hidden()
        expect(self.page.locator(".card")).to_have_count(1)
        self.page.reload()
        expect(self.page.locator(".card")).to_have_count(1)
        expect(dialog).to_be_hidden()
        # Another tab does not have it.
        other = self.open(page=self.tab())
        expect(other.get_by_role("dialog")).to_be_visible()
        self.assertEqual(self.page.evaluate("localStorage.length + document.cookie.length"), 0)
        for url in self.asked:
            self.assertNotIn(os.environ["TOKEN"], url)
        self.assertTrue(any("/overview" in url for url in self.asked))
        expect(self.page.get_by_role("button", name="Reload…")).to_have_count(0)
        self.open("generations")
        expect(self.page.get_by_role("button", name="Reload…")).to_be_enabled()

    def test_a_read_token_changes_nothing(self):
        self.open("generations")
        self.give(os.environ["READ_TOKEN"])
        reload = self.page.get_by_role("button", name="Reload…")
        expect(reload).to_be_disabled()
        expect(self.page.locator("main")).to_contain_text("for looking only")
        self.open("traces")
        self.heading("Traces")
        expect(self.page.get_by_role("form", name="Trace the next request")).to_have_count(0)
        self.open("generations")
        # Should the page not know, the gateway does.
        self.page.evaluate("document.querySelector('.buttons button').disabled = false")
        reload.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Reload", exact=True).click()
        expect(dialog).to_contain_text("Not allowed.")
        expect(dialog.locator("pre")).to_contain_text("403: The read token changes nothing")


class Invented(Browser):
    """Made-up answers of the admin listener, in its place."""

    def pretend(self, **what):
        self.gateway = Pretended(**what)

        def answer(route):
            url = urllib.parse.urlsplit(route.request.url)
            if url.path == "/" or url.path.startswith("/dashboard/"):
                route.fallback()
                return
            status, body = self.gateway.body(url.path, dict(urllib.parse.parse_qsl(url.query)))
            route.fulfill(status=status, body=body, content_type="application/json")

        self.context.route(f"{ADMIN}/**", answer)

    def everywhere(self):
        """The places of all views, and what to wait for there."""
        name = urllib.parse.quote(self.gateway.names[0], safe="")
        return [
            ("pipelines", ".card .stage"), (f"pipelines/{name}", ".chart svg"), (f"pipelines/{name}/3", ".detail"),
            ("routes", "tbody"), ("upstreams", "tbody"), ("traces", ".traces a"), (f"traces/{3:032x}", ".span"),
            ("generations", ".reloads li"),
        ]

    def visit(self, place, wanted):
        self.open(place)
        expect(self.page.locator(wanted).first).to_be_visible()
        if place.startswith("traces/"):
            spans = self.page.locator(".span > button")
            if spans.nth(1).get_attribute("aria-expanded") == "false":
                spans.nth(1).click()
            expect(self.page.locator(".span-detail")).to_contain_text("Attributes")
        if place == "generations":
            self.page.get_by_role("button", name="Compare").click()
            expect(self.page.locator(".diff .gone")).to_be_visible()

    def test_text_of_strangers_is_only_text(self):
        self.pretend(pipelines=[*HOSTILE, "a\u202eb\u0000c", "n" * 300], hostile=True)
        shown = ""
        for place, wanted in self.everywhere():
            self.visit(place, wanted)
            shown += self.page.locator("main").text_content()
            # The page's own drawings are in charts.
            markup = "main img, main script, main iframe, main svg:not(.chart > svg)"
            self.assertEqual(self.page.locator(markup).count(), 0, place)
            for link in self.page.locator("a").all():
                self.assertTrue(link.get_attribute("href").startswith("#"), place)
            # No text makes the page wider than its window.
            wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            self.assertEqual(wide, 0, place)
            if place == "traces/" + f"{3:032x}":
                for span in self.page.locator(".span > button").all():
                    span.click()
        self.screenshot("hostile")
        for text in HOSTILE:
            self.assertIn(text, shown)
        self.assertIsNone(self.page.evaluate("window.owned ?? null"))

    def test_ten_thousand_pipelines_are_shown_by_pages(self):
        self.pretend(pipelines=[f"team-{place % 40:02}-service-{place:05}" for place in range(10_000)])
        self.open()
        expect(self.page.locator(".card")).to_have_count(100)
        expect(self.page.locator(".card .stage").first).to_be_visible()
        self.page.get_by_role("button", name="Next").first.click()
        expect(self.page.locator(".card h3").first).to_have_text("team-20-service-00100")
        self.page.get_by_role("searchbox").fill("service-0999")
        expect(self.page.locator(".card")).to_have_count(10)
        expect(self.page.locator(".card .stage").last).to_be_visible()
        # Scattered over all of them: each has its turn.
        self.page.get_by_role("searchbox").fill("team-07-")
        expect(self.page.locator(".card")).to_have_count(100)
        expect(self.page.locator(".card").last.locator(".stage").first).to_be_attached()
        self.assertLessEqual(max(count for _, count in self.gateway.asked), 100)
        self.screenshot("many")
        for view, text in (("routes", "2 routes; 7 routes more are not shown"), ("upstreams", "1 upstream; 1 upstream more is not")):
            self.open(view)
            expect(self.page.locator("main")).to_contain_text(text)

    def test_heads_and_configurations_are_shown_as_differences(self):
        self.pretend()
        self.open(f"traces/{3:032x}")
        self.page.locator(".span > button").nth(1).click()
        diffs = self.page.locator(".span-detail .diff")
        expect(diffs.nth(0).locator(".new")).to_have_text(re.compile("x-request-id: 7f3a"))
        expect(diffs.nth(1).locator(".new")).to_have_text(re.compile("x-request-id: 7f3a"))
        expect(self.page.locator(".span-detail .gone")).to_have_count(0)
        self.page.locator(".span > button").nth(0).click()
        expect(self.page.locator(".span-detail")).to_contain_text("Request: what the gateway changed")
        expect(diffs.nth(0).locator(".gone")).to_have_text(re.compile("connection: close"))
        expect(diffs.nth(0).locator(".new")).to_have_count(0)
        self.open("generations")
        self.page.get_by_label("From generation").select_option("1")
        expect(self.page.locator(".diff .gone")).to_have_text(re.compile('"rate": 100'))
        expect(self.page.locator(".diff .new")).to_have_text(re.compile('"rate": 300'))
        # The shortest edit of lines at random leads from the one side to the other.
        wrong = self.page.evaluate("""async () => {
            const { diff } = await import("/dashboard/diff.js");
            let state = 7;
            const random = (most) => (state = (state * 48271) % 2147483647) % most;
            for (let round = 0; round < 3000; round++) {
                const lines = () => Array.from({ length: random(9) }, () => "abc"[random(3)]);
                const [before, after] = [lines(), lines()];
                const found = diff(before, after);
                const side = (sign) => found.filter(([it]) => it !== sign).map(([, line]) => line).join();
                if (side("+") !== before.join() || side("-") !== after.join()) {
                    return [before, after, found];
                }
            }
            return null;
        }""")
        self.assertIsNone(wrong)
        quantiles = self.page.evaluate("""async () => {
            const { quantile } = await import("/dashboard/rates.js");
            const of = (counts, share) => quantile(counts, [1, 2, 4], share);
            return [of([0, 0, 0, 0], 0.5), of([4, 0, 0, 0], 0.5), of([1, 2, 1, 0], 0.5), of([0, 0, 1, 9], 0.99)];
        }""")
        self.assertEqual([it and (it["seconds"], it["beyond"]) for it in quantiles],
                         [None, (0.5, False), (1.5, False), (4, True)])

    def test_figures_are_of_the_last_seconds(self):
        self.pretend()
        self.open()
        found = self.page.evaluate("""async () => {
            const { added, figures, ownTime } = await import("/dashboard/rates.js");
            const sample = (at, requests, durations, observed, own) => ({ at, of: {
                requests, errors: requests / 2, refused: 0, durations,
                stages: [{ name: "0:a", digest: "b", observed: { requests: observed, "own-sum": own } }],
            } });
            const old = added([], sample(50, 10, [0, 10, 0], 0, 0));
            const first = added(old, sample(100, 1000, [0, 1000, 0], 10, 10));
            const second = added(first, sample(109, 1090, [90, 1000, 0], 14, 10.4));
            const third = added(second, sample(110, 1100, [100, 1000, 0], 15, 10.5));
            const { rate, errors, errorRate, p50 } = figures(third, [1, 2]);
            return [first.length, third.length, rate, errors, errorRate, p50.seconds,
                    ownTime(second, 0), ownTime(third, 0), added(third, sample(111, 5, [5, 0, 0], 1, 1)).length];
        }""")
        [first, third, rate, errors, error_rate, p50, few, many, restarted] = found
        # What is older than ten seconds, and what another process counted, is not compared with.
        self.assertEqual((first, third, restarted), (1, 3, 1))
        self.assertEqual((rate, errors, error_rate, p50), (10, 0.5, 5, 0.5))
        # Of four requests, a mean says little; of five it is taken.
        self.assertEqual((few["late"], few["requests"], round(few["mean"], 3)), (False, 14, 0.743))
        self.assertEqual((many["late"], many["requests"], round(many["mean"], 3)), (True, 5, 0.1))

    def test_axe_finds_nothing_in_both_themes_and_widths(self):
        self.pretend()
        for theme in ["light", "dark"]:
            self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            for width in [390, 1280]:
                self.page.set_viewport_size({"width": width, "height": 900})
                for place, wanted in self.everywhere():
                    self.visit(place, wanted)
                    self.page.wait_for_timeout(1200)
                    found = Axe().run(self.page)
                    name = f"{theme}-{width}-{place.replace('/', '-')}"
                    self.screenshot(name)
                    self.assertEqual(found.violations_count, 0, f"{name}: {found.generate_report()}")
                    wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    self.assertLessEqual(wide, 0, name)


if __name__ == "__main__":
    unittest.main()
