"""asks_munge.py COUNT: has the node's munged make credentials, one after the other and a connection for each, and
checks every one; a line for each hundred, and what failed on stderr."""
import ctypes
import sys

munge = ctypes.CDLL("libmunge.so.2")
munge.munge_strerror.restype = ctypes.c_char_p
for number in range(1, int(sys.argv[1]) + 1):
    credential = ctypes.c_char_p()
    said = b"%d" % number
    error = munge.munge_encode(ctypes.byref(credential), None, said, len(said))
    if error == 0:
        payload, length = ctypes.c_char_p(), ctypes.c_int()
        error = munge.munge_decode(credential, None, ctypes.byref(payload), ctypes.byref(length), None, None)
        if error == 0 and payload.value[: length.value] != said:
            sys.exit(f"{number}: got {payload.value!r}")
    if error != 0:
        print(f"{number}: {munge.munge_strerror(error).decode()}", file=sys.stderr, flush=True)
    if number % 100 == 0:
        print(number, flush=True)
