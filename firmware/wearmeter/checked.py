"""Checks fields of a JSON file, one clear line for each mistake: file, field, value, what is allowed."""

import json


class FileError(ValueError):
    """A file cannot be used; the text is one line that names file, field, value and what is allowed."""


def load(path):
    """Return the JSON object in the file `path`. Raises FileError."""
    try:
        with open(path) as file:
            data = json.load(file)
    except OSError:
        raise FileError("%s: not there or not readable" % path)
    except ValueError:
        raise FileError("%s: not valid JSON" % path)
    if not isinstance(data, dict):
        raise FileError("%s: not a JSON object" % path)
    return data


class Fields:
    """Takes the fields of one JSON object `data`; `where` names it in errors: the file and the way to it.

    A field without a `default` must be there. Call `done` at the end: a field that nobody took is a mistake, too.
    """

    def __init__(self, data, where):
        self._data = data
        self._where = where
        self._taken = set()

    def fail(self, key, allowed):
        """Refuse the value of `key`."""
        shown = _show(self._data[key]) if key in self._data else "missing"
        raise FileError("%s: %s is %s, allowed: %s" % (self._where, key, shown, allowed))

    def has(self, key):
        """Whether the field is there."""
        return key in self._data

    def _take(self, key, default=...):
        self._taken.add(key)
        return self._data.get(key, default)

    def whole(self, key, low, high, default=...):
        """A whole number from `low` to `high`."""
        value = self._take(key, default)
        if type(value) is not int or not low <= value <= high:
            self.fail(key, "a whole number from %d to %d" % (low, high))
        return value

    def text(self, key, low, high, default=..., secret=False):
        """A text of `low` to `high` bytes, or None where `default` is None. A secret's value is never shown."""
        value = self._take(key, default)
        if value is None and default is None:
            return None
        if not isinstance(value, str) or not low <= len(value.encode()) <= high:
            if secret and key in self._data:
                self._data = {key: "(secret)"}
            self.fail(key, "a text of %d to %d bytes" % (low, high))
        return value

    def choice(self, key, allowed, default=...):
        """One of the values `allowed`."""
        value = self._take(key, default)
        if value not in allowed or isinstance(value, bool):
            self.fail(key, " or ".join([_show(choice) for choice in allowed]))
        return value

    def object(self, key):
        """The object under `key`, as Fields."""
        value = self._take(key)
        if not isinstance(value, dict) or not value:
            self.fail(key, "an object with fields")
        return Fields(value, "%s: %s" % (self._where, key))

    def items(self, key, low, high):
        """The list of `low` to `high` objects under `key`, as a list of Fields."""
        value = self._take(key)
        if not isinstance(value, list) or not low <= len(value) <= high:
            self.fail(key, "a list of %d to %d objects" % (low, high))
        parts = []
        for at, item in enumerate(value):
            if not isinstance(item, dict):
                self.fail(key, "objects only")
            parts.append(Fields(item, "%s: %s[%d]" % (self._where, key, at)))
        return parts

    def texts(self, key, low, high):
        """An object of texts, each of `low` to `high` bytes, with at least one member, as a dict."""
        part = self.object(key)
        for name in part._data:
            if not isinstance(name, str):  # MicroPython reads {0 "de": ...}, which a flipped bit makes of a space
                self.fail(key, "texts by name")
            part.text(name, low, high)
        return part._data

    def done(self):
        """Refuse fields that nobody took."""
        for key in self._data:
            if key not in self._taken:
                raise FileError("%s: %s is unknown, allowed: %s" % (self._where, key, ", ".join(sorted(self._taken))))


def _show(value):
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
