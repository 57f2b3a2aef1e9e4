#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Live syscall profiles on a running LXC container: attached, narrowed, widened
# and taken away without a restart; learned from an app; kept over a restart of
# agent and container; and the same profile as LXC's own filter deciding alike.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

WEB=890abcdef12345678901cdef
tap_plan 55

# The app: an HTTP server that makes the calls it is asked for, as the container's
# root, and answers what they returned. "userns" first: in a new user namespace.
cat >"$WORK/app.py" <<'PY'
import ctypes, mmap, os, select, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
CALLS = {"mount": (165, 0, 0, 0, 0, 0), "ptrace": (101, 16, 0, 0, 0), "acct": (163, 1), "getpid": (39,),
         "swapon": (167, 0, 0), "personality": (135, 0xffffffff), "personality_odd": (135, 0x40000),
         "socket_audit": (41, 16, 3, 9), "socket_route": (41, 16, 3, 0), "kexec_load": (246, 0, 0, 0, 0),
         "io_uring_setup": (425, 0, 0), "bpf": (321, 99, 0, 0), "chroot": (161, 0), "iopl": (172, 9),
         "setns": (308, -1, 0), "settimeofday": (164, 0, 0), "add_key": (248, 0, 0, 0, 0, 0),
         "getrandom": (318, 0, 0, 0), "unshare": (272, 0), "userfaultfd": (323, 0x8000),
         "init_module": (175, 0, 0, 0), "finit_module": (313, -1, 0, 0), "kexec_file_load": (320, -1, -1, 0, 0, 0),
         "perf_event_open": (298, 0, 0, 0, 0, 0), "open_by_handle_at": (304, -1, 0, 0)}
def call(name):
    ctypes.set_errno(0)
    result = libc.syscall(*[ctypes.c_long(word) for word in CALLS[name]])
    return name + " " + (os.strerror(ctypes.get_errno()) if result == -1 else "yes")
def in_new_namespace(name):
    there, here = os.pipe()
    if not os.fork():
        libc.unshare(0x10000000)
        os.write(here, call(name).encode())
        os._exit(0)
    os.close(here)
    text = os.read(there, 200).decode()
    os.wait()
    return text
def int80(number): # as a 32-bit program does it, all arguments 0
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x53\xb8" + struct.pack("<I", number) +
               b"\x31\xdb\x31\xc9\x31\xd2\x31\xf6\x31\xff\xcd\x80\x5b\xc3")
    result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
    return os.strerror(-result) if result < 0 else "yes"
def fast(number): # a 32-bit program, by the entry that the kernel names in AT_SYSINFO
    code = bytes.fromhex("89e68b068d748608ad85c075fb8b068b7e0483c60885c0741a83f82075ef31c931d231dbb8") + \
        struct.pack("<I", number) + bytes.fromhex("31f6ffd7f7d889c3eb05bbfa000000b801000000cd80")
    head = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, 0x10054, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    part = struct.pack("<IIIIIIII", 1, 0, 0x10000, 0x10000, 84 + len(code), 84 + len(code), 5, 0x1000)
    file = os.memfd_create("fast")
    os.write(file, head + part + code)
    child = os.fork()
    if not child:
        os.execve(file, ["fast"], {})
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "no such entry" if status == 250 else os.strerror(status)
def write(path, text):
    with open(path, "w") as file:
        file.write(text)
def in_new_cgroup():
    os.makedirs("/sys/fs/cgroup/below", exist_ok=True)
    write("/sys/fs/cgroup/below/cgroup.procs", str(os.getpid()))
    return call("mount").split(" ", 1)[1]
def without_ftrace():
    try:
        write("/proc/sys/kernel/ftrace_enabled", "0")
    except OSError:
        pass
    return call("mount").split(" ", 1)[1]
# tracefs, mounted when nothing was refused yet: its own tracer on the function, then none.
libc.mount(b"none", b"/mnt", b"tracefs", 0, None)
def by_tracefs():
    write("/mnt/set_ftrace_filter", "__x64_sys_mount")
    write("/mnt/current_tracer", "function")
    result = call("mount").split(" ", 1)[1]
    write("/mnt/current_tracer", "nop")
    write("/mnt/set_ftrace_filter", "")
    return result
TRICKS = {"mount_by_int80": lambda: int80(21), "mount_by_fast_entry": lambda: fast(21), "ptrace_by_int80": lambda: int80(26),
          "init_module_by_int80": lambda: int80(128), "kexec_by_int80": lambda: int80(283),
          "mount_in_a_new_cgroup": in_new_cgroup, "mount_with_ftrace_switched_off": without_ftrace,
          "mount_with_a_tracer_on_it": by_tracefs}
def trick(name): # in a child, which may end up anywhere
    there, here = os.pipe()
    if not os.fork():
        try:
            text = TRICKS[name]()
        except OSError as error:
            text = "could not be tried: %s" % error
        os.write(here, (name + " " + text).encode())
        os._exit(0)
    os.close(here)
    text = os.read(there, 200).decode()
    os.close(there)
    os.wait()
    return text
def canary(): # the refused call, without end; a single one that is let pass is told
    if os.fork():
        return "sings\n"
    tries = 0
    while not os.path.exists("/srv/quiet"):
        if call("ptrace") != "ptrace Function not implemented":
            write("/var/log/passed", str(tries))
            break
        tries += 1
        if tries % 64 == 0:
            write("/var/log/canary", str(tries))
    os._exit(0)
def hold(): # an answer that is late
    while not os.path.exists("/srv/go"):
        select.select([], [], [], 0.05)
    return "late\n"
def answer(path):
    words = path.strip("/").split(",")
    if words[0] in ("canary", "hold"):
        return globals()[words[0]]()
    how = in_new_namespace if words[0] == "userns" else call
    if words[0] == "tricks":
        words, how = sorted(TRICKS), trick
    return ";".join(map(how, [w for w in words if w in CALLS or w in TRICKS] or sorted(CALLS))) + "\n"
# Not http.server: its start takes seconds on an emulated processor.
server = socket.create_server(("", 8080))
while True:
    client, _ = server.accept()
    request = client.recv(4096).split()
    text = answer(request[1].decode()) if len(request) > 1 else ""
    client.sendall(("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(text), text)).encode())
    client.close()
PY
APP="cat >/srv/app.py <<'PY'
$(cat "$WORK/app.py")
PY
mkdir -p /mnt; exec python3 -I -S -B /srv/app.py >/var/log/app 2>&1"
gets() { curl -s --max-time 30 "http://10.80.0.2:8080/$1"; }
ready() { tap_wait 60 gets getpid; }
state() { hoody syscalls show -c $WEB --json; }
narrow() { jq --argjson names "$(printf '%s\n' "$@" | jq -R . | jq -sc .)" '.syscalls |= map(.names -= $names) | .syscalls |= map(select(.names | length > 0))' "$WORK/docker.json"; }
quietly() { "$@" >/dev/null 2>&1; }

cp /usr/share/containers/seccomp.json "$WORK/docker.json"
system_client_net "$CLIENT4"
system_module
system_config 'drain_timeout = 1s'
system_agent
container web $WEB routed 2 "$APP"
ready
init=$(lxc-info -n web -p -H)

# What root of a container would try, and what says that it was not let: with the
# calls of its own, through the other entry, from elsewhere, and with tracing off.
tries() { { gets init_module,finit_module,kexec_load,kexec_file_load,bpf,perf_event_open,open_by_handle_at,ptrace,mount,swapon,io_uring_setup,userfaultfd,add_key && gets tricks && gets userns,mount; } | tr ';' '\n'; }
not_let() { grep -cE ' (Operation not permitted|Function not implemented)$'; }

tried=$(tries)
tap_is before_everything_can_be_tried "$(not_let <<<"$tried") of $(wc -l <<<"$tried")" '0 of 22'
tap_note "$tried"
tap_is before_nothing_is_refused "$(gets ptrace,swapon)" 'ptrace No such process;swapon Bad address'
tap_run default_profile_loads hoody syscalls load docker "$WORK/docker.json"
narrow mount umount2 ptrace | quietly hoody syscalls load narrow -
tap_run attaches_to_what_runs hoody syscalls attach -c $WEB docker
tap_is docker_refuses "$(gets swapon,kexec_load,mount,ptrace)" 'swapon Operation not permitted;kexec_load Operation not permitted;mount Bad address;ptrace No such process'
gate=$(gets all)
tap_run swaps_to_a_narrower_one hoody syscalls attach -c $WEB narrow
tap_is mount_and_ptrace_fail_at_once "$(gets mount,ptrace,getpid)" 'mount Function not implemented;ptrace Function not implemented;getpid yes'
tried=$(tries)
tap_is root_of_the_container_tries_everything "$(not_let <<<"$tried") of $(wc -l <<<"$tried")" '22 of 22'
tap_note "$tried"
tap_is a_new_user_namespace_is_no_way_round "$(gets userns,mount)" 'mount Function not implemented'
tap_is refusals_are_counted "$(state | jq -c '[.counters[] | select(.syscall == "mount") | [.arch, .count]] | sort')" '[["ia32",2],["x86_64",7]]'
# Reports are limited, calls are not: one that was left out comes with the next.
seen() { gets mount >/dev/null; state | jq -e '[.denials[] | select(.syscall == "mount" and .command == "python3" and .errno == 38 and (.passed | not))] | length > 0'; }
tap_run refusals_are_reported tap_wait 30 seen
tap_like show_shows_them "$(hoody syscalls show -c $WEB)" 'mount +x86_64 +[0-9]+'
tap_like posture_sees_the_gate "$(hoody posture -c $WEB)" 'syscall_gate +holds .*narrow, enforce'

# Swap, bare and on dm-crypt, whose cipher the agent cannot see and root of the host is told.
modprobe -a loop dm-crypt
truncate -s 4M "$WORK/swap"
disk=$(losetup -f --show "$WORK/swap")
tap_cleanup losetup -d "$disk"
with_swap() { # DEVICE COMMAND...: while there is swap on it
	tap_wait 30 mkswap "$1" || return
	swapon "$1" && "${@:2}"
	swapoff "$1"
}
with_encrypted_swap() { # KEY-BYTES COMMAND...: while there is, on a device that has such a key
	local device
	device=$("$HOODY_BUILD/selftests/system/dm_crypt" create hoody-swap "$disk" "$1") || return
	with_swap "/dev/dm-${device#*:}" "${@:2}"
	tap_wait 30 "$HOODY_BUILD/selftests/system/dm_crypt" remove hoody-swap || echo 'cannot be removed'
}
swap() { hoody posture --json | jq -r '.host[] | select(.layer == "swap_encryption") | .verdict'; }
cipher() { hoody posture --json | jq -r '.host[] | select(.layer == "swap_cipher") | "\(.verdict) \(.value)"'; }
cipher_by_the_agent() { curl -s --unix-socket "$SOCKET" "http://agent/api/v1/posture" | jq -r '.data.host[] | select(.layer == "swap_cipher") | .verdict'; }
tap_is posture_tells_bare_swap "$(with_swap "$disk" swap)" fails
tap_is posture_tells_aes_256 "$(with_encrypted_swap 64 cipher)" 'holds aes-xts-plain64, AES-256'
tap_is posture_tells_a_weaker_one "$(with_encrypted_swap 32 eval 'cipher; cipher_by_the_agent')" $'fails aes-xts-plain64, AES-128\nunknown'

# The same name, another content: live for everyone who has it.
narrow ptrace | quietly hoody syscalls load narrow -
tap_is replaced_by_name_it_is_wider "$(gets mount,ptrace)" 'mount Bad address;ptrace Function not implemented'
tap_run detaches hoody syscalls detach -c $WEB
tap_is detached_nothing_is_refused "$(gets ptrace,swapon)" 'ptrace No such process;swapon Bad address'
tap_is never_restarted "$(lxc-info -n web -p -H)" "$init"
tap_is no_profile_holds_the_module "$(lsmod | awk '$1 == "hoody" { print $3 }')" 0

# Learning: the server answers requests, then its profile is what it needs, and no more.
tap_run learns hoody syscalls learn -c $WEB
gets getpid >/dev/null
tap_run writes_what_it_learned eval "hoody syscalls learned -c $WEB >$WORK/learned.json"
tap_is learned_has_what_was_seen "$(jq '[.syscalls[0].names[] | select(. == "accept4" or . == "sendto")] | length' "$WORK/learned.json")" 2
tap_run learned_loads hoody syscalls load learned "$WORK/learned.json"
tap_run learned_is_enforced hoody syscalls attach -c $WEB learned
tap_like the_app_lives_with_it "$(fetch -o /dev/null -w '%{http_code}' "$(host_of $WEB)" /getpid)" 200
tap_is and_with_nothing_else "$(gets mount,swapon)" 'mount Function not implemented;swapon Function not implemented'

# What holds goes on holding: without the agent, with the next one, in a new cgroup.
kill -KILL $AGENT
tap_need 30 eval "! kill -0 $AGENT 2>/dev/null"
tap_is holds_without_the_agent "$(gets mount)" 'mount Function not implemented'
tap_refused module_cannot_go rmmod hoody
system_agent
tap_is holds_with_the_next_agent "$(gets mount)" 'mount Function not implemented'
hoody syscalls attach -c $WEB narrow >/dev/null

# The module is exchanged under a canary that makes a refused call without end.
ROOTFS=/var/lib/lxc/web/rootfs FREEZER=/sys/fs/cgroup/lxc.payload.web
reload() { hoody module reload --keep --module "${1:-$MODULE}" "${@:2}" 2>&1; }
api() { curl -s --max-time 30 --unix-socket "$SOCKET" -X POST ${2:+-H 'Content-Type: application/json' --data-binary "$2"} "http://agent/api/v1/module/$1"; }
sings() { # ... on, from now
	local before
	before=$(cat "$ROOTFS/var/log/canary")
	tap_wait 60 eval "[ \"\$(cat $ROOTFS/var/log/canary)\" -gt ${before:-0} ] 2>/dev/null"
}
frozen() { grep -q 'frozen 1' $FREEZER/cgroup.events; }
silent() { [ ! -e "$ROOTFS/var/log/passed" ]; }
loaded=$(stat -c %i /sys/module/hoody)
gets canary >/dev/null
tap_run canary_sings tap_wait 60 test -s "$ROOTFS/var/log/canary"
tap_like reload_is_refused_without_keep "$(hoody module reload --module "$MODULE" 2>&1)" 'profile run \(.*\): with --keep'
fetch "$(host_of $WEB)" /hold >"$WORK/late" 2>&1 &
late=$!
tap_need 60 eval '[ "$(hoody status --json | jq .real_ip.stats.realip_open)" = 1 ]'
tap_like connections_hold_the_module "$(reload "$MODULE" --wait 0)" '1 connections that carry.*All goes on as before'
touch "$ROOTFS/srv/go"
wait $late
tap_is nobody_was_frozen_and_it_was_answered "$(frozen; echo $?) $(cat "$WORK/late")" '1 late'
tap_run reloads_under_it eval 'reload && reload && reload'
tap_run it_is_another_module eval "[ $loaded != \"\$(stat -c %i /sys/module/hoody)\" ]"
tap_run and_it_sings_on sings
tap_like what_is_no_module_leaves_it_frozen "$(reload /etc/passwd)" 'that was there is gone, and /etc/passwd cannot be loaded: .*Frozen until a module holds their profiles: '
tap_run frozen_it_is eval 'frozen && [ ! -d /sys/module/hoody ]'
tap_run a_second_one_goes_on_from_there reload
tap_run and_it_sings_again sings
# The agent dies when it has let go of everything, the old module is there still.
number=$(api reload '{"keep":true}' | jq .data.number)
tap_like no_profile_is_attached_meanwhile "$(hoody syscalls attach -c $WEB docker 2>&1)" 'being reloaded'
echo 1 >$FREEZER/cgroup.freeze
tap_run it_lets_go tap_wait 30 eval "[ \"\$(api release '{\"number\":$number}' | jq -r .data.phase)\" = released ]"
tap_is nothing_holds_the_module "$(lsmod | awk '$1 == "hoody" { print $3 }')" 0
kill -KILL $AGENT
tap_need 30 eval "! kill -0 $AGENT 2>/dev/null"
system_agent
tap_run the_next_agent_thaws_nobody frozen
tap_run but_says_who_may tap_wait 30 hoody module resume
tap_run and_it_sings_once_more sings
tap_run nothing_was_let_pass silent
touch "$ROOTFS/srv/quiet"
lxc-stop -k -n web
tap_need 30 rmmod hoody
tap_refused does_not_start_without_the_module lxc-start -n web
insmod "$MODULE"

# Started again, with the floor: LXC's own filter of the first profile.
hoody syscalls export docker --format lxc >/var/lib/lxc/web/policy
echo 'lxc.seccomp.profile = /var/lib/lxc/web/policy' >>/var/lib/lxc/web/config
tap_run starts_with_profile_and_floor lxc-start -n web -l INFO -o "$WORK/lxc-web.log"
ready
tap_is holds_after_a_restart "$(gets ptrace)" 'ptrace Function not implemented'
quietly hoody syscalls detach -c $WEB
tap_is floor_and_gate_decide_alike "$(gets all)" "$gate"
tap_like and_they_decide_something "$gate" 'socket_audit Invalid argument;socket_route yes;swapon Operation not permitted'
tap_like posture_sees_the_floor "$(hoody posture -c $WEB)" 'seccomp_floor +holds .*2 \(filter\), 1 filters'
tap_done
