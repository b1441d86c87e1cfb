"""Number Verification and the part of OpenID Connect it needs: data and pure functions, no Django, no I/O."""
