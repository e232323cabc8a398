"""Power-on of the virtual board: `micropython -X heapsize=1m boards/virtual/boot.py SESSION.json`.

Puts the stand-ins in place, mounts the flash at / and runs /main.py, as the ESP32's own boot script does.
The keys of the session file are described in README.md beside this file.
"""

import gc
import json
import sys
import vfs


_FROZEN = "/.frozen"


def _here():
    at = __file__.rfind("/")
    return __file__[:at] if at >= 0 else "."


def _preload(session):
    """Import the stand-ins under the names of the modules they stand for, then forget where they came from."""
    here = _here()
    sys.path[:0] = [here + "/stand_ins", here]
    import world

    the = world.begin(session)
    import time, socket, select, machine, esp32, network, ntptime, mbedtls, collector, schedule  # noqa: E401, F401
    import flash

    sys.modules["tls"] = sys.modules.pop("mbedtls")  # no file can stand before these built-in modules
    sys.modules["gc"] = sys.modules.pop("collector")
    sys.modules["micropython"] = sys.modules.pop("schedule")
    for name in ("world", "scheduler", "pulses", "costs", "flash", "pulse_counter", "mqtt_answers", "udp_answers"):
        sys.modules.pop(name, None)
    stats = session.get("stats_file")
    return the, flash.Flash(the, session["flash_file"], stats, session.get("cut_at_operation"))


class _Flashbdev:
    bdev = None


def _mount_frozen(the, session, device):
    """An image with the firmware frozen in (boards/frozen): the session's `frozen` is the folder of what it holds."""
    vfs.umount("/")
    vfs.mount(vfs.VfsPosix(session["frozen"]), _FROZEN)
    sys.modules["flashbdev"] = _Flashbdev
    _Flashbdev.bdev = device
    _run(_FROZEN + "/_boot.py", the)


def _mount(the, device):
    vfs.umount("/")
    if device.is_blank():
        vfs.VfsLfs2.mkfs(device)
    while True:
        try:
            vfs.mount(device, "/")
            return
        except OSError:
            print("The filesystem appears to be corrupted. If you had important data there, you")
            print("may want to make a flash snapshot to try to recover it.")
            the.sleep(3_000_000)


def _charge_builtins(the):
    """print and open are calls into C. Each line on the console carries the true UTC: `@<ms since 1970> text`."""
    import builtins

    pc_print, pc_open = builtins.print, builtins.open

    def stamped(*values, **keywords):
        if keywords:
            return pc_print(*values, **keywords)
        if the.charges:
            the.look()
        text = " ".join([str(value) for value in values])
        pc_print("@%d" % the.utc_ms(), text)
        the.written(len(text) + 2)

    def opened(*arguments, **keywords):
        if the.charges:
            the.look()
        return pc_open(*arguments, **keywords)

    builtins.print = stamped
    builtins.open = opened


def _charge_imports(the):
    """Each module that an import brings from the flash costs time beyond its reads: it is loaded, and runs."""
    import builtins
    import costs
    import os

    pc_import = builtins.__import__
    known = set(sys.modules)

    def imported(*arguments):
        module = pc_import(*arguments)
        if len(sys.modules) != len(known) and the.charges:
            the.charges, reads = False, the.flash.reads  # asking for a size is not the program's doing
            cost_us = 0
            for name, added in sys.modules.items():
                path = getattr(added, "__file__", "")
                if name not in known and path and not path.startswith(_FROZEN):
                    try:
                        cost_us += costs.MODULE_US + os.stat(path)[6] * costs.MODULE_BYTE_US
                    except OSError:
                        pass  # frozen into MicroPython itself
            the.charges, the.flash.reads = True, reads
            the.charge(cost_us)
            known.clear()
            known.update(sys.modules)
            the.look()  # the module's code ran as bytecode, between which callbacks run
        return module

    builtins.__import__ = imported


def _run(path, the):
    try:
        with open(path) as file:
            code = compile(file.read(), path, "exec")
    except OSError:
        return
    the.charges = not the.real
    if path.endswith("main.py"):
        the.main_us = the.now_us
    exec(code, {"__name__": "__main__"})


def _start(session):
    the, device = _preload(session)
    if not the.real:
        _charge_builtins(the)
        _charge_imports(the)
    the.block(session.get("boot_ms", 0) * 1000)
    if session.get("frozen"):
        _mount_frozen(the, session, device)
    else:
        _mount(the, device)
    sys.path[:] = ["", _FROZEN, ".frozen", "/lib"] if session.get("frozen") else ["", ".frozen", "/lib"]
    gc.collect()
    the.heap_base = gc.mem_alloc()
    return the


def _main(session):
    the = _start(session)
    try:
        _run("/boot.py", the)
        if session.get("run_main", True):
            _run(_FROZEN + "/main.py" if session.get("frozen") else "/main.py", the)
    except SystemExit:
        the.die("soft")  # as on the ESP32: SystemExit from main is a soft reset
    except BaseException as error:
        sys.print_exception(error)
    if the.real:
        return  # to the prompt, on the terminal (micropython -i)
    print("main.py ended")
    while True:
        the.sleep(1_000_000)  # the prompt: timers go on, the watchdog bites


with open(sys.argv[1]) as _file:
    _session = json.load(_file)
_main(_session)
