"""A middleware that tells the statements of a request, where the request asks for them."""

import json

from django.db import connection

TRANSACTIONS = ("SAVEPOINT", "RELEASE", "ROLLBACK")


class CountStatements:
    """Stands first. With ``X-Count`` the answer has ``X-Statements``, a JSON list; BEGIN and COMMIT are not seen."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if "HTTP_X_COUNT" not in request.META:
            return self.get_response(request)
        seen = []

        def note(execute, sql, params, many, context):
            seen.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(note):
            response = self.get_response(request)
        response["X-Statements"] = json.dumps([sql for sql in seen if not sql.startswith(TRANSACTIONS)])
        return response
