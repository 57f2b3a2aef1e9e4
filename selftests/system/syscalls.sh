#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Live syscall profiles on a running LXC container: attached, narrowed, widened
# and taken away without a restart; learned from an app; kept over a restart of
# agent and container; and the same profile as LXC's own filter deciding alike.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

WEB=890abcdef12345678901cdef
tap_plan 31

# What the container's root gets from a call: its number and up to 6 arguments.
cat >"$WORK/call.py" <<'PY'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    ctypes.set_errno(0)
    result = libc.syscall(*[ctypes.c_long(word) for word in words])
    return -ctypes.get_errno() if result == -1 else result
NAMES = {"mount": (165, 0, 0, 0, 0, 0), "ptrace": (101, 16, 0, 0, 0), "acct": (163, 0), "getpid": (39,),
         "swapon": (167, 0, 0), "personality": (135, 0xffffffff), "personality_odd": (135, 0x40000),
         "socket_audit": (41, 16, 3, 9), "socket_route": (41, 16, 3, 0), "kexec_load": (246, 0, 0, 0, 0),
         "io_uring_setup": (425, 0, 0), "bpf": (321, 99, 0, 0), "chroot": (161, 0), "iopl": (172, 3),
         "setns": (308, -1, 0), "settimeofday": (164, 0, 0), "add_key": (248, 0, 0, 0, 0, 0),
         "getrandom": (318, 0, 0, 0), "unshare": (272, 0), "userfaultfd": (323, 0x8000)}
for name in sys.argv[1:] or sorted(NAMES):
    print(name, "yes" if call(*NAMES[name]) >= 0 else os.strerror(-call(*NAMES[name])))
PY
in_web() { lxc-attach -n "${1:-web}" -- "${@:2}"; }
gets() { in_web web python3 -B /srv/call.py "$@" | paste -sd';'; }
state() { hoody syscalls show -c $WEB --json; }
refused() { state | jq "[.counters[] | select(.syscall == \"$1\") | .count] | add // 0"; }
narrow() { jq --argjson names "$(printf '%s\n' "$@" | jq -R . | jq -sc .)" '.syscalls |= map(.names -= $names) | .syscalls |= map(select(.names | length > 0))' "$WORK/docker.json"; }

cp /usr/share/containers/seccomp.json "$WORK/docker.json"
system_client_net "$CLIENT4"
system_module
system_config 'drain_timeout = 1s'
system_agent
container web $WEB routed 2 "$PYTHON_SERVER"
container_ready web
cp "$WORK/call.py" /var/lib/lxc/web/rootfs/srv/

tap_is before_nothing_is_refused "$(gets ptrace swapon)" 'ptrace No such process;swapon Bad address'
tap_run default_profile_loads hoody syscalls load docker "$WORK/docker.json"
narrow mount umount2 ptrace | hoody syscalls load narrow - >/dev/null 2>"$WORK/warnings"
tap_is warned_about_nothing_of_narrow "$(grep -c 'may not run' "$WORK/warnings")" 0
init=$(lxc-info -n web -p -H)
tap_run attaches_to_what_runs hoody syscalls attach -c $WEB docker
tap_is docker_refuses "$(gets swapon kexec_load mount ptrace)" 'swapon Operation not permitted;kexec_load Operation not permitted;mount Bad address;ptrace No such process'
tap_run swaps_to_a_narrower_one hoody syscalls attach -c $WEB narrow
tap_is mount_and_ptrace_fail_at_once "$(gets mount ptrace getpid)" 'mount Function not implemented;ptrace Function not implemented;getpid yes'
tap_like refusals_are_counted "$(refused mount)" '^[1-9]'
seen() { state | jq -e '[.denials[] | select(.syscall == "mount" and .command == "python3" and .errno == 38)] | length > 0'; }
tap_run refusals_are_reported tap_wait 20 seen
tap_like show_shows_them "$(hoody syscalls show -c $WEB)" 'mount +x86_64 +[0-9]+'
tap_is a_new_user_namespace_is_no_way_round "$(in_web web unshare -Ur python3 -B /srv/call.py mount)" 'mount Function not implemented'

# The same name, another content: live for everyone who has it.
narrow ptrace | hoody syscalls load narrow - >/dev/null 2>&1
tap_is replaced_by_name_wider "$(gets mount ptrace)" 'mount Bad address;ptrace Function not implemented'
tap_run detaches hoody syscalls detach -c $WEB
tap_is detached_nothing_is_refused "$(gets ptrace swapon)" 'ptrace No such process;swapon Bad address'
tap_is never_restarted "$(lxc-info -n web -p -H)" "$init"
tap_is module_is_still_wanted_by_nobody "$(lsmod | awk '$1 == "hoody" { print $3 }')" 0

# Learning: the server answers requests, then its profile is what it needs, and no more.
tap_run learns hoody syscalls learn -c $WEB
fetch "$(host_of $WEB)" / >/dev/null
# lxc-attach is in the container's cgroup before it enters it: it is learned too.
gets getpid >/dev/null
tap_run writes_what_it_learned eval "hoody syscalls learned -c $WEB >$WORK/learned.json"
tap_is learned_has_what_was_seen "$(jq '[.syscalls[0].names[] | select(. == "accept4" or . == "sendto")] | length' "$WORK/learned.json")" 2
tap_run learned_loads hoody syscalls load learned "$WORK/learned.json"
tap_run learned_is_enforced hoody syscalls attach -c $WEB learned
tap_like the_app_lives_with_it "$(fetch -o /dev/null -w '%{http_code}' "$(host_of $WEB)" /)" 200
tap_is and_with_nothing_else "$(gets mount swapon)" 'mount Function not implemented;swapon Function not implemented'

# What holds goes on holding: without the agent, after it, and in a new cgroup.
kill -KILL $AGENT
tap_wait 30 eval "! kill -0 $AGENT 2>/dev/null"
tap_is holds_without_the_agent "$(gets mount)" 'mount Function not implemented'
tap_refused module_cannot_go rmmod hoody
system_agent
tap_is holds_with_the_next_agent "$(gets mount)" 'mount Function not implemented'
hoody syscalls attach -c $WEB narrow >/dev/null
lxc-stop -k -n web
lxc-start -n web -l INFO -o "$WORK/lxc-web.log"
container_ready web
tap_is holds_after_a_restart "$(gets ptrace)" 'ptrace Function not implemented'
lxc-stop -k -n web
rmmod hoody
tap_refused does_not_start_without_the_module lxc-start -n web
insmod "$MODULE"
hoody syscalls detach -c $WEB >/dev/null

# The floor: LXC's own filter of the same profile, decided by seccomp alone.
hoody syscalls export docker --format lxc >/var/lib/lxc/web/policy
sed -i '$a lxc.seccomp.profile = /var/lib/lxc/web/policy' /var/lib/lxc/web/config
tap_run starts_with_the_exported_filter lxc-start -n web -l INFO -o "$WORK/lxc-web.log"
container_ready web
floor=$(lxc-attach -n web -- python3 -B /srv/call.py)
sed -i '/lxc.seccomp.profile/d' /var/lib/lxc/web/config
lxc-stop -k -n web
lxc-start -n web -l INFO -o "$WORK/lxc-web.log"
container_ready web
hoody syscalls attach -c $WEB docker >/dev/null
tap_is floor_and_gate_decide_alike "$(lxc-attach -n web -- python3 -B /srv/call.py)" "$floor"
tap_like and_they_decide_something "$floor" 'swapon Operation not permitted'
hoody syscalls detach -c $WEB >/dev/null
tap_done
