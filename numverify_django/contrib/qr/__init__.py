"""Log in on a desktop with the SIM of one's phone: a QR code one way, a short code typed back (RFC 10027)."""
