"""The hook of docs/deployment.rst."""


def post_worker_init(worker):
    """Fetch what every login needs, once Django is set up."""
    from numverify_django import flow

    flow.warm_up()
