"""System checks: what a login by code lacks."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.urls import NoReverseMatch, reverse

from ... import conf
from ...checks import backends
from . import senders
from .backends import OneTimeCodeBackend


@register(Tags.security)
def check_codes(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report what keeps codes from being sent, or from logging anybody in."""
    return [*_check_sender(), *_check_installation()]


def _check_sender() -> Iterator[CheckMessage]:
    if not conf.problems() and conf.get().code_sender is None:
        hint = "Set NUMVERIFY['CODE_SENDER'] to a callable, or the dotted path to one, of a number and a text."
        yield Error("Nothing sends the codes.", hint=hint, id="numverify.E040")
    if "*" in django_settings.ALLOWED_HOSTS:
        hint = "Set ALLOWED_HOSTS to the site's hosts: each message names the one at which its code is filled in."
        yield Error("ALLOWED_HOSTS takes any host, and no code is sent.", hint=hint, id="numverify.E043")


def _check_installation() -> Iterator[CheckMessage]:
    if not any(issubclass(backend, OneTimeCodeBackend) for backend in backends()):
        hint = "Add 'numverify_django.contrib.otp.backends.OneTimeCodeBackend' to AUTHENTICATION_BACKENDS."
        yield Error("No authentication backend takes codes.", hint=hint, id="numverify.E041")
    try:
        reverse("numverify_otp:ask")
    except NoReverseMatch:
        hint = "Add path('numverify/code/', include('numverify_django.contrib.otp.urls')) to the URLconf."
        yield Error("The URLs of numverify_django.contrib.otp are not included.", hint=hint, id="numverify.E042")


@register(Tags.security, deploy=True)
def check_console(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report a sender that is for a machine of one's own."""
    if conf.problems() or conf.get().code_sender is not senders.console:
        return []
    hint = "Set NUMVERIFY['CODE_SENDER'] to one that sends: whoever reads the console can log in."
    return [Warning("Codes are written to the console.", hint=hint, id="numverify.W040")]
