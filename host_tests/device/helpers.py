"""What the tests of this folder have in common, on CPython and on MicroPython alike."""

import sys

ON_MICROPYTHON = sys.implementation.name == "micropython"

try:
    from micropython import heap_lock, heap_unlock
except ImportError:  # CPython has no such thing: there the tests of garbage show only that the code runs.

    def heap_lock():
        pass

    def heap_unlock():
        pass


def locked(action, argument):
    """Return action(argument), done in a heap that gives nothing: MemoryError at the first allocation.

    `action` is bound before: binding a method allocates.
    """
    heap_lock()
    try:
        return action(argument)
    finally:
        heap_unlock()


def raises(error, function, *arguments, **options):
    """Return the text of the `error` that function(*arguments) raises; fails if it does not."""
    try:
        function(*arguments, **options)
    except error as raised:
        return str(raised)
    raise AssertionError("%s was not raised" % error.__name__)
