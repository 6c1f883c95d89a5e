"""What clients do in tests, where workers in other processes can import it."""

import os
import time
from pathlib import Path

from minidl.federated import client_update


def shouted(model, client, k, order):
    """An update that depends on the client's id and tells where it was made."""
    answer = client_update(model, client, k, order)
    return answer._replace(error=f"{client.id} in {os.getpid()}" if str(client.id) == "c1" else None)


class Once:
    """The usual update, but the client k of a round, the first time, leaves its pid in a folder and does something."""

    def __init__(self, folder, what, k=1, round=1):
        self.folder, self.what, self.k, self.round = Path(folder), what, k, round

    def __call__(self, model, client, k, order):
        mark = self.folder / "pid"
        if (k, order.round) == (self.k, self.round) and not mark.exists():
            part = self.folder / "pid.part"
            part.write_text(str(os.getpid()))
            part.rename(mark)
            self.what()
        return client_update(model, client, k, order)

    def __repr__(self):
        return "Once"


def exit():
    """End this process at once."""
    os._exit(1)


def hang():
    """Be busy for longer than anybody waits."""
    time.sleep(600)
