# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The library between a program and libc (fault_shim.c): $WORK/shim.so. Source it after
# tap.sh.

shim_build() {
	cc -O2 -D_GNU_SOURCE -Wall -Werror -shared -fPIC -o "$WORK/shim.so" "$TOP/selftests/lib/fault_shim.c" || tap_bail "the shim cannot be built"
	: >"$WORK/shim.so.state"
	shim 0 0
}

# shim AHEAD-SECONDS WRITE-ERRNO [SOCKET-FULL]: what it does from now on. Written in
# place, for it is mapped, and in this machine's order.
shim() {
	python3 -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("=qii", *map(int, sys.argv[1:])))' "$1" "$2" "${3:-0}" |
		dd of="$WORK/shim.so.state" conv=notrunc status=none
	chmod 644 "$WORK/shim.so.state"
}
