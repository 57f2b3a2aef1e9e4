#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Reloading the kernel module, as far as it goes without one: that it is refused while
# profiles would be lost, that containers with a profile are frozen and nobody else, what
# may pass for frozen and is not, and that frozen they stay, agent dead or alive, until a
# profile is there or is taken away.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need cgroups
[ ! -d /sys/module/hoody ] || tap_skip_all "the module is loaded"
CGROUPS=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
NEST=hoody-module-test-$$
mkdir -p "$CGROUPS/$NEST/web" "$CGROUPS/$NEST/db/below" "$CGROUPS/$NEST/old" "$CGROUPS/$NEST/free" || tap_skip_all "no cgroup v2 to write to"
tap_cleanup "rmdir $CGROUPS/$NEST/db/below $CGROUPS/$NEST/* $CGROUPS/$NEST"
# Whatever is left in them ends before they go.
tap_cleanup "echo 1 >$CGROUPS/$NEST/cgroup.kill; tap_wait 30 grep -q 'populated 0' $CGROUPS/$NEST/cgroup.events"
export PATH=$HOODY_BUILD/bin:$PATH
export LC_ALL=C.UTF-8
unset HOODY_TOKEN NO_COLOR
WEB=bbbbbbbbbbbbbbbbbbbbbbbb DB=cccccccccccccccccccccccc OLD=dddddddddddddddddddddddd FREE=eeeeeeeeeeeeeeeeeeeeeeee
PROJECT=aaaaaaaaaaaaaaaaaaaaaaaa
tap_plan 36

hoody ca "$WORK/ca" '*.node-us.containers.example.com' >/dev/null || tap_bail "hoody ca"
cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $WORK/state
control_socket = $WORK/control.sock
threads = 1
real_ip = off
[firewall]
enabled = off
[listen]
tls = 127.0.0.1:8443
[tls]
certificate = $WORK/ca/server.pem
key = $WORK/ca/server.key
CONF
AGENT_PID=
start_agent() {
	hoody-agent --config "$WORK/agent.conf" 2>>"$WORK/log" &
	AGENT_PID=$!
	tap_wait 60 hoody status || tap_bail "the agent does not answer: $(tail -n 5 "$WORK/log")"
}
tap_cleanup 'kill -KILL $AGENT_PID'
api() { curl -s --max-time 30 --unix-socket "$WORK/control.sock" -X "$1" ${3:+-H 'Content-Type: application/json' --data-binary "$3"} "http://agent/api/v1/module${2:+/$2}"; }
code() { api "$@" | jq -r '.error.code // .data.phase'; }
set_freeze() { echo "$2" >"$CGROUPS/$NEST/$1/cgroup.freeze"; }
frozen() { grep -q 'frozen 1' "$CGROUPS/$NEST/$1/cgroup.events"; }
thawed() { grep -q 'frozen 0' "$CGROUPS/$NEST/$1/cgroup.events"; }
held() { hoody status --json | jq -r '[.frozen[] | .name] | join(",")'; }
# A process of the container's: in its cgroup from its first instruction on.
inside() { bash -c "echo \$BASHPID >$CGROUPS/$NEST/$1/cgroup.procs; exec ${*:2}" & }

inside web tail -f /dev/null
inside db/below tail -f /dev/null
inside old tail -f /dev/null
inside free tail -f /dev/null
start_agent
number=0
for pair in $WEB:web $DB:db $OLD:old $FREE:free; do
	hoody containers register --id "${pair%:*}" --project $PROJECT --name "${pair#*:}" --address "10.77.0.$((++number))" >/dev/null &&
		hoody containers start "${pair%:*}" --cgroup "/$NEST/${pair#*:}" >/dev/null || tap_bail "container ${pair#*:}"
done
tap_like reload_needs_a_module "$(hoody module reload 2>&1)" 'no module hoody for the running kernel.*--module'
tap_like reload_needs_the_host "$(HOODY_API=https://127.0.0.1:1 HOODY_TOKEN=x hoody module reload 2>&1)" "the module is the host's"
tap_is nothing_is_frozen_at_first "$(held)" ''
# Nobody has a profile: nobody is frozen, and the agent lets go at once.
tap_is begins_without_profiles "$(code POST reload '{}')" draining
tap_is nobody_has_to_be_frozen "$(code POST release '{"number":1}')" released
tap_is ends_without_profiles "$(code POST resume)" idle
tap_is wrong_number "$(api POST release '{"number":"x"}' | jq -r .error.field)" number
tap_is unknown_field "$(api POST reload '{"kept":true}' | jq -r .error.field)" kept
tap_is a_reload_that_is_over "$(code POST release '{"number":1}')" no_reload

# As after the module was lost: three that run have a profile, one has none.
kill $AGENT_PID && wait $AGENT_PID
sqlite3 "$WORK/state/state.db" "INSERT INTO documents (kind, key, body, updated_at) VALUES
	(64, CAST('narrow' AS BLOB), '{\"source\":\"{\\\"defaultAction\\\":\\\"SCMP_ACT_ALLOW\\\"}\",\"capabilities\":[],\"loaded_at\":1}', 1),
	(3, x'$WEB', '{\"profile\":\"narrow\",\"mode\":\"enforce\"}', 1),
	(3, x'$OLD', '{\"profile\":\"narrow\",\"mode\":\"learn\"}', 1), (3, x'$DB', '{\"profile\":\"narrow\",\"mode\":\"enforce\"}', 1)" || tap_bail "the database"
start_agent
tap_like refused_without_keep "$(hoody module reload --module /etc/passwd 2>&1)" 'a syscall profile run \(web, db, old\): with --keep .*profiles_attached'
tap_run refused_it_has_frozen_nobody eval 'thawed web && thawed db && [ -z "$(held)" ]'

# What the agent lets pass for frozen, one call after the other.
set_freeze db 1
tap_wait 30 frozen db || tap_bail "the freezer does not freeze"
tap_is who_is_to_be_frozen "$(api POST reload '{"keep":true}' | jq -c '[.data.containers[] | [.name, .frozen_before, .thaw]]')" '[["web",false,false],["db",true,false],["old",false,false]]'
number=$(api GET '' | jq .data.number)
tap_like not_frozen_yet "$(api POST release "{\"number\":$number}" | jq -r '.error | .code + " " + .message')" 'not_frozen container web does not freeze'
tap_is of_another_number "$(code POST release "{\"number\":$((number + 1))}")" no_reload
# A tracee that stands at the entry of a call counts as frozen, and is not safe: it makes
# its call when its tracer, who is not of the container, lets it go or dies.
cat >"$WORK/trace.py" <<'PY'
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
child = os.fork()
if not child:
    with open(sys.argv[1], "w") as file:
        file.write(str(os.getpid()))
    libc.ptrace(0, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        os.getppid()
os.waitpid(child, 0)
libc.ptrace(24, child, None, None) # PTRACE_SYSCALL: to the entry of the next call
os.waitpid(child, 0)
print(child, flush=True)
signal.pause()
PY
mkfifo "$WORK/tracee"
python3 "$WORK/trace.py" "$CGROUPS/$NEST/web/cgroup.procs" >"$WORK/tracee" &
TRACER=$!
tap_cleanup 'kill -KILL $TRACER 2>/dev/null'
read -r tracee <"$WORK/tracee"
set_freeze web 1
set_freeze old 1
tap_run a_stopped_tracee_passes_for_frozen tap_wait 30 frozen web
tap_wait 30 frozen old || tap_bail "the freezer does not freeze"
tap_like and_is_found "$(api POST release "{\"number\":$number}" | jq -r '.error | .code + " " + .message')" "traced process $tracee of container web is stopped by its tracer, process $TRACER"
kill -KILL $TRACER "$tracee"
tap_is without_it_the_module_may_go "$(tap_wait 30 eval "[ \"\$(code POST release '{\"number\":$number}')\" = released ]" && code GET)" released
tap_is asked_again_it_may_still "$(code POST release "{\"number\":$number}")" released
tap_like released_it_is_not_in_force "$(hoody syscalls show -c $WEB)" 'reloaded'
tap_is resumed_without_a_module_nobody_may_run "$(api POST resume | jq -c '[.data.phase, [.data.containers[] | [.name, .thaw]]]')" '["idle",[["web",false],["db",false],["old",false]]]'

# The command: nothing can be unloaded or loaded here, so that who was frozen stays so.
set_freeze web 0
set_freeze old 0
tap_need 30 eval 'thawed web && thawed old'
out=$(hoody module reload --keep --module /etc/passwd 2>&1)
tap_like what_cannot_be_loaded_is_told "$out" 'Frozen until a module holds their profiles: web \(.*modprobe hoody\), db'
tap_run it_froze_them eval 'frozen web && frozen db && frozen old'
tap_run and_nobody_else thawed free
tap_is they_are_known "$(held)" web,db,old
tap_like status_tells "$(hoody status)" 'frozen: +web: .*modprobe hoody; then hoody module resume'
kill -KILL $AGENT_PID
wait $AGENT_PID
tap_run an_agent_that_dies_thaws_nobody eval 'frozen web && frozen db'
start_agent
tap_is the_next_one_knows_them "$(held)" web,db,old
tap_run and_thaws_nobody eval 'frozen web && frozen db'
tap_like neither_does_resume "$(hoody module resume 2>&1)" 'still frozen: web .*, db'
tap_run they_are_frozen_still eval 'frozen web && frozen db'
tap_run one_reload_at_a_time eval 'flock -n /run/hoody-module.lock hoody module resume 2>&1 | grep -q "another reload"'

# What stops is struck off.
hoody containers stop $OLD >/dev/null
tap_is stopped_it_is_struck_off "$(held)" web,db

# Without its profile nothing keeps one from running; who was frozen before stays so.
hoody syscalls detach -c $WEB >/dev/null
hoody module resume >/dev/null 2>&1
tap_run detached_it_is_thawed tap_wait 30 thawed web
tap_is the_other_is_held "$(held)" db
hoody syscalls detach -c $DB >/dev/null
tap_like nobody_is_held "$(hoody module resume)" 'frozen: +none'
tap_run frozen_before_it_stays_frozen frozen db

tap_done
