"""Logging without secrets."""

import logging
import re


class PathOnly(logging.Filter):
    """Cut the query off the request line that the server logs: an operator's callback brings its code there."""

    def filter(self, record):
        record.args = tuple(re.sub(r"\?\S*", "", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True
