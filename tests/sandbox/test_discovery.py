"""What the operator publishes about itself."""

import jwt


def test_metadata_names_endpoints_methods_and_the_iss_parameter(site):
    metadata = site.get("/.well-known/openid-configuration").json()

    assert metadata == {
        "issuer": site.url,
        "authorization_endpoint": f"{site.url}/authorize",
        "token_endpoint": f"{site.url}/token",
        "jwks_uri": f"{site.url}/jwks",
        "authorization_response_iss_parameter_supported": True,
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["pairwise"],
        "prompt_values_supported": ["none"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash"],
        "scopes_supported": [
            "number-verification-share-read",
            "number-verification-verify-read",
            "number-verification:device-phone-number:read",
            "number-verification:read",
            "number-verification:verify",
            "openid",
        ],
    }


def test_jwks_is_one_public_key_for_signatures(site):
    (key,) = site.get("/jwks").json()["keys"]

    assert key.keys() == {"kty", "kid", "use", "alg", "n", "e"}
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert jwt.PyJWK(key).key.key_size == 2048
