#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Comings and goings: the agent is killed and started again, the module comes
# late, goes and comes back, a container restarts with the same and with another
# address. Nothing that was acknowledged is lost, and what is claimed is true.
. "$(dirname "$0")/../lib/tap.sh"
. "$TOP/selftests/lib/system.sh"

WEB=890abcdef12345678901cdef OTHER=890abcdef12345678901cde0
tap_plan 31

HEADERS_SERVER=$(nginx_server 'location / { return 200 "$remote_addr $http_x_hoody_real_ip\n"; }')
answer() { fetch --interface "$CLIENT4" "$(host_of $WEB)" / 2>&1; }
# From another client, so that no kept connection is used.
code() { fetch --interface 203.0.113.51 -o /dev/null -w '%{http_code}' "$(host_of "$1")" / 2>&1; }
real_ip_state() { hoody status --json | jq -r .real_ip.state; }
state_is() { [ "$(real_ip_state)" = "$1" ]; }
registered() { hoody containers list --json | jq -r '.[].id' | sort | paste -sd' '; }

system_client_net "$CLIENT4" 203.0.113.51 "$CLIENT6"

# Without the module: said, not pretended.
system_config
system_agent
tap_is module_absent_is_unavailable "$(real_ip_state)" unavailable
tap_like module_absent_is_logged "$(cat "$LOG")" 'hoody.ko|module'
# The hook needs the agent, and a routed container nothing else.
tap_run container_starts_without_module container web "$WEB" routed 2 "$HEADERS_SERVER"
container_ready web
tap_like module_absent_header_says_so "$(answer)" ' header$'
tap_like module_absent_is_the_proxy "$(answer)" '^(::ffff:)?169\.254\.1\.1 |^(::ffff:)?203\.0\.113\.1 |^(::ffff:)?[0-9.]+ header'

# The module comes while the agent runs.
system_module
tap_run module_is_noticed tap_wait 60 state_is on
tap_like then_the_client_is_seen "$(answer)" "^(::ffff:)?$CLIENT4 socket\$"

# SIGKILL of both processes; state comes back from the database.
tap_run register_another hoody containers register --id "$OTHER" --project "$PROJECT" --address 10.80.0.77
before=$(registered)
worker=$(hoody status --json | jq -r .worker.pid)
tap_like two_are_registered "$before" "$OTHER $WEB"
kill -9 "$AGENT" "$worker"
tap_need 30 eval "! kill -0 $AGENT 2>/dev/null && ! kill -0 $worker 2>/dev/null"
system_agent
tap_is killed_agent_has_all_containers "$(registered)" "$before"
tap_run killed_agent_has_real_ip tap_wait 60 state_is on
tap_like killed_agent_serves "$(answer)" "^(::ffff:)?$CLIENT4 socket\$"

# The worker alone: replaced, and the sockets of the old one are gone.
worker=$(hoody status --json | jq -r .worker.pid)
kill -9 "$worker"
new_worker() { pid=$(hoody status --json | jq -r .worker.pid); [ "$pid" != "$worker" ] && [ "$pid" -gt 0 ]; }
tap_run killed_worker_is_replaced tap_wait 60 new_worker
tap_run killed_worker_serves_again tap_wait 60 eval "[[ \$(answer) =~ ${CLIENT4//./\\.}\ socket ]]"

# The kernel's registry lost an entry and got a foreign one: a restart repairs it.
NL=$HOODY_BUILD/selftests/kmod/hoodynl
tap_run kernel_entry_removed "$NL" del "$WEB"
tap_is without_entry_fails_closed "$(code $WEB)" 502
system_agent_stop
system_agent
tap_run reconciled tap_wait 60 state_is on
tap_like reconciled_serves "$(answer)" "^(::ffff:)?$CLIENT4 socket\$"

# Container restarts: the same address, then another.
lxc-stop -k -n web
tap_is stopped_is_503 "$(code $WEB)" 503
lxc-start -n web
container_ready web
tap_like restarted_serves "$(answer)" "^(::ffff:)?$CLIENT4 socket\$"
lxc-stop -k -n web
container_config web routed 9 >/var/lib/lxc/web/config
lxc-start -n web
container_ready web
tap_like other_address_is_registered "$(hoody containers show "$WEB")" '10\.80\.0\.9'
tap_like other_address_serves "$(answer)" "^(::ffff:)?$CLIENT4 socket\$"

# A container without IPv6: the client is let in by an ordinary connection, and
# nobody is told that it was the real one.
tap_run only_ipv4_is_registered hoody containers register --id "$WEB" --project "$PROJECT" --address 10.80.0.9
tap_like other_family_is_said "$(fetch -6 --interface "$CLIENT6" "$(host_of $WEB)" / 2>&1)" '^[^ ]+ header$'
tap_is other_family_is_counted "$(hoody status --json | jq -r .worker.counters.real_ip_family)" 1

# The module cannot go while connections are open (one is kept), and can when none is.
answer >/dev/null
tap_refused rmmod_in_use_is_refused rmmod hoody
system_agent_stop
tap_run rmmod_after_the_agent tap_wait 90 rmmod hoody
system_config 'real_ip = off'
system_agent
tap_is real_ip_off_is_off "$(real_ip_state)" off
tap_like real_ip_off_serves "$(answer)" ' header$'

# Deleted is deleted, also after a restart; the id is never used again.
hoody containers delete "$WEB" >/dev/null
system_agent_stop
system_agent
tap_is deleted_stays_404 "$(code $WEB)" 404
tap_refused deleted_id_is_refused hoody containers register --id "$WEB" --project "$PROJECT" --address 10.80.0.9
insmod "$MODULE"	# for the clean-up's rmmod
tap_done
