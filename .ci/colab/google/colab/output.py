"""Of google.colab.output, what switches Colab's support for widgets other than the core ones on and off."""

from types import SimpleNamespace

_widgets = SimpleNamespace(_installed_url=None)  # anywidget reads it


def enable_custom_widget_manager() -> None:
    """Say from where the front end loads what shows such widgets, as Colab does from now on beside each of them."""
    _widgets._installed_url = "stand-in.js"


def disable_custom_widget_manager() -> None:
    """Take it back."""
    _widgets._installed_url = None
