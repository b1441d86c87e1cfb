"""What ``APP_LOGIN`` may be: each ``log_in(request, user, attempt)`` returns what the app is told, a dict of JSON."""
