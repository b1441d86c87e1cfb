"""For sites with Django REST framework (extra ``drf``): an API that logs in apps, and a permission."""
