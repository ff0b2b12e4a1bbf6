"""What `server` promises: a kernel's messages reach the browser without waiting for each other, or all is as it was.

How many pictures a second that makes is measured in a browser (test_browser_live.py).
"""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from aetutor import server

STARTED = """
import json
import os
from jupyter_server.serverapp import ServerApp
app = ServerApp()
app.initialize(["--no-browser", "--allow-root", "--ServerApp.port_retries=50"], new_httpserver=False)
used = app.web_app.settings["kernel_websocket_connection_class"]
print(json.dumps([f"{one.__module__}.{one.__qualname__}" for one in used.__mro__]))
"""


class Connection:
    """A connection that notes what was done."""

    def __init__(self):
        self.done = []
        self.websocket_handler = SimpleNamespace(set_nodelay=lambda value: self.done.append(("no delay", value)))

    def connect(self):
        self.done.append("connected")
        return "soon"


def loaded(**settings):
    app = SimpleNamespace(web_app=SimpleNamespace(settings=settings))
    server._load_jupyter_server_extension(app)
    return app.web_app.settings


def test_a_connection_waits_for_nothing_from_its_start():
    connection = loaded(kernel_websocket_connection_class=Connection)["kernel_websocket_connection_class"]()
    assert connection.connect() == "soon"
    assert connection.done == [("no delay", True), "connected"]


@pytest.mark.parametrize("settings", [{}, {"kernel_websocket_connection_class": None}])
def test_a_server_without_such_connections_stays_as_it_is(settings):
    assert loaded(**settings, port=1) == settings | {"port": 1}


def test_the_jupyter_server_of_this_environment_finds_it_and_keeps_its_own_kind_of_connection(tmp_path):
    pytest.importorskip("jupyter_server")
    places = {name: str(tmp_path) for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    told = subprocess.run(
        [sys.executable, "-c", STARTED], env=os.environ | places, cwd=tmp_path, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    ours, theirs, *_ = json.loads(told.stdout.splitlines()[-1])
    assert ours.startswith("aetutor.server.")
    assert theirs == "jupyter_server.services.kernels.connection.channels.ZMQChannelsWebsocketConnection"
