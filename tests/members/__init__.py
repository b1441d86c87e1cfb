"""A site with a user model of its own: a UUID key, no e-mail address, no username."""
