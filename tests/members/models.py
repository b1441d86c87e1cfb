"""The member, who is known by a code."""

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class MemberManager(BaseUserManager):
    def create_user(self, code, **facts):
        """Return a new member without a password."""
        member = self.model(code=code, **facts)
        member.set_unusable_password()
        member.save()
        return member


class Member(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    code = models.CharField(max_length=40, unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    is_superuser = models.BooleanField(default=False)

    objects = MemberManager()
    USERNAME_FIELD = "code"


class Addressed(AbstractBaseUser):
    """A user model known by an e-mail address."""

    email = models.EmailField(unique=True)

    USERNAME_FIELD = "email"

    class Meta:
        managed = False


class Demanding(AbstractBaseUser):
    """A user model that needs more than a username: only its fields are looked at, it has no table."""

    code = models.CharField(max_length=31)
    email = models.EmailField(unique=True)
    born = models.DateField()
    nickname = models.CharField(max_length=50)
    phone = models.CharField(max_length=20, unique=True, null=True)  # noqa: DJ001
    points = models.IntegerField(default=0)
    joined = models.DateTimeField(auto_now_add=True)
    seen = models.DateTimeField(auto_now=True)

    USERNAME_FIELD = "code"

    class Meta:
        managed = False
