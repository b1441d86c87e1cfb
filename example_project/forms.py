"""What a new member types. The number is not here: the operator fills it in."""

from django import forms


class JoinForm(forms.Form):
    name = forms.CharField(max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"}))
