"""A site behind a proxy that ends TLS: a real one, with a certificate, in front of a server that speaks plain http.

That a forwarded host is not believed unasked, nor the headers of other proxies, is test_br_21 in tests/hostile.
"""

from urllib.parse import urlsplit

import pytest

from ..benchmarks import certificates
from ..conftest import query_of
from ..qr.test_journey import desktop  # noqa: F401
from .conftest import Visitor
from .proxy import Proxy

NUMBER = "600 000 001"
LOGIN = "/numverify/login/"
SCHEMES = ("X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Scheme", "X-Scheme", "X-Url-Scheme")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the proxy's certificate is, and the authority that browsers know it by."""
    folder = tmp_path_factory.mktemp("certificates")
    certificates.make(folder)
    return folder


@pytest.fixture(scope="module")
def site(serve, folder):
    """The site; ``outside`` is what browsers call it."""
    served = serve("proxied", FORWARDED_ALLOW_IPS="")  # the server leaves the headers to Django
    proxy = Proxy(served.url, certificate=folder / "operator.pem")
    served.outside = proxy.url
    yield served
    proxy.stop()


@pytest.fixture
def visitor(site, folder):
    """A browser in front of the proxy."""
    visitor = Visitor(site)
    visitor.site = site.outside
    visitor._http.verify = str(folder / "authority.pem")
    return visitor


def redirect_uri_of(answer):
    """Return what the operator was told, on the way to ``answer``."""
    asked = [hop.headers["Location"] for hop in answer.history if "client_id=" in hop.headers["Location"]]
    return query_of(asked[0])["redirect_uri"]


def test_login_is_https_all_the_way(visitor, site):
    page = visitor.log_in(NUMBER)

    assert redirect_uri_of(page) == f"{site.outside}/numverify/callback/"
    assert page.url == f"{site.outside}/who/"
    assert visitor.who()["number"] == "+34600000001"
    ours = [hop for hop in page.history if urlsplit(hop.url).netloc == urlsplit(site.outside).netloc]
    assert {hop.url.partition(":")[0] for hop in ours} == {"https"}
    assert {cookie.secure for cookie in visitor._http.cookies} == {True}


def test_step_up_comes_back_by_https(visitor, site):
    page = visitor.submit(visitor.get("/pay/"), {"phone_number": NUMBER})

    assert (page.url, page.text) == (f"{site.outside}/pay/", "paid")


NEXTS = {
    "{outside}/members/": "{outside}/members/",
    "http://{host}/members/": "{outside}/who/",  # a step back to plain http
    "{inside}/members/": "{outside}/who/",  # what the proxy calls the site is nobody's address
    "https://evil.example/": "{outside}/who/",
}


@pytest.mark.parametrize(("wanted", "found"), NEXTS.items())
def test_next_leads_to_the_public_host_alone(visitor, site, wanted, found):
    names = {"outside": site.outside, "inside": site.url, "host": urlsplit(site.outside).netloc}
    page = visitor.submit(visitor.get(LOGIN), {"phone_number": NUMBER, "next": wanted.format(**names)})

    assert page.url == found.format(**names)


FORGED = {
    "another site": {"Origin": "https://evil.example"},
    "this host without TLS": {"Origin": "http://{host}"},
    "what the proxy calls the site": {"Origin": "{inside}"},
    "another site's page": {"Referer": "https://evil.example/"},
    "this host's page without TLS": {"Referer": "http://{host}/"},
    "nobody's page": {},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED)
def test_form_of_another_origin_is_refused(visitor, site, headers):
    visitor.get(LOGIN)
    names = {"inside": site.url, "host": urlsplit(site.outside).netloc}
    before = site.outcomes()
    form = {"phone_number": NUMBER, "csrfmiddlewaretoken": visitor._http.cookies["csrftoken"]}
    headers = {name: value.format(**names) for name, value in headers.items()}
    answer = visitor._http.post(site.outside + LOGIN, form, headers=headers, allow_redirects=False, timeout=30)

    assert answer.status_code == 403
    assert site.outcomes() == before


def test_site_without_the_setting_believes_no_forwarded_scheme(serve):
    served = serve("base", FORWARDED_ALLOW_IPS="")
    visitor = Visitor(served)
    visitor._http.headers.update(dict.fromkeys(SCHEMES, "https") | {"X-Forwarded-Ssl": "on"})
    page = visitor.log_in(NUMBER)

    assert redirect_uri_of(page) == f"{served.url}/numverify/callback/"
    assert page.url == f"{served.url}/who/"


def test_proxy_passes_no_forged_header_on(visitor, site):
    """Else anybody chose the callback: what Django's documentation asks of a proxy is asked of this one."""
    visitor._http.headers.update({"x-forwarded-proto": "http", "x-forwarded-host": "evil.example"})

    assert redirect_uri_of(visitor.log_in(NUMBER)) == f"{site.outside}/numverify/callback/"


def test_qr_code_leads_to_the_public_host_by_https(desktop, settings):  # noqa: F811
    """In this process: a QR code is a picture, whose text only the view knows."""
    settings.SECURE_PROXY_SSL_HEADER, settings.USE_X_FORWARDED_HOST = ("HTTP_X_FORWARDED_PROTO", "https"), True
    settings.ALLOWED_HOSTS = ["club.example"]
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "club.example"}
    desktop.client.post("/numverify/qr/", {"phone_number": NUMBER, "operation": "verify"}, headers=told)

    shown = desktop.client.get("/numverify/qr/", headers=told).context["phone_url"]
    assert shown.startswith("https://club.example/numverify/qr/")


def test_plain_request_that_went_around_the_proxy_is_sent_to_https(site):
    answer = Visitor(site).get(LOGIN, allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"].partition(":")[0]) == (301, "https")
