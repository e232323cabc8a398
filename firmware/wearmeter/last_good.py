"""Reads a JSON file of the maker's, and falls back to the last one that was good.

A product or config that is damaged, half written or mistaken must not stop a unit from counting: each good one is kept
outside the file system, too, and used, with a fault that the relay sees, when the file is bad or gone.
"""

import json

from wearmeter import checked


def load(path, home, make):
    """Return (what `make(data, where)` made of the JSON file `path`, None), or of its last good copy in `home` (as
    Store's second home) and the error's text.

    Raises checked.FileError, about `path`, where neither is usable.
    """
    copy = None
    try:
        copy = json.loads(home.load())
    except (TypeError, ValueError):
        pass  # There is none yet, or not a good one: the first good file makes it.
    try:
        data = checked.load(path)
        made = make(data, path)
    except checked.FileError as error:
        try:
            if isinstance(copy, dict):
                return make(copy, path), str(error)
        except checked.FileError:
            pass  # Another firmware's, or another board's: it is of no use here.
        raise error
    if copy != data:
        home.save(json.dumps(data).encode())  # Where it is refused, the file itself is good, and that is what counts.
    return made, None
