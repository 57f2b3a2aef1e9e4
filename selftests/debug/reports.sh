#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The last one on a kernel that checks its memory: what it has found since it came up,
# and that each check still finds what it is there for. One that is not there has found
# nothing either.
. "$(dirname "$0")/../lib/tap.sh"

FAULTY=$HOODY_BUILD/selftests/kmod/modules/$(uname -r)/faulty.ko
COMPLAINTS='\] BUG|WARNING:|INFO: (task|rcu|Slab)|Oops|general protection|list_(add|del) corruption|pagealloc: |rcu.*stall|unregister_netdevice: waiting|refcount_t'
tap_plan 10

# Looks at every object of the caches that the module's memory comes from, also at those
# that nobody has touched since. (Of kmem_cache_node newer kernels have objects from before
# the checks were on, and take them for damaged.)
validate() {
	local file
	for file in /sys/kernel/slab/kmalloc-*/validate; do
		[ -L "$(dirname "$file")" ] || echo 1 >"$file" || return
	done
}
# Whoever is gone has no names: what allocated these was a module that has been unloaded.
# Without those that were there before the first test: cache, how many, and from where.
left_behind() {
	grep -HE '^ *[0-9]+ 0x[0-9a-f]+' /sys/kernel/debug/slab/*/alloc_traces |
		awk 'BEGIN { while ((getline <"/run/hoody-allocated-before") > 0) before[$1, $2, $3] } !(($1, $2, $3) in before)' |
		grep .
}

tap_run every_object_is_looked_at validate
tap_is nothing_was_reported "$(dmesg | grep -E "$COMPLAINTS")" ""
tap_is warnings_were_fatal "$(sysctl -n kernel.panic_on_warn)" 1
sysctl -qw kernel.panic_on_warn=0
# What waits for a grace period is not lost yet.
tap_run nothing_was_left_behind tap_wait 60 eval '! left_behind'
left_behind | sed 's/^/# /'
insmod "$FAULTY" fault=leak && rmmod faulty
tap_run leak_is_found tap_wait 60 left_behind

found() { # NAME FAULT COMPLAINT
	dmesg --clear
	insmod "$FAULTY" fault="$2"
	rmmod faulty
	tap_run "$1_is_found" tap_wait 30 eval "dmesg | grep -qE '$3'"
}
found write_after_free write-after-free 'Poison overwritten'
found past_the_end past-the-end 'Redzone overwritten'
found double_free double-free 'BUG faulty .*(Object already free|are to be freed)'
found warning warning 'WARNING: .*fault_warning'
tap_refused unknown_fault_is_refused insmod "$FAULTY" fault=none
tap_done
