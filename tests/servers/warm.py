"""gunicorn's settings: a worker knows the operator before its first login."""


def post_worker_init(worker):
    """Fetch the operator's document and keys."""
    from numverify_django import flow

    flow.warm_up()
