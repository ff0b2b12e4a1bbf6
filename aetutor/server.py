"""What the course adds to the Jupyter server: a kernel's messages are sent on at once.

TCP holds a small packet back until the one before it is acknowledged (Nagle's algorithm), and the other side may wait
40 ms with that. Jupyter Server leaves this on. A picture that follows a slider pays for it with every frame, since the
front end asks for the next only after a last, small message, "idle". tests/test_browser_live.py counts the frames.

The server finds this module by a file in its environment, etc/jupyter/jupyter_server_config.d/aetutor.json.
"""

__all__ = []


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "aetutor.server"}]


def _load_jupyter_server_extension(app) -> None:
    settings = app.web_app.settings
    connection = settings.get("kernel_websocket_connection_class")
    if connection is not None:  # a server that has other ways stays as it is
        settings["kernel_websocket_connection_class"] = _prompt(connection)


def _prompt(connection: type) -> type:
    """The same kind of connection between a kernel and a browser, whose packets do not wait."""

    class Prompt(connection):
        def connect(self):
            self.websocket_handler.set_nodelay(True)
            return super().connect()

    return Prompt
