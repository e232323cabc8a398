"""The few names of MicroPython's `micropython` module that firmware/ uses, for CPython.

Put this folder and firmware/ on sys.path to import the device's pure modules on the host.
"""


def const(value):
    """Return `value`: on the device the compiler folds it."""
    return value
