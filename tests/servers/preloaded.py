"""The site's WSGI application, whose import asks the operator: where that is preloaded, before the fork."""

from django.core.wsgi import get_wsgi_application

from numverify_django import conf, transport
from numverify_django.calls import Deadline, converse
from numverify_django.protocol import conversation

application = get_wsgi_application()
transport.run(converse(conversation.discover(conf.get().operators[0]), Deadline(10)))
