#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A client of HTTP/3 takes its connection to another address (RFC 9000 9): the socket
# that an unmodified app has is the client's at its new address, and permissions by
# address are asked for the new one, also of what is under way.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/system.sh
. "$TOP/selftests/lib/system.sh"

WEB=890abcdef12345678901cdef HERE=$(cd "$(dirname "$0")" && pwd)
OTHER4=203.0.113.51 OTHER6=2001:db8:1::51
tap_plan 17

system_client_net "$CLIENT4" "$OTHER4" "$CLIENT6" "$OTHER6"
system_module
system_config
system_agent
tap_run container_starts container web "$WEB" routed 2 "head -c 1000000 /dev/zero >/srv/long
$(nginx_server 'access_log /var/log/app; root /srv; location = / { return 200 "$remote_addr"; } location /long { limit_rate 2k; }')"
container_ready web || tap_note "web: $(lxc-attach -n web -- ss -ltn 2>&1)"
tap_is real_ip_is_on "$(hoody status --json | jq -r .real_ip.state)" on

client() { # CASE FROM TO
	local server=203.0.113.1
	case $2 in *:*) server=2001:db8:1::1 ;; esac
	SERVER=$server TLS=443 HOST=$(host_of $WEB) PYTHONDONTWRITEBYTECODE=1 in_client python3 "$HERE/migration.py" "$@"
}
app() { cat /proc/"$(lxc-info -pHn web)"/root/var/log/app; }
counter() { hoody status --json | jq -r ".worker.counters.$1"; }
# lines REGEX: how many requests the app has had, by its own log.
lines() { app | grep -cE "$1"; }

# ---- whom the app sees ----

tap_run app_sees_the_new_address client seen "$CLIENT4" "$OTHER4"
tap_run app_sees_the_new_address_v6 client seen "$CLIENT6" "$OTHER6"
tap_like its_log_has_the_new_one "$(app)" "^$OTHER4 .*\"GET / HTTP"
tap_like its_log_has_the_new_one_v6 "$(app)" "^$OTHER6 .*\"GET / HTTP"
tap_is its_log_has_no_other "$(app | cut -d' ' -f1 | sort -u | grep -vcE "^($CLIENT4|$OTHER4|$CLIENT6|$OTHER6)\$")" 0
tap_is moves_are_counted "$(($(counter quic_migrations) >= 6))" 1
tap_run what_is_under_way_goes_on client stays "$CLIENT4" "$OTHER4"

# ---- whom permissions see ----

hoody containers proxy permissions replace -c $WEB --groups office='{"type":"ip","range":"'$CLIENT4'/32"}' \
	--groups office6='{"type":"ip","range":"'$CLIENT6'/128"}' --permissions office='{"http":true}' \
	--permissions office6='{"http":true}' --default deny >/dev/null || tap_bail "no permissions"
long=$(lines "^$CLIENT4 .*\"GET /long")
tap_run exchange_ends_where_the_client_may_not_be client cut "$CLIENT4" "$OTHER4"
tap_run app_s_connection_ends_with_it tap_wait 60 eval "[ \$(lines '^$CLIENT4 .*\"GET /long') -gt $long ]"
tap_is app_had_not_sent_all_of_it "$(app | grep -E "^$CLIENT4 .*\"GET /long" | tail -n 1 | awk '{ print ($10 < 1000000) }')" 1
tap_run exchange_ends_where_the_client_may_not_be_v6 client cut "$CLIENT6" "$OTHER6"
tap_run app_s_connection_ends_with_it_v6 tap_wait 60 eval "[ \$(lines '^$CLIENT6 .*\"GET /long') -ge 1 ]"
tap_is app_is_not_asked_from_there "$(lines '"GET /refused')" 0
hoody containers proxy permissions replace -c $WEB --groups office='{"type":"ip","range":"203.0.113.0/24"}' \
	--permissions office='{"http":true}' --default deny >/dev/null || tap_bail "no permissions"
tap_run both_in_a_range_that_is_allowed client stays "$CLIENT4" "$OTHER4"
tap_is the_module_has_refused_nothing "$(hoody status --json | jq -r .real_ip.containers_refused)" 0
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 40 "$LOG"; app | tail -n 20)"
tap_done
