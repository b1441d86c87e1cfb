"""Sites that have more than us: each is a settings module in ``sites``, served on a socket with the real packages."""
