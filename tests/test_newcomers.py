"""User models, and accounts for unknown numbers: the checks speak where a first or a second one cannot be made."""

import uuid

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.validators import RegexValidator
from django.db import Error, connection, models
from django.db.models.functions import Lower

from numverify_django.backends import NumberVerificationBackend
from numverify_django.checks import check_user_model

OURS = "numverify_django.backends.NumberVerificationBackend"
CLAIMS = {"phone_number": "+34600000001", "phone_number_verified": True}


class NumberBackend(NumberVerificationBackend):
    """A site's own, which knows what its usernames are."""

    def get_username(self, claims):
        """Return the number, without its plus."""
        return claims["phone_number"].removeprefix("+")


def unique(*expressions, **options):
    return models.UniqueConstraint(*expressions, name=f"unique_{uuid.uuid4().hex}", **options)


def user_model(name, *constraints, together=(), username="handle", **fields):
    """Return a user model with these fields beside Django's own, unmanaged: a test makes its table."""
    facts = {"managed": False, "app_label": "members", "constraints": constraints, "unique_together": together}
    fields = {"handle": text(unique=True)} | fields
    members = {"__module__": __name__, "USERNAME_FIELD": username, "objects": models.Manager(), **fields}
    return type(name, (AbstractBaseUser,), members | {"Meta": type("Meta", (), facts)})


def text(**options):
    return models.CharField(**{"max_length": 40, "blank": True} | options)


CLUB = {"club": text(), "code": text()}
LOWER = models.GeneratedField(expression=Lower("handle"), output_field=text(), db_persist=True, unique=True)
DAY = models.DateField()
COUNTED = user_model("Counted", handle=models.BigIntegerField(unique=True))
REFUSED = {  # what no account, or one alone, can be made for -> what is told
    user_model("Lowered", unique(Lower("email")), email=text()): "Lowered needs email",
    user_model("Clubs", together=[("club", "code")], **CLUB): "Clubs needs club with code",
    user_model("Codes", unique(fields=["club", "code"]), **CLUB): "Codes needs club with code",
    user_model("Keyed", email=text(primary_key=True)): "Keyed needs email",
    user_model("Empty", email=text(unique=True, default="")): "Empty needs email",
    user_model("Nulls", email=text(unique=True, null=True, default="")): "Nulls needs email",
    user_model("Dated", born=DAY, city=text()): "Dated needs born",
    COUNTED: "handle of Counted takes no random text",
}
SHORT = user_model("Short", handle=text(max_length=31, unique=True))  # on SQLite too, which does not measure
ALLOWED = [
    user_model("Nullable", unique(Lower("email")), email=text(null=True)),
    user_model("Spared", unique(fields=["email"], condition=~models.Q(email="")), email=text()),
    user_model("Named", unique("handle", "email"), email=text()),
    user_model("Drawn", together=[("club", "code")], club=text(), code=text(default=uuid.uuid4)),
    user_model("Timed", unique(fields=["club", "at"]), club=text(), at=models.DateTimeField(auto_now_add=True)),
    user_model("Known", handle=models.UUIDField(unique=True)),
    user_model("Made", lower=LOWER),
    user_model("Own", id=models.UUIDField(primary_key=True, default=uuid.uuid4)),
]
ODD = [
    user_model("Mailed", handle=models.EmailField(unique=True)),
    user_model("Ruled", handle=text(unique=True, validators=[RegexValidator(r"\+\d+")])),
    user_model("Dialled", username="phone_number", handle=text(), phone_number=text(unique=True)),
]


@pytest.fixture
def members(settings):
    """A site whose user model is one of these."""

    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.members"]

    def configure(model, backend=OURS):
        settings.AUTH_USER_MODEL = model._meta.label
        settings.AUTHENTICATION_BACKENDS = [backend]

    return configure


@pytest.fixture
def table():
    """Make the table of a model, for this test."""
    made = []

    def make(model):
        with connection.schema_editor() as editor:
            editor.create_model(model)
        made.append(model)

    yield make
    with connection.schema_editor() as editor:
        for model in made:
            editor.delete_model(model)


def accounts(model):
    """Make accounts as two unknown numbers get them; return how many there are."""
    backend = NumberVerificationBackend()
    try:
        for _ in range(2):
            backend.create_user(CLAIMS)
    except (Error, ValueError):
        pass
    return model.objects.count()


def told():
    return [(message.id.removeprefix("numverify."), message.msg) for message in check_user_model(None)]


def is_made(model):
    """Tell whether this database has what the model's constraints ask of it."""
    return connection.features.supports_expression_indexes or not any(
        constraint.expressions for constraint in model._meta.constraints
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("model", "what"), REFUSED.items(), ids=lambda given: getattr(given, "__name__", ""))
def test_model_that_has_no_room_for_two_accounts_is_an_error(members, table, model, what):
    members(model)
    assert told() == [("E026", f"An unknown number cannot get an account: {what}.")]
    if is_made(model):
        table(model)
        assert accounts(model) < 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", ALLOWED, ids=lambda model: model.__name__)
def test_model_that_has_room_for_two_accounts_is_none(members, table, model):
    members(model)
    table(model)
    assert (told(), accounts(model)) == ([], 2)


@pytest.mark.parametrize("model", ODD, ids=lambda model: model.__name__)
def test_username_that_should_be_something_else_is_warned_of(members, model):
    members(model)
    username = f"{model.USERNAME_FIELD} of {model.__name__}"
    assert told() == [("W010", f"New accounts get a random text for what is something else: {username}.")]


def test_username_that_is_too_short_is_an_error(members):
    members(SHORT)
    assert told() == [("E026", "An unknown number cannot get an account: handle of Short takes no random text.")]


def ask_database(value):
    connection.cursor().execute("SELECT 1 FROM a_table_that_is_not_there_yet")


@pytest.mark.django_db
def test_validator_that_cannot_be_asked_yet_stops_no_check(members):
    members(user_model("Early", handle=text(unique=True, validators=[ask_database])))
    assert told() == []


def test_null_counts_where_it_is_not_distinct(members):
    members(user_model("Undistinct", unique(fields=["email"], nulls_distinct=False), email=text(null=True)))
    assert told() == [("E026", "An unknown number cannot get an account: Undistinct needs email.")]


@pytest.mark.parametrize("model", [*ODD, SHORT, COUNTED], ids=lambda model: model.__name__)
def test_own_get_username_cures_what_is_told_of_the_username(members, model):
    members(model)
    (message,) = check_user_model(None)
    assert "Override get_username" in message.hint
    members(model, f"{__name__}.NumberBackend")
    assert told() == []


def test_parents_constraints_count(members):
    parent = user_model("Parent", unique(fields=["email"]), email=text())
    meta = type("Meta", (), {"managed": False, "app_label": "members"})
    members(type("Child", (parent,), {"__module__": __name__, "Meta": meta}))
    assert told() == [("E026", "An unknown number cannot get an account: Child needs email.")]
