"""The app of the club's admin."""

from django.contrib.admin.apps import AdminConfig


class ClubAdminConfig(AdminConfig):
    """Puts the club's admin where Django's would be."""

    default_site = "tests.coexistence.sites.staff_admin.ClubAdminSite"
