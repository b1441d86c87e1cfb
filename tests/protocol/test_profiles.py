"""The built-in profiles against the facts of their documents, and where an operator may be."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from numverify_django.protocol.exceptions import Misconfigured
from numverify_django.protocol.phone import PhoneNumber
from numverify_django.protocol.profiles import PROFILES, Operator, is_loopback, select

from .contract import CONTRACTS
from .factories import ISSUER, NUMBER, operator, refused

each_contract = pytest.mark.parametrize(("name", "contract"), CONTRACTS.items(), ids=CONTRACTS)


def test_every_profile_has_a_contract():
    assert set(PROFILES) == set(CONTRACTS)


@each_contract
def test_profile_is_found_by_its_own_name(name, contract):
    assert PROFILES[name].name == name


@each_contract
def test_server_is_that_of_the_document(name, contract):
    assert PROFILES[name].api_root == contract.root


@each_contract
def test_paths_and_methods_are_those_of_the_document(name, contract):
    profile = PROFILES[name]
    assert (profile.verify.method, profile.verify.path) == contract.verify
    assert (profile.share.method, profile.share.path) == contract.share


@each_contract
def test_answers_are_read_from_the_fields_of_the_document(name, contract):
    profile = PROFILES[name]
    assert (profile.verify.result, profile.share.result) == (contract.verify_result, contract.share_result)


@each_contract
def test_scope_parameter_is_spelled_as_the_document_does(name, contract):
    asked = operator(name)
    assert asked.scope("verify") == contract.scope_verify
    assert asked.scope("share") == contract.scope_share


@each_contract
def test_openid_is_asked_where_the_document_is_openid_connect(name, contract):
    assert PROFILES[name].openid is contract.asks_openid


@each_contract
@pytest.mark.parametrize("operation", ["verify", "share"])
def test_exactly_one_purpose_is_asked(name, contract, operation):
    assert operator(name).scope(operation).count("dpv:") == 1


@each_contract
def test_id_token_rule_is_the_documented_one(name, contract):
    assert PROFILES[name].id_token == contract.id_token


@each_contract
def test_capabilities_are_those_of_the_document(name, contract):
    profile = PROFILES[name]
    assert profile.accepts_hash is (contract.hash_pattern is not None)
    assert profile.accepts_device is contract.device


@each_contract
def test_countries_are_those_of_the_operator(name, contract):
    assert PROFILES[name].prefixes == contract.prefixes


@pytest.mark.parametrize("name", ["telefonica", "telefonica-sandbox"])
def test_default_discovery_is_the_openid_connect_url_of_the_document(name):
    assert PROFILES[name].issuer == "https://opengateway.telefonica.com"
    assert PROFILES[name].discovery_url is None


@pytest.mark.parametrize("name", [name for name in PROFILES if "apigateway" in name])
def test_apigateway_endpoints_are_those_of_its_authorization_document(name):
    gateway = "https://sandbox.opengateway.telefonica.com/apigateway"
    assert PROFILES[name].authorization_endpoint == f"{gateway}/authorize"
    assert PROFILES[name].token_endpoint == f"{gateway}/token"


@pytest.mark.parametrize("number", ["+34600000001", "+4915123456789", "+5511912345678"])
def test_number_of_the_operators_countries_is_served(number):
    assert operator().serves(PhoneNumber(number)) is True


@pytest.mark.parametrize("number", ["+33612345678", "+14155552671", "+35612345678"])
def test_number_of_another_country_is_not_served(number):
    assert operator().serves(PhoneNumber(number)) is False


def test_operator_without_prefixes_serves_any_number():
    assert operator("camara-v2").serves(PhoneNumber("+33612345678")) is True


def test_site_may_choose_another_purpose():
    asked = operator(purpose="dpv:ServiceProvision")
    assert asked.scope("verify") == "openid dpv:ServiceProvision number-verification:verify"


def test_purpose_of_the_site_wins_over_that_of_the_operation():
    asked = operator("telefonica-apigateway-v1", purpose="dpv:FraudPreventionAndDetection")
    assert asked.scope("share") == "dpv:FraudPreventionAndDetection number-verification:device-phone-number:read"


def test_scopes_of_the_site_replace_all_others():
    asked = operator(scopes=("openid", "dpv:ServiceProvision#number-verification"))
    assert asked.scope("verify") == asked.scope("share") == "openid dpv:ServiceProvision#number-verification"


SPANISH = operator(name="spanish", prefixes=("+34",))
GERMAN = operator(name="german", prefixes=("+49",), operation="share")
ANYWHERE = operator(name="anywhere", prefixes=())


def test_first_operator_that_serves_the_number_is_selected():
    assert select([GERMAN, SPANISH, ANYWHERE], NUMBER) is SPANISH


def test_operator_of_any_country_is_selected_in_its_turn():
    assert select([ANYWHERE, SPANISH], NUMBER) is ANYWHERE


def test_no_operator_is_selected_for_a_number_that_none_serves():
    assert select([GERMAN], NUMBER) is None


def test_operator_that_shares_is_selected_without_a_number():
    assert select([SPANISH, GERMAN, ANYWHERE], None) is GERMAN


def test_no_operator_is_selected_without_a_number_where_none_shares():
    assert select([SPANISH, ANYWHERE], None) is None


@pytest.mark.parametrize(
    "name",
    ["client_id", "api_root", "issuer", "discovery_url", "authorization_endpoint", "token_endpoint", "jwks_uri"],
)
def test_fingerprint_changes_with_where_the_operator_is(name):
    assert replace(SPANISH, **{name: "https://moved.example"}).fingerprint != SPANISH.fingerprint


def test_fingerprint_changes_with_the_pinned_algorithm():
    assert replace(SPANISH, id_token_alg="ES256").fingerprint != SPANISH.fingerprint


def test_fingerprint_stays_when_the_secret_is_rotated():
    assert replace(SPANISH, client_secret="another", timeout=5.0).fingerprint == SPANISH.fingerprint


def test_operator_is_immutable():
    with pytest.raises(FrozenInstanceError):
        SPANISH.client_secret = "another"


def test_codes_of_a_profile_cannot_be_changed():
    with pytest.raises(TypeError):
        PROFILES["telefonica"].codes["NEW"] = Misconfigured


def test_every_default_of_a_profile_is_a_field_of_the_operator():
    dialect = {"verify", "share", "openid", "scope_joiner", "accepts_hash", "accepts_device", "plus_required"}
    dialect |= {"codes", "statuses"}
    assert {item.name for item in fields(PROFILES["telefonica"])} - dialect <= {item.name for item in fields(Operator)}


@pytest.mark.parametrize(
    "url",
    [
        "https://operator.example/token",
        "https://operator.example:8443/token?tenant=1",
        "HTTPS://OPERATOR.EXAMPLE/token",
        "https://operator.example./token",
        "https://operator.xn--p1ai/token",
        "https://1.1.1.1/token",
        "https://[2606:4700:4700::1111]/token",
    ],
)
def test_public_https_url_is_accepted(url):
    assert operator().check_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://operator.example/token", id="plain http"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("ftp://operator.example/", id="ftp"),
        pytest.param("//operator.example/token", id="no scheme"),
        pytest.param("https:operator.example", id="no authority"),
        pytest.param("https:///token", id="no host"),
        pytest.param("https://user@operator.example/", id="user"),
        pytest.param("https://:password@operator.example/", id="password without user"),
        pytest.param("https://operator.example@127.0.0.1/", id="host as user"),
        pytest.param("https://operator.example\\@127.0.0.1/", id="backslash before an at"),
        pytest.param("https://127.0.0.1\\.operator.example/", id="backslash that ends the host for others"),
        pytest.param("https://127.0.0.1%2f.operator.example/", id="percent-encoded slash"),
        pytest.param("https://127.0.0.1%00.operator.example/", id="percent-encoded NUL"),
        pytest.param("https://operator.example/token#fragment", id="fragment"),
        pytest.param("https://operator.example/token#", id="empty fragment"),
        pytest.param("https://opera\ntor.example/", id="line feed"),
        pytest.param("https://opera\ttor.example/", id="tab"),
        pytest.param(" https://operator.example/", id="blank before"),
        pytest.param("https://operator.example/\n", id="line feed after"),
        pytest.param("https://operator.example:99999/", id="port that is none"),
        pytest.param("https://operator.example:0/", id="port zero"),
        pytest.param("https://operator.example:0x50/", id="hexadecimal port"),
        pytest.param("https://intranet/", id="name without a domain"),
        pytest.param("https://localhost/", id="localhost"),
        pytest.param("https://localhost./", id="localhost with a dot"),
        pytest.param("https://foo.localhost/", id="below localhost"),
        pytest.param("https://localhost.localdomain/", id="localdomain"),
        pytest.param("https://metadata.google.internal/", id="cloud metadata by name"),
        pytest.param("https://printer.local/", id="multicast DNS"),
        pytest.param("https://127.0.0.1/", id="loopback"),
        pytest.param("https://127.1/", id="short loopback"),
        pytest.param("https://2130706433/", id="decimal loopback"),
        pytest.param("https://0x7f000001/", id="hexadecimal loopback"),
        pytest.param("https://0x7f.0.0.1/", id="partly hexadecimal loopback"),
        pytest.param("https://0177.0.0.1/", id="octal loopback"),
        pytest.param("https://\uff11\uff12\uff17.0.0.1/", id="full-width loopback"),
        pytest.param("https://127\u30020\u30020\u30021/", id="ideographic full stops"),
        pytest.param("https://0.0.0.0/", id="unspecified"),
        pytest.param("https://10.1.2.3/", id="10/8"),
        pytest.param("https://172.16.0.1/", id="172.16/12"),
        pytest.param("https://192.168.1.1/", id="192.168/16"),
        pytest.param("https://100.64.0.1/", id="carrier-grade NAT"),
        pytest.param("https://169.254.169.254/", id="cloud metadata"),
        pytest.param("https://224.0.0.1/", id="multicast"),
        pytest.param("https://255.255.255.255/", id="broadcast"),
        pytest.param("https://[::1]/", id="IPv6 loopback"),
        pytest.param("https://[::ffff:127.0.0.1]/", id="mapped loopback"),
        pytest.param("https://[fd00::1]/", id="unique local"),
        pytest.param("https://[fe80::1]/", id="link local"),
        pytest.param("https://[ff02::1]/", id="IPv6 multicast"),
        pytest.param("https://[64:ff9b::a9fe:a9fe]/", id="metadata through NAT64"),
        pytest.param("https://[2002:7f00:1::]/", id="loopback through 6to4"),
        pytest.param("https://[", id="broken IPv6"),
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param(5, id="number"),
        pytest.param(True, id="boolean"),
        pytest.param(["https://operator.example/"], id="list"),
        pytest.param({"url": "https://operator.example/"}, id="object"),
    ],
)
@pytest.mark.parametrize("loopback", [False, True], ids=["strict", "loopback allowed"])
def test_url_that_leads_elsewhere_is_refused(url, loopback):
    asked = operator(issuer="http://127.0.0.1:9091", allow_loopback=True) if loopback else operator()
    refused(Misconfigured, asked.check_url, url)


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:9091", "http://localhost:9091", "http://[::1]:9091"])
def test_loopback_of_the_issuer_is_accepted_where_allowed(issuer):
    assert operator(issuer=issuer, allow_loopback=True).check_url(f"{issuer}/token") is None


def test_loopback_of_the_issuer_is_refused_where_not_allowed():
    refused(Misconfigured, operator(issuer="http://127.0.0.1:9091").check_url, "http://127.0.0.1:9091/token")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:9092/token", id="other port"),
        pytest.param("http://localhost:9091/token", id="other name"),
        pytest.param("https://127.0.0.1:9091/token", id="other scheme"),
        pytest.param("http://127.0.0.1/token", id="no port"),
    ],
)
def test_loopback_of_another_origin_is_refused(url):
    refused(Misconfigured, operator(issuer="http://127.0.0.1:9091", allow_loopback=True).check_url, url)


def test_plain_http_of_a_public_issuer_is_refused_even_where_loopback_is_allowed():
    asked = operator(issuer="http://operator.example", allow_loopback=True)
    refused(Misconfigured, asked.check_url, "http://operator.example/token")


def test_refusal_does_not_repeat_the_url():
    error = refused(Misconfigured, operator().check_url, "https://user:password@10.0.0.1/")
    assert str(error) == "an operator's URL must be https and lead to a public host of its own"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.1", "::1", "localhost"])
def test_this_machine_is_loopback(host):
    assert is_loopback(host) is True


@pytest.mark.parametrize("host", ["10.0.0.1", "::2", "localhost.example", "127.0.0.1.example", "2130706433"])
def test_another_machine_is_not_loopback(host):
    assert is_loopback(host) is False


def test_operator_of_the_tests_has_the_issuer_of_its_profile():
    assert (operator().issuer, operator("camara-v2").issuer) == ("https://opengateway.telefonica.com", ISSUER)
