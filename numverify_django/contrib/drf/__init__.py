"""For sites with Django REST framework (extra ``drf``)."""
