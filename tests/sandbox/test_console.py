"""The console: a page without scripts, where one chooses the SIM and the next answer and sees the requests."""

from html.parser import HTMLParser

import pytest

from numverify_django.sandbox.dialects import DIGITS

from .relying_party import NUMBER

NUMBER_FORM = {"sim": "number", "number": NUMBER, "answer": "normal", "times": "one"}
BY_DIGIT = "By the last digit of the number that is asked about"
SIMS = {  # choice -> the state's sim, and the words of the status line
    "number": (NUMBER, NUMBER),
    "unset": ("unset", BY_DIGIT),
    "wifi": (None, "Phone on Wi-Fi"),
    "consent": ("consent", "Customer who has not agreed yet"),
    "unknown": ("unknown", "Phone that the network cannot tell"),
}
ANSWERS = {  # choice -> what it orders beside the defaults, and the words of the status line
    "normal": (None, "Normal"),
    "slow": ({"endpoint": "token", "delay": 5}, "Slow: the token comes after 5 seconds"),
    "silent": ({"endpoint": "token", "delay": 15}, "No answer for 15 seconds"),
    "down": ({"endpoint": "token", "status": 503}, "Out of order (503)"),
    "dropped": ({"endpoint": "token", "drop": True}, "Connection dropped"),
    "busy": ({"endpoint": "token", "status": 429}, "Too many requests (429)"),
    "expired": ({"endpoint": "token", "error": "invalid_grant"}, "Expired code (invalid_grant)"),
    "client": ({"endpoint": "token", "error": "invalid_client"}, "Wrong credentials (invalid_client)"),
    "redirect": ({"endpoint": "token", "status": 307, "headers": {"Location": "/token"}}, "Redirect (307)"),
    "html": ({"endpoint": "verify", "status": 200, "body": "<p>Not JSON"}, "Verify answers a web page"),
    "verify-down": ({"endpoint": "verify", "status": 503}, "Verify out of order (503)"),
    "share-down": ({"endpoint": "share", "status": 503}, "Share out of order (503)"),
    "stopped": ({"endpoint": "authorize", "error": "access_denied"}, "The person stops (access_denied)"),
    "error": ({"endpoint": "authorize", "error": "server_error"}, "Login page out of order (server_error)"),
}
DEFAULTS = {"content_type": None, "headers": {}, "delay": 0, "drop": False, "error": None, "status": None, "body": None}


class Page(HTMLParser):
    """What a browser finds in a page: its elements, as (tag, attributes), and the text of each role and tag."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.text = ""
        self.roles = {}
        self._role = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep the element."""
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        self._role = attributes.get("role", self._role)

    def handle_endtag(self, tag):
        """End what a role holds with its paragraph."""
        self._role = None if tag == "p" else self._role

    def handle_data(self, data):
        """Keep the text."""
        self.text += data
        self.roles[self._role] = self.roles.get(self._role, "") + data

    def all(self, tag, **wanted):
        """Return the attributes of each ``tag`` that has the wanted ones."""
        return [found for name, found in self.elements if name == tag and wanted.items() <= found.items()]

    def chosen(self, name):
        """Return the values of the radio buttons ``name`` that are on."""
        return [radio["value"] for radio in self.all("input", type="radio", name=name) if "checked" in radio]

    @property
    def typed(self):
        """What stands in the field for the number."""
        (field,) = self.all("input", name="number")
        return field["value"]


def open_page(site):
    """Return the console's Page."""
    return Page(site.get("/").text)


def state_of(site):
    return site.get("/_sandbox/state").json()


def test_page_at_the_beginning_shows_state_choices_and_no_requests(site):
    page = open_page(site)

    assert page.roles["status"] == f"Now: {BY_DIGIT}; Normal"
    assert [radio["value"] for radio in page.all("input", name="sim")] == list(SIMS)
    assert [radio["value"] for radio in page.all("input", name="answer")] == list(ANSWERS)
    assert (page.chosen("sim"), page.chosen("answer")) == (["unset"], ["normal"])
    assert "No requests yet. Log in on your site." in page.text


def test_page_says_that_it_is_no_real_network(site):
    assert "Not a real network" in open_page(site).text


def test_page_tells_what_goes_into_the_settings(site):
    text = open_page(site).text

    told = [site.url, f"{site.url}/v1", f"{site.url}/apigateway", *site.secret]
    assert [value for value in told if value not in text] == []


def test_page_documents_every_digit(site):
    text = open_page(site).text

    assert [digit.text for digit in DIGITS if digit.text not in text] == []


@pytest.mark.parametrize("choice", SIMS)
def test_choosing_a_sim_sets_it_and_the_status_line_says_so(site, choice):
    response = site.post("/", data=NUMBER_FORM | {"sim": choice})

    sim, words = SIMS[choice]
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    assert state_of(site) == {"sim": sim, "fault": None}
    assert open_page(site).roles["status"] == f"Now: {words}; Normal"
    assert open_page(site).chosen("sim") == [choice]


@pytest.mark.parametrize(("often", "times"), [("one", 1), ("all", None), (None, 1)])
@pytest.mark.parametrize("choice", ANSWERS)
def test_choosing_an_answer_orders_it_and_the_status_line_says_so(site, choice, often, times):
    response = site.post("/", data={"sim": "unset", "answer": choice, "times": often})

    fault, words = ANSWERS[choice]
    assert response.status_code == 303
    assert state_of(site)["fault"] == (fault and DEFAULTS | fault | {"times": times})
    assert open_page(site).roles["status"] == f"Now: {BY_DIGIT}; {words}"
    assert open_page(site).chosen("answer") == [choice]


def test_how_often_stays_chosen(site):
    site.post("/", data={"sim": "unset", "answer": "down", "times": "all"})

    assert "selected" in open_page(site).all("option", value="all")[0]


def test_answer_is_normal_again_after_it_was_met(site):
    site.post("/", data={"sim": "unset", "answer": "down", "times": "one"})
    site.post("/token")

    assert open_page(site).roles["status"] == f"Now: {BY_DIGIT}; Normal"


def test_number_may_have_blanks_and_stands_in_the_field(site):
    site.post("/", data=NUMBER_FORM | {"number": " +34 600 000 001 "})

    assert (state_of(site)["sim"], open_page(site).typed) == (NUMBER, NUMBER)


@pytest.mark.parametrize("number", ["600000001", "+34 600-000-001", "+34 ", '"><script>', "x" * 1000])
def test_bad_number_is_told_in_words_and_stays_in_the_field(sandbox, site, number):
    sandbox.set(sim=None)
    response = site.post("/", data=NUMBER_FORM | {"number": number, "answer": "down"})

    page = Page(response.text)
    assert response.status_code == 400
    assert page.roles["alert"] == "Type the number with + and its country code, like +34600000001."
    assert (page.typed, page.chosen("sim"), page.chosen("answer")) == (number, ["number"], ["down"])
    assert state_of(site) == {"sim": None, "fault": None}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, "Choose the SIM in this phone."),
        ({"sim": "satellite", "answer": "normal"}, "Choose the SIM in this phone."),
        ({"sim": "wifi"}, "Choose the next answer."),
        ({"sim": "wifi", "answer": "perfect"}, "Choose the next answer."),
        (NUMBER_FORM | {"number": None}, "Type the number with + and its country code, like +34600000001."),
    ],
    ids=str,
)
def test_wrong_choice_is_told_in_words_and_changes_nothing(site, form, words):
    response = site.post("/", data=form)

    assert (response.status_code, Page(response.text).roles["alert"]) == (400, words)
    assert state_of(site) == {"sim": "unset", "fault": None}


def test_state_of_a_program_is_shown(sandbox, site):
    sandbox.set(sim=NUMBER, fault={"endpoint": "jwks", "status": 500})
    page = open_page(site)

    assert page.roles["status"] == f"Now: {NUMBER}; jwks: fault: 500"
    assert (page.chosen("sim"), page.typed, page.chosen("answer")) == (["number"], NUMBER, [])


def test_requests_are_shown_newest_first(site):
    site.get("/jwks")
    site.exchange("made-up", auth=site.secret)
    text = open_page(site).text

    assert "No requests yet" not in text
    assert [line.strip() for line in text.splitlines() if line.strip() in ("GET /jwks", "POST /token")] == [
        "POST /token",
        "GET /jwks",
    ]
    assert "400 invalid_grant" in text
    assert "client: client_secret_basic" in text


@pytest.mark.parametrize(
    "path", ["/<script>alert(1)</script>/jwks", "/authorize?scope=<script>alert(1)</script>&<b>=1"]
)
def test_markup_in_a_request_is_shown_as_text(site, path):
    site.get(path)
    page = open_page(site)

    assert "<script>alert(1)</script>" in page.text
    assert (page.all("script"), page.all("b")) == ([], [])


@pytest.mark.parametrize("form", [None, NUMBER_FORM, {}], ids=["page", "redirect", "error"])
def test_every_answer_forbids_scripts_frames_and_caches(site, form):
    response = site.get("/") if form is None else site.post("/", data=form)

    directives = [directive.split() for directive in response.headers["Content-Security-Policy"].split(";")]
    policy = {name: values for name, *values in directives}
    assert policy.get("script-src", policy["default-src"]) == ["'none'"]
    assert (policy["style-src"], policy["form-action"]) == (["'self'"], ["'self'"])
    assert (policy["frame-ancestors"], response.headers["Cache-Control"]) == (["'none'"], "no-store")


@pytest.mark.parametrize("form", [None, {}], ids=["page", "error"])
def test_page_has_no_inline_style_or_script(site, form):
    site.get("/jwks")
    page = Page(site.get("/").text if form is None else site.post("/", data=form).text)

    attributes = {name for _, attributes in page.elements for name in attributes}
    assert {tag for tag, _ in page.elements} & {"script", "style", "iframe", "img", "object"} == set()
    assert {name for name in attributes if name == "style" or name.startswith("on")} == set()


def test_style_sheet_is_served_by_the_sandbox(site):
    (link,) = open_page(site).all("link", rel="stylesheet")
    response = site.get(link["href"])

    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/css; charset=utf-8")


def test_every_field_has_a_label(site):
    page = open_page(site)

    fields = {element["id"] for tag, element in page.elements if tag in ("input", "select")}
    assert fields == {label["for"] for label in page.all("label")}
