"""django-hijack 3: who works in another's account has neither proved its number nor logged in to it."""

import itertools

import pytest

from .conftest import Visitor

NUMBERS = (f"+34600006{index:02}1" for index in itertools.count())


@pytest.fixture(scope="module", params=["", "yes"], ids=["after", "before"])
def site(request, serve):
    """The site, its middleware after ours and before."""
    return serve("hijack", SITE_EARLY=request.param)


class Staff(Visitor):
    """A browser of staff, who logged in by SIM; ``customer`` is an account with a number, ``plain`` one without."""

    def __init__(self, site, sandbox):
        super().__init__(site)
        self.site_, self.sandbox, self.number, self.others = site, sandbox, next(NUMBERS), next(NUMBERS)
        self.name, self.customer, self.plain = (f"{kind}{self.number[1:]}" for kind in ("staff", "customer", "plain"))
        site.make(self.name, password="a-password", is_staff="1", is_superuser="1", number=self.number)
        self.keys = {
            self.customer: site.make(self.customer, password="pw", number=self.others),
            self.plain: site.make(self.plain),
        }
        sandbox.set(sim=self.number)
        self.log_in(self.number)

    def hijack(self, name):
        """Work in another's account."""
        return self.post("/hijack/acquire/", {"user_pk": self.keys[name], "next": "/who/"}, "/enter/")

    def release(self):
        """Go back to the account of one's own."""
        return self.post("/hijack/release/", {"next": "/who/"}, "/enter/")

    def owners(self):
        """Return (number, username) of every number that these three have."""
        owners = (
            "SELECT number, username FROM numverify_django_verifiednumber JOIN auth_user ON auth_user.id = user_id "
            "WHERE username IN (?, ?, ?) ORDER BY number"
        )
        return self.site_.rows(owners, self.name, self.customer, self.plain)


@pytest.fixture
def staff(site, sandbox):
    """One who is logged in by SIM."""
    return Staff(site, sandbox)


def test_checks_have_nothing_to_say(site, staff):
    assert staff.who()["number"] == staff.number
    assert "numverify." not in site.log()


@pytest.mark.parametrize("whose", ["customer", "plain"])
def test_hijacked_session_inherits_neither_proof_nor_number(staff, whose):
    name = getattr(staff, whose)
    staff.hijack(name)
    found = staff.who()

    assert (found["user"], found["verified"], found["number"]) == (name, False, None)


def test_hijackers_sim_does_not_pay_for_the_other(staff, site):
    staff.hijack(staff.customer)
    answer = staff.get("/pay/")

    assert "paid" not in answer.text
    assert site.outcomes()[-1] == ("mismatch", "number_mismatch")
    assert staff.who()["user"] == staff.customer  # and nobody is logged out


@pytest.mark.parametrize("path", ["/pay/", "/numverify/numbers/add/"])
def test_hijackers_number_does_not_become_an_accounts_that_has_none(staff, site, path):
    staff.hijack(staff.plain)
    before, attempts = staff.owners(), len(site.outcomes())
    staff.post(path if "add" in path else "/numverify/login/", {"phone_number": staff.number, "next": "/pay/"}, path)

    assert staff.owners() == before
    assert len(site.outcomes()) == attempts
    assert staff.get("/pay/").text != "paid"


def test_hijacker_removes_no_number(staff):
    staff.hijack(staff.customer)
    before = staff.owners()
    ((key,),) = staff.site_.rows("SELECT id FROM numverify_django_verifiednumber WHERE number = ?", staff.others)
    staff.post(f"/numverify/numbers/{key}/remove/", {}, "/enter/")

    assert staff.owners() == before


def test_login_that_began_before_ends_nowhere_afterwards(staff, site, sandbox):
    form = {"phone_number": staff.number}
    started = staff.post("/numverify/login/", form, "/numverify/login/?confirm=yes", allow_redirects=False)
    callback = sandbox.authorize(started.headers["Location"])
    staff.hijack(staff.customer)
    answer = staff.get(callback)

    assert answer.status_code == 400
    assert staff.who()["user"] == staff.customer
    assert staff.who()["verified"] is False
    assert site.outcomes()[-1][0] == "pending"


def test_release_leaves_an_account_that_proves_its_own_number_again(staff):
    before = staff.owners()
    staff.hijack(staff.customer)
    staff.release()
    found = staff.who()
    assert (found["user"], found["verified"]) == (staff.name, False)

    assert staff.get("/pay/").text == "paid"
    assert staff.who()["number"] == staff.number
    assert staff.owners() == before


def test_release_is_no_login_by_which_numbers_may_be_changed(staff):
    staff.hijack(staff.customer)
    staff.release()
    answer = staff.get("/numverify/numbers/add/")

    assert answer.status_code == 403
    assert 'name="phone_number"' not in answer.text


def test_customer_is_as_before(staff, site, sandbox):
    staff.hijack(staff.customer)
    staff.release()
    sandbox.set(sim=staff.others)
    customer = Visitor(site)
    customer.log_in(staff.others)

    assert customer.who()["user"] == staff.customer
