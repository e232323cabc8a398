"""What the ESP32's work costs, in virtual time. In real mode nothing is charged.

"Emulated" means measured on an emulated ESP32 with MicroPython 1.25; "assumed" means measured by nobody, and set to the
worse side. A session may set `erase_ms` and `tls_handshake_ms`.
"""

# Python
CALL_US = 20  # assumed: a call into C, and some twenty bytecodes around it at 160 MHz
CALLBACK_US = 300  # assumed: the scheduler, the call, and the bytecodes of a handler between its calls into C
COLLECT_US = 5_000  # assumed: emulated 1.5 ms with a firmware loaded; a chip is slower at it
COLLECT_EVERY_CALLS = 2_000  # assumed: 50 bytes of garbage a call fill the 100 KB that are free

# The console: 115,200 baud, ten bits a character, behind a FIFO of 128
CONSOLE_CHARACTER_US = 87
CONSOLE_FIFO_CHARACTERS = 128

# Flash, through littlefs, which reads files in pieces of 128 bytes and folders mostly in smaller ones. Emulated: a file
# of 33 KB is read in 30 ms (here 33), one of 1.2 KB among 34 in 9 ms (18); the oldest name of a folder of 34 is found
# in 29 ms (37), one that is not there is sought for 3.2 ms (3.5).
READ_US = 75
SMALL_READ_US = 150
SMALL_READ_BYTES = 127
PROGRAM_SETUP_US = 200  # assumed: the cache off and on again, the other core stopped
PROGRAM_BYTE_US = 4  # data sheets: a page of 256 bytes takes 0.4 to 0.7 ms typically; 1 ms here
ERASE_US = 45_000  # data sheets: 45 to 60 ms typically, 300 to 400 ms at most
NVS_WRITE_US = 2_000  # assumed: two entries of 32 bytes

# A module from the flash, beyond its reads. Emulated: 34 files of 41 KB in all took 2.65 s to import; by their reads
# alone they take 1.3 s here (a folder that was written to for long needs more of them than a fresh one).
MODULE_US = 30_000
MODULE_BYTE_US = 5

# TLS 1.2 with ECDHE and an ECDSA certificate, emulated: 1.25 s of arithmetic in all, here by handshake message
TLS_HANDSHAKE_MS = 1_250
TLS_SHARES = {11: 36, 12: 32, 14: 32}  # per cent: certificate, server key exchange, server hello done
TLS_RECORD_US = 500  # assumed: a record of application data ...
TLS_BYTE_US = 1  # ... and each byte of it: AES-GCM in software, about 1 MB/s

# The radio
RADIO_START_US = 100_000  # assumed: calibration when Wi-Fi is made active
