"""The authentication backend: beside others, with a site's own hooks, and in a race for one number."""

import contextlib
import threading

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate, get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Manager
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import isolate_apps
from django.urls import include, path

from numverify_django import conf, session
from numverify_django.backends import NumberVerificationBackend
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import Phone
from .test_login import GOOD, OTHER, account
from .test_middleware import NAVIGATION
from .test_session import grow_old

pytestmark = pytest.mark.urls(__name__)

MODEL, OURS = "django.contrib.auth.backends.ModelBackend", "numverify_django.backends.NumberVerificationBackend"
OIDC = "mozilla_django_oidc.auth.OIDCAuthenticationBackend"


def whoami(request):
    return HttpResponse(str(request.user.pk))


urlpatterns = [
    path("whoami/", whoami),
    path("oidc/", include("mozilla_django_oidc.urls")),
    path("numverify/", include("numverify_django.urls")),
]


class FromLoop(NumberVerificationBackend):
    """A site's own backend, which asks ours from asynchronous code."""

    def authenticate(self, request, attempt, verification):
        return async_to_sync(NumberVerificationBackend().aauthenticate)(request, attempt, verification)


class ByEmail(NumberVerificationBackend):
    """A site's own backend: its accounts have the number in their e-mail address."""

    def filter_users_by_claims(self, claims):
        return self.UserModel.objects.filter(email=self.address(claims))

    def create_user(self, claims):
        user = super().create_user(claims)
        user.email = self.address(claims)
        user.save()
        return user

    def get_username(self, claims):
        return f"member {self.UserModel.objects.count()}"

    def update_user(self, user, claims):
        user.last_name = ", ".join(f"{name} {value}" for name, value in claims.items())
        user.save()
        return user

    @staticmethod
    def address(claims):
        return f"{claims['phone_number'].removeprefix('+')}@sim.example"


class Unreachable(NumberVerificationBackend):
    def authenticate(self, request, attempt, verification):
        raise AssertionError("reached")


class Greedy(BaseBackend):
    """Another backend, which takes any credentials for those of its one user."""

    def authenticate(self, request, **credentials):
        return get_user_model().objects.get()


class Forbidding(BaseBackend):
    def authenticate(self, request, **credentials):
        raise PermissionDenied


class Strict(NumberVerificationBackend):
    """A site's own backend, which says no to whoever is signed in already."""

    def authenticate(self, request, attempt, verification):
        if request.user.is_authenticated:
            raise PermissionDenied
        return super().authenticate(request, attempt, verification)


class Silent(Strict):
    """The same, said otherwise."""

    def authenticate(self, request, attempt, verification):
        try:
            return super().authenticate(request, attempt, verification)
        except PermissionDenied:
            return None


with isolate_apps("tests"):

    class Customer(get_user_model()):
        """A child of the user model, with a table of its own (multi-table inheritance)."""

        class Meta:
            app_label = "tests"


class Customers(ModelBackend):
    """A site's own backend: who is signed in by it is a Customer."""

    def get_user(self, user_id):
        (values,) = get_user_model().objects.filter(pk=user_id).values()
        return Customer(user_ptr_id=values["id"], **values)


FIRST_LOGINS = threading.Barrier(2)


class Hesitant(NumberVerificationBackend):
    """Waits until both racers have found no account, or until it is clear that the database lets only one look."""

    def create_user(self, claims):
        with contextlib.suppress(threading.BrokenBarrierError):
            FIRST_LOGINS.wait(timeout=1)
        return super().create_user(claims)


def confirm(phone, settings, use):
    """Begin what a signed-in person proves their number for; return the answer that leads to the operator."""
    if use == "link":
        return phone.start(GOOD, "/numverify/numbers/add/")
    if use == "step_up":
        return phone.start()
    settings.NUMVERIFY = settings.NUMVERIFY | {"REVERIFY_AFTER": 60}
    grow_old(phone, 70)
    return phone.client.get("/whoami/", headers=NAVIGATION)


def the_end():
    """Return outcome and reason of the last attempt."""
    attempt = VerificationAttempt.objects.latest("pk")
    return attempt.outcome, attempt.reason


class TestAccount:
    def test_new_account_cannot_be_guessed_or_logged_in_to_by_password(self, phone):
        phone.log_in(GOOD)
        user = get_user_model().objects.get()

        assert not user.has_usable_password()
        assert len(user.username) == 32
        assert not any(part in user.username for part in ("600000001", "34600"))
        assert not any(phone.client.login(username=user.username, password=word) for word in ("", user.password, GOOD))

    def test_two_new_accounts_have_unlike_names(self, phone, sandbox):
        phone.log_in(GOOD)
        Phone(sandbox).log_in("600 000 011")

        assert len(set(get_user_model().objects.values_list("username", flat=True))) == 2

    def test_session_is_our_backends(self, phone):
        phone.log_in(GOOD)

        assert phone.client.session["_auth_user_backend"] == OURS

    def test_last_proof_moves_and_the_first_stays(self, phone):
        user = account()
        before = VerifiedNumber.objects.get()
        phone.log_in(GOOD)
        after, attempt = VerifiedNumber.objects.get(), VerificationAttempt.objects.get()

        assert (after.pk, after.user, after.first_verified_at) == (before.pk, user, before.first_verified_at)
        assert attempt.created_at < after.last_verified_at < attempt.ended_at

    def test_failed_proof_moves_nothing(self, phone, sandbox):
        account()
        before = VerifiedNumber.objects.values().get()
        sandbox.set(sim="+34600000009")
        phone.log_in(GOOD)

        assert VerifiedNumber.objects.values().get() == before

    def test_deactivation_ends_the_session(self, phone):
        phone.log_in(GOOD)
        assert phone.client.get("/whoami/").content.decode() == phone.user_id
        get_user_model().objects.update(is_active=False)

        assert phone.client.get("/whoami/").content == b"None"

    @pytest.mark.parametrize("get_user", ["get_user", "aget_user"])
    def test_get_user_knows_active_accounts_alone(self, db, get_user):
        def find(pk):
            found = getattr(NumberVerificationBackend(), get_user)
            return async_to_sync(found)(pk) if get_user == "aget_user" else found(pk)

        active = get_user_model().objects.create_user("active")
        inactive = get_user_model().objects.create_user("inactive", is_active=False)

        assert [find(pk) for pk in (active.pk, inactive.pk, 0)] == [active, None, None]

    def test_asynchronous_code_is_told_the_same_user(self, phone, settings):
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.FromLoop"]
        phone.log_in(GOOD)

        assert (the_end(), phone.user_id) == (("verified", ""), str(get_user_model().objects.get().pk))


class TestOtherBackends:
    @pytest.fixture(params=["before", "after"])
    def oidc(self, request, settings, sandbox):
        """The site's identity provider, listed before or after ours; its endpoints are logged by the sandbox."""
        settings.AUTHENTICATION_BACKENDS = [OIDC, MODEL, OURS] if request.param == "before" else [MODEL, OURS, OIDC]
        settings.OIDC_OP_TOKEN_ENDPOINT = f"{sandbox.url}/token"
        settings.OIDC_OP_USER_ENDPOINT = f"{sandbox.url}/userinfo"
        settings.OIDC_OP_JWKS_ENDPOINT = f"{sandbox.url}/jwks"
        settings.OIDC_RP_SIGN_ALGO = "RS256"
        settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = "site", "secret"

    def test_oidc_backend_does_not_see_the_callback(self, phone, sandbox, oidc):
        phone.log_in(GOOD)

        assert sandbox.hops() == ["discovery", "authorize", "token", "jwks", "verify"]
        assert phone.user_id == str(get_user_model().objects.get().pk)
        assert phone.client.session["_auth_user_backend"] == OURS

    def test_oidc_backend_does_not_see_a_failure(self, phone, sandbox, oidc):
        phone.log_in(OTHER)

        assert sandbox.hops() == ["discovery", "authorize", "token", "jwks", "verify"]
        assert the_end() == ("mismatch", "number_mismatch")
        assert phone.user_id is None

    def test_password_login_is_the_model_backends(self, phone):
        get_user_model().objects.create_user("somebody", password="a password")

        assert not phone.client.login(username="somebody", password="another")
        assert phone.client.login(username="somebody", password="a password")
        assert phone.client.session["_auth_user_backend"] == MODEL

    def test_password_never_reaches_our_backend(self, db, settings):
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Unreachable"]
        get_user_model().objects.create_user("somebody", password="a password")
        request, credentials = RequestFactory().get("/"), {"username": "somebody", "password": "a password"}

        assert authenticate(request, **credentials) is None
        assert async_to_sync(aauthenticate)(request, **credentials) is None

    def test_our_backend_is_no_password_door(self, db):
        get_user_model().objects.create_user("somebody", password="a password")
        backend, credentials = NumberVerificationBackend(), {"username": "somebody", "password": "a password"}

        with pytest.raises(TypeError, match="username"):
            backend.authenticate(None, **credentials)
        with pytest.raises(TypeError, match="username"):
            async_to_sync(backend.aauthenticate)(None, **credentials)

    @pytest.mark.parametrize(
        ("other", "end"), [("Greedy", ("error", "misconfigured")), ("Forbidding", ("refused", "policy_refused"))]
    )
    def test_other_backends_word_logs_nobody_in(self, phone, settings, other, end):
        get_user_model().objects.create_user("somebody")
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.{other}", OURS]
        phone.log_in(GOOD)

        assert the_end() == end
        assert phone.user_id is None

    @pytest.mark.parametrize("other", ["Greedy", "Forbidding"])
    @pytest.mark.parametrize("use", ["step_up", "reverify", "link"])
    def test_who_is_signed_in_is_none_of_other_backends_affair(self, phone, settings, failed_logins, other, use):
        phone.log_in(GOOD)
        user_id, callback = phone.user_id, phone.come_back(confirm(phone, settings, use))
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.{other}", OURS]
        phone.client.get(callback)

        attempt = VerificationAttempt.objects.latest("pk")
        assert (attempt.use, attempt.outcome, attempt.reason) == (use, "verified", "")
        assert phone.user_id == user_id
        assert failed_logins == []

    @pytest.mark.parametrize("own", ["Strict", "Silent"])
    @pytest.mark.parametrize("use", ["step_up", "reverify", "link"])
    def test_sites_own_backend_may_refuse_who_is_signed_in(self, phone, settings, failed_logins, own, use):
        settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.{own}"]
        phone.log_in(GOOD)
        phone.client.get(phone.come_back(confirm(phone, settings, use)))

        assert the_end() == ("refused", "policy_refused")
        assert VerificationAttempt.objects.latest("pk").use == use
        assert failed_logins == []

    def test_whoever_logged_in_meanwhile_stays_logged_in(self, phone):
        callback = phone.come_back(phone.start(GOOD))
        other = get_user_model().objects.create_user("somebody else")
        phone.client.force_login(other)
        phone.client.get(callback)

        assert the_end() == ("refused", "user_mismatch")
        assert phone.user_id == str(other.pk)
        assert not VerifiedNumber.objects.exists()


class TestHooks:
    @pytest.fixture(autouse=True)
    def by_email(self, settings):
        settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.ByEmail"]

    def test_create_user_and_get_username_make_the_account(self, phone):
        phone.log_in(GOOD)

        user = get_user_model().objects.get()
        assert (user.username, user.email) == ("member 0", "34600000001@sim.example")
        assert not user.has_usable_password()
        assert phone.user_id == str(user.pk)
        assert phone.client.session["_auth_user_backend"] == f"{__name__}.ByEmail"

    def test_filter_finds_the_account_and_update_user_gets_the_claims(self, phone):
        known = get_user_model().objects.create_user("known", email="34600000001@sim.example")
        phone.log_in(GOOD)

        user = get_user_model().objects.get()
        assert user == known
        assert user.last_name == "phone_number +34600000001, phone_number_verified True"
        assert VerifiedNumber.objects.get().user == known
        assert phone.user_id == str(known.pk)

    def test_filter_finds_the_account_where_unknown_numbers_are_refused(self, phone, configure):
        configure(site={"UNKNOWN_NUMBER": "deny"})
        known = get_user_model().objects.create_user("known", email="34600000001@sim.example")
        phone.log_in(GOOD)

        assert phone.user_id == str(known.pk)

    def test_two_accounts_are_number_taken_with_the_page_of_a_mismatch(self, phone):
        for name in ("one", "two"):
            get_user_model().objects.create_user(name, email="34600000001@sim.example")
        taken = phone.page(phone.log_in(GOOD)).content.decode()
        assert the_end() == ("refused", "number_taken")
        mismatch = phone.page(phone.log_in(OTHER)).content.decode()
        assert the_end() == ("mismatch", "number_mismatch")

        first, second = (attempt.reference_shown for attempt in VerificationAttempt.objects.order_by("pk"))
        assert taken.replace(first, "") == mismatch.replace(second, "")
        assert not VerifiedNumber.objects.exists()
        assert phone.user_id is None

    def test_account_found_for_a_number_of_another_is_number_taken(self, phone):
        owner = account()
        get_user_model().objects.create_user("namesake", email="34600000001@sim.example")
        phone.log_in(GOOD)

        assert the_end() == ("refused", "number_taken")
        assert VerifiedNumber.objects.get().user == owner
        assert phone.user_id is None

    def test_refused_account_keeps_nothing_of_update_user(self, phone):
        get_user_model().objects.create_user("known", email="34600000001@sim.example", is_active=False)
        phone.log_in(GOOD)

        assert the_end() == ("refused", "account_inactive")
        assert get_user_model().objects.get().last_name == ""


class TestChildOfTheUserModel:
    """To Django a child (multi-table) equals no parent of its, though both are one account."""

    @pytest.fixture
    def customer(self, phone, settings):
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Customers", OURS]
        phone.user = account()
        return phone

    def sign_in(self, phone):
        phone.client.force_login(phone.user, f"{__name__}.Customers")

    def test_own_number_confirms(self, customer):
        self.sign_in(customer)
        customer.log_in("", next="/whoami/")

        assert the_end() == ("verified", "")

    def test_own_number_is_verified_again(self, customer, settings):
        settings.NUMVERIFY = settings.NUMVERIFY | {"REVERIFY_AFTER": 300}
        self.sign_in(customer)
        customer.log_in("")
        grow_old(customer, 1000)
        customer.client.get(customer.come_back(customer.client.get("/whoami/")))

        assert VerificationAttempt.objects.latest("pk").use == "reverify"
        assert the_end() == ("verified", "")

    def test_own_number_is_no_other_accounts(self, customer):
        self.sign_in(customer)
        customer.client.get(customer.come_back(customer.start(GOOD, "/numverify/numbers/add/")))

        assert the_end() == ("verified", "")

    def test_login_ends_in_a_browser_that_logged_in_meanwhile(self, customer):
        callback = customer.come_back(customer.start(GOOD))
        stored = customer.client.session
        stored["_auth_user_id"], stored["_auth_user_backend"] = str(customer.user.pk), f"{__name__}.Customers"
        stored["_auth_user_hash"] = customer.user.get_session_auth_hash()
        stored.save()
        customer.client.get(callback)

        assert the_end() == ("verified", "")

    def test_another_accounts_number_confirms_nobody(self, customer):
        customer.user = get_user_model().objects.create_user("another")
        self.sign_in(customer)
        customer.log_in(GOOD)

        assert the_end() == ("refused", "user_mismatch")


@pytest.mark.django_db(transaction=True)
def test_two_first_logins_of_one_number_make_one_account(phone, sandbox, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Hesitant"]
    phones = [phone, Phone(sandbox)]
    callbacks = [racer.come_back(racer.start(GOOD, next="/whoami/")) for racer in phones]
    answers = []

    def finish(racer, callback):
        try:
            answers.append(racer.client.get(callback)["Location"])
        finally:
            connection.close()

    threads = [threading.Thread(target=finish, args=pair) for pair in zip(phones, callbacks, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    user = get_user_model().objects.get()
    assert answers == ["/whoami/"] * 2
    assert [racer.user_id for racer in phones] == [str(user.pk)] * 2
    assert VerifiedNumber.objects.get().user == user
    attempts = VerificationAttempt.objects.values_list("outcome", "user", "operator")
    assert list(attempts) == [("verified", user.pk, conf.get().operators[0].name)] * 2


def test_account_that_the_models_manager_hides_is_not_logged_in(phone, monkeypatch):
    hidden = account()
    shown = lambda self: Manager.get_queryset(self).exclude(pk=hidden.pk)  # noqa: E731
    monkeypatch.setattr(type(get_user_model().objects), "get_queryset", shown, raising=False)
    phone.log_in(GOOD)

    assert the_end() == ("refused", "number_taken")
    assert phone.user_id is None


def test_another_model_of_the_same_key_is_another_account(db):
    user, group = account(), Group(name="of another table")
    group.pk = user.pk
    assert session.is_same(user, get_user_model().objects.get())
    assert not session.is_same(user, group)
