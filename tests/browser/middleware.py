"""What a careful site adds to every answer."""

from django.conf import settings


class ContentSecurityPolicy:
    """Send BROWSER_POLICY as the Content-Security-Policy; the strictest that README promises unless a test sets one."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        response["Content-Security-Policy"] = getattr(settings, "BROWSER_POLICY", "default-src 'self'")
        return response
