#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The last one on the kernel that looks for races (KCSAN): what it has found since it came
# up with the module on either side, and that it still finds one. What the kernel's own
# parts do to each other is counted and not ours to judge.
. "$(dirname "$0")/../lib/tap.sh"

FAULTY=$HOODY_BUILD/selftests/kmod/modules/$(uname -r)/faulty.ko
KCSAN=/sys/kernel/debug/kcsan
# A report stands before a line of equals signs; it is a module's where one of the two
# accesses is, or was made for it by what it calls: by its first frames, for the way into
# the network leads through the module often.
FRAMES=4
reports_with() { # MODULE
	dmesg | awk -v module="[$1]" -v frames=$FRAMES '
		/BUG: KCSAN:/ { inside = 1; text = ""; its = 0 }
		inside { text = text $0 "\n" }
		inside && /(read|write|read-write|assert no [a-z]+) .*to 0x/ { depth = 0 }
		inside && /\+0x[0-9a-f]+\/0x/ && ++depth <= frames && index($0, module) { its = 1 }
		inside && /={20}/ { if (its) printf "%s", text; inside = 0 }'
}
value() { awk -v name="$1:" '$1 == name { print $2 }' $KCSAN; }
tap_plan 4

tap_is no_race_of_the_module "$(reports_with hoody)" ""
tap_note "of the kernel's own: $(dmesg | grep -c 'BUG: KCSAN:')"
tap_is nothing_else_was_reported "$(dmesg | grep -vE 'KCSAN' | grep -nE 'BUG:|WARNING:|INFO: (task|rcu)|Oops|general protection|rcu.*stall')" ""
tap_run it_looked_to_the_end test "$(value enabled)" = 1 -a "$(value setup_watchpoints)" -gt 1000
insmod "$FAULTY" fault=race
rmmod faulty
tap_like race_is_found "$(reports_with faulty)" 'data-race in .*(fault_race|race_write)'
tap_done
