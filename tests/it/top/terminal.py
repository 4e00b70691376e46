"""A terminal of 80 columns and 24 lines with a command in it, for tests.

Standard input goes to the command as keys, and what the command writes to the terminal goes to standard output. A byte of
CONTROLS does something to the terminal or the command instead. At the end, standard error has "ended", the command's exit
code, and whether the terminal's modes are what they were before.
"""

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import threading


def resize(lines, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


CONTROLS = {
    0xFC: lambda: (resize(30, 100), command.send_signal(signal.SIGWINCH)),
    0xFD: lambda: command.send_signal(signal.SIGTERM),
    0xFE: lambda: command.send_signal(signal.SIGINT),
}


def copy_keys():
    while keys := os.read(0, 100):
        for key in keys:
            if key in CONTROLS:
                CONTROLS[key]()
            else:
                os.write(controller, bytes([key]))


controller, terminal = os.openpty()
resize(24, 80)
before = termios.tcgetattr(terminal)
command = subprocess.Popen(sys.argv[1:], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
threading.Thread(target=copy_keys, daemon=True).start()
running = True
while running:
    # What was written before the end is there when the command has ended.
    running = command.poll() is None
    while select.select([controller], [], [], 0.02)[0]:
        os.write(1, os.read(controller, 65536))
restored = "restored" if termios.tcgetattr(terminal) == before else "changed"
print("ended", command.returncode, restored, file=sys.stderr, flush=True)
# Without waiting for keys that nobody presses.
os._exit(0)
