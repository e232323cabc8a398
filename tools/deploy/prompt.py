"""What is typed at a board's prompt: scripts that answer with one line of JSON.

The build shortens the firmware's names but for those that stand in this file. The tick goes on at the prompt, so a
script that changes what it works on stops it first.
"""

ABOUT = """
import json, sys
i = sys.implementation
mpy = getattr(i, "_mpy", 0)
print(json.dumps([i.name, list(i.version[:3]), mpy & 255, sys.platform, getattr(i, "_machine", "")]))
"""

# Saves what has run, then stops the tick: what runs from here to the next start is not counted.
STOP = """
import sys
firmware = sys.modules.get("wm_count")
if firmware and firmware.device:
    firmware.device.stop()
    firmware.device.state.save_counts()
"""
RESET = STOP + "import time, machine\ntime.sleep_ms(100)\nmachine.reset()\n"
RESUME = "import wm_count\nwm_count.resume()\n"

# Files are read in small pieces: the heap at the prompt is what the firmware has left.
HASHES = """
import binascii, hashlib, json, os
def digest(path):
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            piece = file.read(512)
            if not piece:
                return binascii.hexlify(found.digest()).decode()
            found.update(piece)
def walk(folder, below, out):
    try:
        names = os.listdir(folder + below)
    except OSError:
        return out
    for name in names:
        path = below + "/" + name
        if os.stat(folder + path)[0] & 0x4000:
            walk(folder, path, out)
        else:
            out[path[1:]] = digest(folder + path)
    return out
try:
    with open("/slot") as file:
        slot = (file.read(32).split() + [""])[0]
except (OSError, ValueError):
    slot = ""
try:
    main = digest("/main.py")
except OSError:
    main = ""
print(json.dumps([slot, main, walk("/fw_a", "", {}), walk("/fw_b", "", {})]))
"""

PREPARE = """
import json, os
def folders(path):
    made = ""
    for part in path.split("/")[1:-1]:
        made += "/" + part
        try:
            os.mkdir(made)
        except OSError:
            pass
for path in remove:
    os.remove(path)
for source, target in clone:
    folders(target)
    with open(source, "rb") as old:
        with open(target, "wb") as new:
            while True:
                piece = old.read(512)
                if not piece:
                    break
                new.write(piece)
for path in copy:
    folders(path)
print(json.dumps(True))
"""

# The record of crashes is of the firmware before: with it safe mode ends.
SWITCH = (
    STOP
    + """
import json, os
if main:
    os.rename("/main.new", "/main.py")
with open("/slot", "w") as file:
    file.write(slot + " ")
for folder in ("a", "b"):
    try:
        os.remove("/state/" + folder + "/crash")
    except OSError:
        pass
print(json.dumps(True))
"""
)

# Each file is written beside the old one, and takes its place in one step.
REPLACE = """
import json, os
for path in paths:
    os.rename(path + ".new", path)
print(json.dumps("slot" in os.listdir("/") or "main.py" in os.listdir("/")))
"""

STATUS = """
import binascii, gc, json, os, sys
gc.collect()
out = {"heap_free": gc.mem_free(), "heap_used": gc.mem_alloc()}
blocks = os.statvfs("/")
out["flash_free"] = blocks[0] * blocks[3]
out["flash_size"] = blocks[0] * blocks[2]
def content(path):
    try:
        with open(path, "rb") as file:
            return file.read(2048)
    except OSError:
        return b""
out["crash"] = [binascii.hexlify(content("/state/" + folder + "/crash")).decode() for folder in ("a", "b")]
out["slots"] = content("/slot").decode().split()
out["sums"] = content("/" + (out["slots"] + [""])[0] + "/sums").decode()
firmware = sys.modules.get("wm_count")
device = firmware and firmware.device
out["version"] = firmware.VERSION if firmware else None
if device:
    state, tick = device.state, device.tick
    out["device"] = device.id
    out["uptime_s"] = state.clock.uptime_s
    out["utc_s"] = state.clock.now()
    out["epoch"] = state.numbers.epoch
    out["faults"] = state.faults.bits
    out["safe"] = device.guard.safe
    out["save_ms"] = state.numbers.save_ms
    out["bound_ms"] = tick.bound_ms
    out["parts"] = [[part.id, part.lifetime_ms, part.used_ms, part.generation] for part in state.parts]
    out["queue"] = [len(state.queue), state.numbers.next_sequence]
    if device.link:
        out["link"] = [device.link.online, device.link.reason, device.link.losses]
print(json.dumps(out))
"""

ERASE = (
    "import sys\nfirmware = sys.modules.get('wm_count')\n"
    "if firmware and firmware.device:\n    firmware.device.stop()\n"
    + """
import json, os
import esp32
gone = []
for record in ("counts/now", "ledger", "crash"):
    for folder in ("a", "b"):
        path = "/state/" + folder + "/" + record
        try:
            os.remove(path)
            gone.append(path)
        except OSError:
            pass
nvs = esp32.NVS("wearmeter")
for record in ("counts", "ledger"):
    try:
        nvs.erase_key(record)
        gone.append("nvs:" + record)
    except OSError:
        pass
nvs.commit()
print(json.dumps(gone))
"""
)

SEAL = """
import esp32, json
nvs = esp32.NVS("wearmeter")
nvs.set_i32("sealed", 1)
nvs.commit()
print(json.dumps(True))
"""
