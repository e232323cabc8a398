"""Reads a JSON file of the maker's, and falls back to the last one that was good.

A product or config that is damaged, half written or mistaken must not stop a unit from counting: each good one is kept
in /state, and used, with a fault that the relay sees, when the file is bad.
"""

import json

from wearmeter import checked


def load(path, good_path, make):
    """Return (what `make(data, where)` made of the JSON file `path`, None), or of its last good copy and the error's
    text.

    Raises checked.FileError, about `path`, where neither is usable.
    """
    try:
        data = checked.load(path)
        made = make(data, path)
    except checked.FileError as error:
        try:
            return make(checked.load(good_path), good_path), str(error)
        except checked.FileError:
            raise error
    _keep(data, good_path)
    return made, None


def _keep(data, good_path):
    try:
        if checked.load(good_path) == data:
            return
    except checked.FileError:
        pass  # There is none yet, or not a good one: it is made now.
    try:
        with open(good_path, "w") as file:
            json.dump(data, file)
    except OSError:
        pass  # A full flash: the file itself is good, and that is what counts now.
