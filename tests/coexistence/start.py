"""What the server of a site runs: its database made and its checks printed before the first answer."""

import sys

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application


def application():
    """Return the site's WSGI application; a site whose checks report an error does not start."""
    found = get_wsgi_application()
    call_command("migrate", verbosity=0)
    call_command("check")
    sys.stdout.flush()  # into a file, where tests look for it
    return found
