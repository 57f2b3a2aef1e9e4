#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The last one on the debug kernel: what its checkers have found since it came up, and
# that each of them still finds what it is there for. One that switched itself off on the
# way, or never was there, has found nothing either.
. "$(dirname "$0")/../lib/tap.sh"

FAULTY=$HOODY_BUILD/selftests/kmod/modules/$(uname -r)/faulty.ko
LEAKS=/sys/kernel/debug/kmemleak
COMPLAINTS='BUG:|WARNING:|INFO: (task|rcu|trying)|Oops|general protection|KASAN:|UBSAN:|ODEBUG|rcu.*stall|suspicious RCU|inconsistent lock|turning off the locking|(list_(add|del)|object) corruption|unregister_netdevice: waiting|refcount_t|leaked reference|kmemleak: .*disabled'
tap_plan 15

tap_is nothing_was_reported "$(dmesg | grep -nE "$COMPLAINTS")" ""
tap_is warnings_were_fatal "$(sysctl -n kernel.panic_on_warn)" 1
sysctl -qw kernel.panic_on_warn=0
tap_run lockdep_was_on_to_the_end grep -qE 'debug_locks: +1$' /proc/lockdep_stats

# A leak is told after the second look at the earliest; older ones are by then as well.
insmod "$FAULTY" fault=leak
leaks_told() { echo scan >$LEAKS && cat $LEAKS >"$WORK/leaks" && grep -qF '[faulty]' "$WORK/leaks"; }
tap_run leak_is_found tap_wait 300 leaks_told
rmmod faulty
tap_is nothing_else_leaked "$(awk 'BEGIN { RS = "unreferenced object" } NR > 1 && !/\[faulty\]/' "$WORK/leaks")" ""

# The order matters: lockdep is off after its first fault of a lock, and after one of memory.
found() { # NAME FAULT COMPLAINT
	dmesg --clear
	insmod "$FAULTY" fault="$2"
	rmmod faulty
	tap_run "$1_is_found" tap_wait 60 eval "dmesg | grep -qE '$3'"
}
found sleep_in_atomic sleep 'BUG: sleeping function called from invalid context'
found unprotected_rcu rcu 'WARNING: suspicious RCU usage'
found lock_inversion deadlock 'WARNING: possible circular locking dependency'
found wide_shift shift 'UBSAN: shift-out-of-bounds'
found freed_timer object 'ODEBUG: free active'
found warning warning 'WARNING: .*fault_warning'
found read_after_free read-after-free 'BUG: KASAN: slab-use-after-free in fault_read_after_free'
found past_the_end past-the-end 'BUG: KASAN: slab-out-of-bounds in fault_past_the_end'
found double_free double-free 'BUG: KASAN: double-free in '
tap_refused unknown_fault_is_refused insmod "$FAULTY" fault=none
tap_done
