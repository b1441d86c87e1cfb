"""The admin of the club."""

from django.contrib.admin import AdminSite


class ClubAdminSite(AdminSite):
    """Looks like the club's."""

    site_header = "Riverside's back room"
