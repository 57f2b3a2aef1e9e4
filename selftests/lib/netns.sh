# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Commands in a network namespace of ip-netns(8). "ip netns exec" also makes a mount
# namespace with a sysfs of its own for each command, and takes both away again: ten
# times the work of a small command, and seconds of a test on an emulated processor.
# So /sys shows the caller's devices here; what reads /sys/class/net of the namespace
# wants "ip netns exec".

# netns_exec NAME COMMAND...
netns_exec() { nsenter "--net=/run/netns/$1" "${@:2}"; }
