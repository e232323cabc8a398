"""Starts the firmware that /slot names (fw_a or fw_b), or the one beside this file or frozen in; where that one cannot
be imported, any other. `make deploy` writes a new firmware beside the old one, and then only that name."""

import sys


def slots():
    try:
        with open("/slot") as file:
            chosen = [file.read().strip()]
    except (OSError, ValueError):
        chosen = []
    return chosen + ["", "fw_a", "fw_b"]


def main():
    path = list(sys.path)
    for slot in slots():
        sys.path[:] = ["/" + slot] + path + ["/" + slot + "/lib"] if slot else path
        try:
            from wearmeter import start
            import board
        except Exception as error:
            print("wm unusable slot=%s" % slot)
            sys.print_exception(error)
            for name in list(sys.modules):
                if name.split(".")[0] in ("wearmeter", "board", "esp32_common", "umqtt"):
                    del sys.modules[name]
            continue
        return start.main(board, slot)
    print("wm stopped no firmware")


main()
