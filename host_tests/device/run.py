"""Runs the test functions of a file on MicroPython: micropython run.py PATH[:PATH...] FILE

The first argument is what goes on sys.path. Prints `ok NAME` or `FAILED NAME` with the traceback.
"""

import sys


def main():
    sys.path[:0] = sys.argv[1].split(":")
    module = __import__(sys.argv[2])
    failed = ran = 0
    for name in sorted(dir(module)):
        if name.startswith("test_"):
            ran += 1
            try:
                getattr(module, name)()
                print("ok", name)
            except Exception as error:
                failed += 1
                print("FAILED", name)
                sys.print_exception(error)
    sys.exit(1 if failed or not ran else 0)


main()
