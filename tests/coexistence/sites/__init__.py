"""One settings module for each site: ``base`` is a new project with numverify_django, the others add to it."""
