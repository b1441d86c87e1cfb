"""The page at /: choose the SIM behind this browser and the next answer, and see what the site asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from .clients import DEMO
from .dialects import DIGITS
from .guard import refuse_foreign_origin
from .memory import memory
from .state import CONSENT, E164, UNKNOWN, UNSET, WIFI, Fault, State

console = Blueprint("console", __name__, template_folder="templates", static_folder="static")
console.before_request(refuse_foreign_origin)

NUMBER = "number"
SHOWN = 50  # requests on the page; the log of /_sandbox/log is longer
SIMS: dict[str, tuple[str | None, str]] = {  # value in the form -> SIM, and what it is called
    UNSET: (UNSET, "By the last digit of the number that is asked about"),
    "wifi": (WIFI, "Phone on Wi-Fi"),
    CONSENT: (CONSENT, "Customer who has not agreed yet"),
    UNKNOWN: (UNKNOWN, "Phone that the network cannot tell"),
}
SECURITY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to choose: its value in the form, its words, and the faults that it stands for."""

    value: str
    text: str
    fault: dict[str, Any] | None


ANSWERS = (
    Answer("normal", "Normal", None),
    Answer("slow", "Slow: the token comes after 5 seconds", {"endpoint": "token", "delay": 5}),
    Answer("silent", "No answer for 15 seconds", {"endpoint": "token", "delay": 15}),
    Answer("down", "Out of order (503)", {"endpoint": "token", "status": 503}),
    Answer("dropped", "Connection dropped", {"endpoint": "token", "drop": True}),
    Answer("busy", "Too many requests (429)", {"endpoint": "token", "status": 429}),
    Answer("expired", "Expired code (invalid_grant)", {"endpoint": "token", "error": "invalid_grant"}),
    Answer("client", "Wrong credentials (invalid_client)", {"endpoint": "token", "error": "invalid_client"}),
    Answer("redirect", "Redirect (307)", {"endpoint": "token", "status": 307, "headers": {"Location": "/token"}}),
    Answer("html", "Verify answers a web page", {"endpoint": "verify", "status": 200, "body": "<p>Not JSON"}),
    Answer("verify-down", "Verify out of order (503)", {"endpoint": "verify", "status": 503}),
    Answer("share-down", "Share out of order (503)", {"endpoint": "share", "status": 503}),
    Answer("stopped", "The person stops (access_denied)", {"endpoint": "authorize", "error": "access_denied"}),
    Answer("error", "Login page out of order (server_error)", {"endpoint": "authorize", "error": "server_error"}),
)
FAULTS = {answer.value: answer.fault for answer in ANSWERS}


@console.get("/")
def show() -> str:
    """Show the page."""
    return _page()


@console.post("/")
def choose() -> ResponseReturnValue:
    """Take what was chosen and show the page, or say what is wrong."""
    try:
        memory.store.change(_choice(request.form))
    except ValueError as error:
        return _page(str(error)), 400
    return redirect(url_for("console.show"), 303)


@console.after_request
def secure(response: Response) -> Response:
    """Keep the page out of caches and frames, without scripts."""
    response.headers["Content-Security-Policy"] = SECURITY
    response.headers["Cache-Control"] = "no-store"
    return response


def _choice(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the changes of the state that the form asks for, or raise ValueError."""
    chosen = form.get("sim")
    if chosen in SIMS:
        sim = SIMS[chosen][0]
    elif chosen == NUMBER:
        sim = form.get("number", "").replace(" ", "")
        if not E164.fullmatch(sim):
            raise ValueError("Type the number with + and its country code, like +34600000001.")
    else:
        raise ValueError("Choose the SIM in this phone.")
    if form.get("answer") not in FAULTS:
        raise ValueError("Choose the next answer.")
    fault = FAULTS[form["answer"]]
    times = None if form.get("times") == "all" else 1
    return {"sim": sim, "fault": fault and {**fault, "times": times}}


def _page(problem: str = "") -> str:
    state = memory.store.state
    return render_template(
        "console.html",
        problem=problem,
        now=f"{_sim_text(state.sim)}; {_fault_text(state.fault)}",
        chosen=_chosen(state),
        typed=request.form.get("number") or (state.sim if _is_number(state.sim) else ""),
        sims=SIMS,
        answers=ANSWERS,
        digits=DIGITS,
        entries=memory.journal.entries()[: -SHOWN - 1 : -1],
        issuer=memory.issuer,
        client=DEMO,
    )


def _chosen(state: State) -> Mapping[str, str]:
    """Return the form's values: what was sent just now, else what the state is."""
    if request.form:
        return request.form
    sim = NUMBER if _is_number(state.sim) else next(value for value, (sim, _) in SIMS.items() if sim == state.sim)
    answer = _answer(state.fault)
    times = "all" if state.fault and state.fault.times is None else "one"
    return {"sim": sim, "answer": answer.value if answer else "", "times": times}


def _answer(fault: Fault | None) -> Answer | None:
    """Return the Answer that stands for ``fault``, or None where a program made up another one."""
    for answer in ANSWERS:
        meant = answer.fault and Fault.parse({**answer.fault, "times": fault.times if fault else 1})
        if meant == fault:
            return answer
    return None


def _is_number(sim: str | None) -> TypeGuard[str]:
    return sim is not None and sim.startswith("+")


def _sim_text(sim: str | None) -> str:
    return sim if _is_number(sim) else next(text for kind, text in SIMS.values() if kind == sim)


def _fault_text(fault: Fault | None) -> str:
    answer = _answer(fault)
    return answer.text if answer else f"{fault.endpoint}: {fault.note}"  # type: ignore[union-attr]  # None has an Answer
