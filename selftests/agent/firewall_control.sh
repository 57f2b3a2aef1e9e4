#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The firewall as an operator drives it: the agent, its command line and API, on
# the interfaces of network namespaces that stand for containers: a routed one
# ("a"), two on a bridge ("b", "c": b is its project's gateway) and the world
# ("out"). Root inside tries to get out. No module is needed: real IP is off.
#
#	a --- ha \                    ho --- out 192.0.2.0/24, 2001:db8::/64
#	b --- hb -\ host (forwards) -/
#	c --- hc -- br0
#
# shellcheck source=selftests/lib/tap.sh disable=SC2317,SC2034
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=selftests/lib/agent.sh
. "$TOP/selftests/lib/agent.sh"
# shellcheck source=selftests/lib/bypass.sh
. "$TOP/selftests/lib/bypass.sh"

agent_need 'namespaces, BPF'
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || tap_skip_all "needs a bpf file system"
export HOODY_API=unix:$WORK/run/control.sock
PINS=/sys/fs/bpf/hoody-firewall-$$
PROJECT=aaaaaaaaaaaaaaaaaaaaaaaa OTHER=abababababababababababab
A=a00000000000000000000001 B=b00000000000000000000001 C=c00000000000000000000001
MAC_A=02:00:00:00:0a:02
OUT4=192.0.2.10 OUT6=2001:db8::10
BASE=node-us.containers.example.com
CGROUPS=$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
CGROUP=hoody-firewall-$$

in_ns() { ip netns exec "$@"; }

# --- the network -------------------------------------------------------------
network() {
	netns_three_and_world c
	in_ns out ip addr add 192.0.2.11/24 dev eth0
}

cat >"$WORK/server.py" <<'PY'
import http.server, socket, sys, threading
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")
for port in sys.argv[1:]:
    threading.Thread(target=Server(("::", int(port)), Handler).serve_forever, daemon=True).start()
print("up", flush=True)
threading.Event().wait()
PY

server() { # NS PORT...
	local ns=$1
	shift
	in_ns "$ns" python3 "$WORK/server.py" "$@" >"$WORK/server.$ns" 2>&1 &
	tap_cleanup "kill $!"
	tap_wait 30 grep -q up "$WORK/server.$ns" || tap_bail "no server in $ns"
}

# talk NS HOST PORT: whether a server answers; dead: nothing comes back.
talk() { [ "$(in_ns "$1" curl -s --max-time 5 --connect-timeout 2 "http://$2:$3/")" = hello ]; }
dead() { [ -z "$(in_ns "$1" curl -s --max-time 1 "http://$2:$3/")" ]; }

# --- the agent ---------------------------------------------------------------
config() { # [SED EXPRESSION]...
	cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.example.com
state_directory = $WORK/state
control_socket = $WORK/run/control.sock
threads = 1
real_ip = off
cgroup = /$CGROUP
drain_timeout = 1s
[listen]
tls = none
plain = 127.0.0.1:18080
[firewall]
pins = $PINS
flows = 262144
containers = 64
CONF
	local expression
	for expression in "$@"; do sed -i "$expression" "$WORK/agent.conf"; done
}

through_agent() { # ID PORT: through the plain listener, as a client
	[ "$(curl -s --max-time 5 -H "Host: $PROJECT-$1-http-$2.$BASE" http://127.0.0.1:18080/)" = hello ]
}
tap_cleanup 'rmdir "$CGROUPS/$CGROUP"; rm -rf $PINS'

# api METHOD PATH [JSON]: the body; the status goes to $WORK/code.
api() {
	local data=()
	[ $# -lt 3 ] || data=(-H 'Content-Type: application/json' --data-binary "$3")
	curl -s --max-time 60 --unix-socket "$WORK/run/control.sock" -X "$1" "${data[@]}" \
		-w '%{stderr}%{http_code}' "http://agent/api/v1/containers$2" 2>"$WORK/code"
}
# refuses NAME STATUS FIELD PATH JSON
refuses() {
	local body
	body=$(api "${6:-POST}" "/$A/firewall$4" "$5")
	if [ "$(cat "$WORK/code")" = "$2" ] &&
		jq -e --arg f "$3" '(.error.field // "") == $f and (.error.message | length > 8)' >/dev/null <<<"$body"; then
		tap_ok "bad_$1"
	else
		tap_not_ok "bad_$1" "wanted $2 about '$3', got $(cat "$WORK/code"): $body"
	fi
}
drops_of() { hoody firewall show -c "$1" --json | jq -r ".drops.$2 // 0"; }
state_of() { hoody firewall show -c "$1" --json | jq -r .state; }
state_is() { [ "$(state_of "$1")" = "$2" ]; }
rule_count() { hoody firewall "$2" list -c "$1" --json | jq length; }

# --- before there is a rule --------------------------------------------------
test_open() {
	tap_is loaded_before_any_container "$(hoody status --json | jq -r .firewall.state)" loaded
	tap_run open_register_a hoody containers register --id $A --project $PROJECT --netdev ha --address 10.0.0.2 --address fd00::2
	tap_run open_start_a hoody containers start $A
	tap_is open_is_enforced "$(state_of $A)" enforced
	tap_is open_status_counts_it "$(hoody status --json | jq -c '[.firewall.state, .firewall.enforced, .firewall.failed]')" '["loaded",1,0]'
	tap_run open_egress_passes talk a $OUT4 443
	tap_run open_ipv6_egress_passes talk a "[$OUT6]" 443
	tap_run open_ingress_passes talk out 10.0.0.2 8000
	tap_run open_clients_get_through through_agent $A 8000
	in_ns a ip addr add 10.0.0.77/24 dev eth0
	tap_refused open_a_second_address_does_not_work in_ns a ping -c 1 -W 1 -I 10.0.0.77 $OUT4
	in_ns a ip addr del 10.0.0.77/24 dev eth0
	ip addr add 169.254.169.254/32 dev lo
	tap_run open_metadata_is_closed dead a 169.254.169.254 443
	tap_is open_explain_says_so "$(hoody firewall explain -c $A --direction egress --protocol tcp --to 169.254.169.254:80 --json | jq -r '.verdict + " " + .reason')" "drop rule"
	ip addr del 169.254.169.254/32 dev lo
}

# --- the commands of the documentation, as they are printed ------------------
test_seeds() {
	local CONTAINER_ID=$A STRIPE_CIDR=$OUT4/32 GITHUB_CIDR=192.0.2.11/32
	tap_run seeds_reset hoody firewall reset -c $CONTAINER_ID
	tap_run seeds_reset_denies_egress dead a $OUT4 443
	tap_run seeds_reset_denies_ipv6_egress dead a "[$OUT6]" 443
	tap_refused seeds_reset_denies_ping in_ns a ping -c 1 -W 1 $OUT4
	tap_run seeds_reset_denies_ingress dead out 10.0.0.2 8000
	tap_run seeds_reset_leaves_clients_of_the_proxy through_agent $A 8000
	tap_run seeds_first_rule hoody firewall egress create -c $CONTAINER_ID \
		--action allow --protocol tcp --destination-port 443 \
		--destination "$STRIPE_CIDR" --description "Allow Stripe API"
	tap_run seeds_second_rule hoody firewall egress create -c $CONTAINER_ID \
		--action allow --protocol tcp --destination-port 443 \
		--destination "$GITHUB_CIDR" --description "Allow GitHub API"
	tap_run seeds_first_destination_is_open talk a $OUT4 443
	tap_run seeds_second_destination_is_open talk a 192.0.2.11 443
	tap_run seeds_another_port_is_closed dead a $OUT4 80
	tap_run seeds_another_address_is_closed dead a 192.0.2.1 443
	tap_run seeds_ipv6_is_closed dead a "[$OUT6]" 443
	tap_is seeds_nmap_sees_the_one_port "$(in_ns a nmap -n -Pn -sS --max-retries 1 -p 22,80,443,8000 -oG - $OUT4 | grep -oE '[0-9]+/open/' | tr '\n' ' ')" '443/open/ '
	tap_like seeds_list_shows_them "$(hoody firewall egress list -c $A)" '^1 .*allow +tcp +192.0.2.10/32 +443 +[1-9][0-9]* +[1-9][0-9]* +Allow Stripe API'
	tap_is seeds_counters_count "$(hoody firewall egress list -c $A --json | jq '[.[] | .packets > 0 and .bytes > 0] | all')" true
}

# --- rules through the command line ------------------------------------------
test_rules() {
	tap_run rules_range hoody firewall egress create -c $A --action allow --protocol tcp --destination 2001:db8::/32 --destination-port 400-500
	tap_run rules_range_holds talk a "[$OUT6]" 443
	tap_run rules_icmp hoody firewall egress create -c $A --action allow --protocol icmp --destination $OUT4
	tap_run rules_icmp_holds in_ns a ping -c 1 -W 5 $OUT4
	tap_run rules_ingress hoody firewall ingress create -c $A --action allow --protocol tcp --source 192.0.2.0/24 --destination-port 8000
	tap_run rules_ingress_holds talk out 10.0.0.2 8000
	tap_run rules_ingress_other_port_is_closed dead out 10.0.0.2 80
	tap_run rules_deny hoody firewall egress create -c $A --action deny --protocol any --destination 192.0.2.11
	tap_run rules_deny_beats_allow dead a 192.0.2.11 443
	local deny
	deny=$(hoody firewall egress list -c $A --json | jq '.[] | select(.action == "deny").id')
	tap_is rules_explain_names_the_rule "$(hoody firewall explain -c $A --direction egress --protocol tcp --to 192.0.2.11:443 --json | jq -c '[.verdict, .reason, .rule.id, .enforced]')" "[\"drop\",\"rule\",$deny,true]"
	tap_is rules_explain_allows "$(hoody firewall explain -c $A --direction egress --protocol tcp --to $OUT4:443 --json | jq -c '[.verdict, .rule.description]')" '["pass","Allow Stripe API"]'
	tap_is rules_explain_default "$(hoody firewall explain -c $A --direction ingress --protocol tcp --from 203.0.113.9 --port 22 --json | jq -c '[.verdict, .reason, .rule]')" '["drop","default",null]'
	tap_is rules_a_past_drop_names_the_rule "$(hoody firewall drops -c $A | jq -c 'select(.reason == "rule") | [.rule, .destination, .destination_port]' | tail -1)" "[$deny,\"192.0.2.11\",443]"
	tap_run rules_delete hoody firewall egress delete -c $A "$deny"
	tap_run rules_deleted_no_longer_holds talk a 192.0.2.11 443
	tap_refused rules_delete_twice hoody firewall egress delete -c $A "$deny"
	tap_run rules_follow_up hoody firewall egress create -c $A --action deny --protocol tcp --destination-port 25
	tap_is rules_ids_are_never_used_again "$(hoody firewall egress list -c $A --json | jq "[.[].id] | max > $deny")" true
	tap_refused rules_the_host_is_closed_to_wide_rules host_by_wide_rule
	tap_run rules_the_host_by_its_address hoody firewall egress create -c $A --action allow --protocol tcp --destination 10.0.0.1 --destination-port 443
	tap_run rules_the_host_is_open_by_its_address talk a 10.0.0.1 443
}
host_by_wide_rule() {
	hoody firewall egress create -c $A --action allow --protocol tcp --destination 10.0.0.0/8 --destination-port 443 >/dev/null
	talk a 10.0.0.1 443
}

# --- input that must not pass ------------------------------------------------
test_bad_input() {
	local R='"action":"allow","protocol":"tcp"' before
	before=$(hoody firewall show -c $A --json | jq .revision)
	refuses port_0 422 destination_port /egress "{$R,\"destination_port\":0}"
	refuses port_65536 422 destination_port /egress "{$R,\"destination_port\":\"65536\"}"
	refuses port_reversed 422 destination_port /egress "{$R,\"destination_port\":\"90-80\"}"
	refuses port_of_icmp 422 destination_port /egress '{"action":"allow","protocol":"icmp","destination_port":1}'
	refuses port_negative 422 destination_port /egress "{$R,\"destination_port\":-1}"
	refuses host_bits 422 destination /egress "{$R,\"destination\":\"10.0.0.1/8\"}"
	refuses length_33 422 destination /egress "{$R,\"destination\":\"10.0.0.1/33\"}"
	refuses length_129 422 destination /egress "{$R,\"destination\":\"fd00::/129\"}"
	refuses mapped 422 destination /egress "{$R,\"destination\":\"::ffff:10.0.0.1\"}"
	refuses host_name 422 destination /egress "{$R,\"destination\":\"api..stripe.com\"}"
	refuses empty_address 422 destination /egress "{$R,\"destination\":\"\"}"
	refuses unknown_container 422 destination /egress "{$R,\"destination\":\"container:ffffffffffffffffffffffff\"}"
	refuses short_id 422 destination /egress "{$R,\"destination\":\"project:ff\"}"
	refuses source_of_egress 422 source /egress "{$R,\"source\":\"10.0.0.1\"}"
	refuses no_action 422 action /egress '{"protocol":"tcp"}'
	refuses other_action 422 action /egress '{"action":"reject","protocol":"tcp"}'
	refuses no_protocol 422 protocol /egress '{"action":"allow"}'
	refuses sctp 422 protocol /egress '{"action":"allow","protocol":"sctp"}'
	refuses icmp_v6 422 destination /egress '{"action":"allow","protocol":"icmp","destination":"fd00::/64"}'
	refuses unknown_field 422 prot /egress "{$R,\"prot\":1}"
	refuses long_description 422 description /egress "{$R,\"description\":\"$(printf 'x%.0s' {1..256})\"}"
	refuses duplicate 409 "" /egress "{$R,\"destination\":\"$OUT4\",\"destination_port\":443}"
	refuses set_without_rules 422 rules "" '{}' PUT
	refuses set_field_by_index 422 "rules[1].destination" "" "{\"rules\":[{\"direction\":\"egress\",$R},{\"direction\":\"egress\",$R,\"destination\":\"x\"}]}" PUT
	refuses set_duplicate 409 "rules[1]" "" "{\"rules\":[{\"direction\":\"egress\",$R},{\"direction\":\"egress\",$R}]}" PUT
	refuses set_direction 422 "rules[0].direction" "" "{\"rules\":[{$R}]}" PUT
	refuses mode 422 mode "" '{"mode":"off"}' PATCH
	refuses default_word 422 defaults.egress "" '{"defaults":{"egress":"drop"}}' PATCH
	python3 -c "import json; print(json.dumps({'rules': [{'direction': 'egress', 'action': 'deny', 'protocol': 'tcp', 'destination': f'10.{i >> 16}.{i >> 8 & 255}.{i & 255}'} for i in range(20000)]}))" >"$WORK/many.json"
	tap_like bad_20000_rules "$(hoody firewall apply -c $A "$WORK/many.json" 2>&1)" 'rules: has 20000 rules.*16384'
	python3 -c "import json; print(json.dumps({'rules': [{'direction': 'egress', 'action': 'deny', 'protocol': 'tcp', 'destination': f'10.{i >> 16}.{i >> 8 & 255}.{i & 255}'} for i in range(100000)]}))" >"$WORK/more.json"
	api PUT "/$A/firewall" "@$WORK/more.json" >"$WORK/body"
	tap_is bad_100000_rules_at_once "$(cat "$WORK/code")" 413
	tap_is bad_input_changes_nothing "$(hoody firewall show -c $A --json | jq .revision)" "$before"
	tap_is usage_errors_are_2 "$(hoody firewall egress create -c $A --action maybe --protocol tcp >/dev/null 2>&1; echo $?)" 2
}

# --- rules that overlap and contradict: all are taken, and deny beats allow -----
test_edges() {
	local udp='"direction":"egress","protocol":"udp"' tcp='"direction":"egress","protocol":"tcp","destination_port":443'
	api PUT "/$A/firewall" "{\"rules\":[
		{$tcp,\"action\":\"allow\",\"destination\":\"0.0.0.0/0\"}, {$tcp,\"action\":\"allow\",\"destination\":\"::/0\"},
		{$tcp,\"action\":\"deny\",\"destination\":\"192.0.2.0/24\"}, {$tcp,\"action\":\"allow\",\"destination\":\"192.0.2.10/32\"},
		{$udp,\"action\":\"allow\",\"destination\":\"$OUT6/128\",\"destination_port\":\"1-65535\"},
		{$udp,\"action\":\"allow\",\"destination\":\"2001:db8::/32\",\"destination_port\":\"53-53\"},
		{$udp,\"action\":\"allow\",\"destination\":\"192.0.2.11\"}, {$udp,\"action\":\"deny\",\"destination\":\"192.0.2.11\"}]}" >/dev/null
	tap_is edges_are_taken "$(cat "$WORK/code"): $(hoody firewall egress list -c $A --json | jq length)" '200: 8'
	tap_is edges_all_addresses "$(judged tcp 198.51.100.1:443) $(judged tcp '[2001:db8::99]:443')" 'pass pass'
	tap_is edges_wide_deny_beats_narrow_allow "$(judged tcp 192.0.2.10:443)" drop
	tap_is edges_contradiction_is_a_deny "$(judged udp 192.0.2.11:53)" drop
	tap_is edges_one_address "$(judged udp "[$OUT6]:9") $(judged udp '[2001:db8::11]:9') $(judged udp '[2001:db8::11]:53')" 'pass drop pass'
}
judged() { hoody firewall explain -c $A --direction egress --protocol "$1" --to "$2" --json | jq -r .verdict; }

# --- 16,384 rules, and replacing them under traffic ---------------------------
test_many() {
	python3 - "$WORK/16384.json" "$WORK/10000.json" <<'PY'
import json, sys
def rule(i): return {"direction": "egress", "action": "allow", "protocol": "tcp", "destination": f"198.{18 + (i >> 16)}.{i >> 8 & 255}.{i & 255}", "destination_port": "443"}
last = {"direction": "egress", "action": "allow", "protocol": "tcp", "destination": "192.0.2.10", "destination_port": 443}
json.dump({"rules": [rule(i) for i in range(16383)] + [last]}, open(sys.argv[1], "w"))
json.dump({"rules": [rule(i) for i in range(9999)] + [last]}, open(sys.argv[2], "w"))
PY
	tap_run many_16384_rules_are_applied hoody firewall apply -c $A "$WORK/16384.json"
	tap_is many_all_are_listed "$(rule_count $A egress)" 16384
	tap_run many_the_last_one_holds talk a $OUT4 443
	tap_run many_others_are_closed dead a $OUT4 80
	tap_refused many_one_more_does_not_fit hoody firewall egress create -c $A --action allow --protocol tcp --destination 203.0.113.1
	# A connection that both sets allow goes on while they are replaced.
	cat >"$WORK/steady.py" <<'PY'
import http.client, os, sys
c = http.client.HTTPConnection(sys.argv[1], 443, timeout=5)
n = 0
while not os.path.exists(sys.argv[2]):
    c.request("GET", "/")
    assert c.getresponse().read() == b"hello"
    c.close() if n % 2 else None
    n += 1
    n == 1 and print("goes on", flush=True)
print("steady", n)
PY
	in_ns a python3 "$WORK/steady.py" $OUT4 "$WORK/enough" >"$WORK/steady" 2>&1 &
	local steady=$! i
	tap_need 60 grep -q 'goes on' "$WORK/steady"
	for i in 1 2 3 4 5 6; do
		hoody firewall apply -c $A "$WORK/10000.json" >/dev/null &&
			hoody firewall apply -c $A "$WORK/16384.json" >/dev/null || echo failed >"$WORK/swap"
	done
	touch "$WORK/enough"
	wait $steady
	tap_like many_replacing_loses_no_allowed_packet "$(cat "$WORK/steady" "$WORK/swap" 2>/dev/null)" '^steady [1-9][0-9]*$'
	tap_run many_reset_is_quick hoody firewall reset -c $A
}

# --- root inside tries to get round ------------------------------------------
bypass_send() { in_ns a "$RAW" eth0 "$1" $MAC_A "$(cat /sys/class/net/ha/address)" 10.0.0.2 $OUT4 fd00::2 $OUT6; }
test_bypass() {
	# Everything is open: only what a packet is can be wrong.
	tap_run bypass_open hoody firewall open -c $A
	bypass $A "${BYPASSES[@]}"
	tap_is bypass_drops_are_told "$(hoody firewall drops -c $A | jq -r 'select(.reason == "vlan") | .event + " " + .direction + " " + (.reason_number | tostring)' | head -1)" "firewall_drop egress 3"
	tap_refused bypass_programs_cannot_be_removed_from_inside in_ns a tc filter del dev eth0 egress
}

# --- containers and each other -----------------------------------------------
test_neighbours() {
	tap_run neighbours_before_they_are_containers talk b 10.1.0.3 443
	hoody containers register --id $B --project $PROJECT --netdev hb --address 10.1.0.2 --address fd01::2 --gateway >/dev/null
	hoody containers register --id $C --project $PROJECT --netdev hc --address 10.1.0.3 --address fd01::3 >/dev/null
	hoody containers start $B >/dev/null
	hoody containers start $C >/dev/null
	tap_run neighbours_a_gateway_reaches_its_project talk b 10.1.0.3 443
	tap_run neighbours_a_gateway_reaches_it_in_ipv6 talk b "[fd01::3]" 443
	tap_run neighbours_not_the_other_way dead c 10.1.0.2 443
	tap_run neighbours_others_do_not dead c 10.0.0.2 8000
	hoody firewall reset -c $C >/dev/null
	tap_run neighbours_a_gateway_reaches_a_closed_one talk b 10.1.0.3 443
	hoody firewall ingress create -c $B --action allow --protocol tcp --source container:$C --destination-port 443 >/dev/null
	hoody firewall egress create -c $C --action allow --protocol tcp --destination project:$PROJECT --destination-port 443 >/dev/null
	tap_run neighbours_rules_with_selectors_open talk c 10.1.0.2 443
	tap_is neighbours_explain_gateway "$(hoody firewall explain -c $B --direction egress --protocol udp --to 10.1.0.3:53 --json | jq -r '.verdict + " " + .reason')" "pass gateway"
	# A selector follows the container's addresses.
	in_ns b ip addr del 10.1.0.2/24 dev eth0
	in_ns b ip addr add 10.1.0.9/24 dev eth0
	hoody containers register --id $B --project $PROJECT --netdev hb --address 10.1.0.9 --address fd01::2 --gateway >/dev/null
	tap_run neighbours_selectors_follow_addresses talk c 10.1.0.9 443
	hoody containers register --id $B --project $PROJECT --no-gateway >/dev/null
	tap_run neighbours_no_gateway_any_more dead b 10.1.0.3 443
	hoody containers delete $B >/dev/null
	tap_run neighbours_deleted_is_let_go talk b 10.1.0.1 443
	tap_is neighbours_a_name_that_is_gone_opens_nothing "$(hoody firewall explain -c $C --direction egress --protocol tcp --to 10.1.0.9:443 --json | jq -r .verdict)" drop
}

# --- learning ----------------------------------------------------------------
learned() { hoody firewall learn -c $A | jq -c '[.rules[] | [.direction, .protocol, .destination // .source, .destination_port]] | sort'; }
learned_both() { [ "$(learned)" = "[[\"egress\",\"tcp\",\"$OUT4/32\",80],[\"ingress\",\"tcp\",\"$OUT4/32\",8000]]" ]; }
test_learn() {
	hoody firewall reset -c $A >/dev/null
	hoody firewall egress create -c $A --action allow --protocol tcp --destination $OUT4 --destination-port 443 >/dev/null
	tap_run learn_on hoody firewall learn -c $A --on
	tap_run learn_lets_pass talk a $OUT4 80
	tap_run learn_lets_come_in talk out 10.0.0.2 8000
	tap_run learn_what_rules_allow_is_not_learned talk a $OUT4 443
	tap_run learn_proposes_the_rules tap_wait 30 learned_both
	hoody firewall learn -c $A | jq '{rules}' >"$WORK/learned.json"
	tap_run learn_off hoody firewall learn -c $A --off
	tap_run learn_off_denies dead a $OUT4 80
	tap_run learn_proposal_is_applied hoody firewall apply -c $A "$WORK/learned.json"
	tap_run learn_proposal_allows_it talk a $OUT4 80
	tap_run learn_proposal_allows_no_more dead a $OUT4 443
}

# --- new flows, where they are asked for ---------------------------------------
flows() { hoody logs firewall -c $A | jq -c "select(.event == \"firewall_flow\") | select($1)"; }
told() { [ -n "$(flows "$1")" ]; }
flows_limited() { hoody firewall show -c $A --json | jq -e '.flow_events_limited > 0' >/dev/null; }
test_flows() {
	hoody firewall reset -c $A >/dev/null
	hoody firewall egress create -c $A --action allow --protocol any --destination $OUT4 >/dev/null
	hoody firewall ingress create -c $A --action allow --protocol tcp --source 192.0.2.0/24 --destination-port 8000 >/dev/null
	local out in
	out=$(hoody firewall egress list -c $A --json | jq '.[0].id')
	in=$(hoody firewall ingress list -c $A --json | jq '.[0].id')
	talk a $OUT4 443
	tap_is flows_are_not_told_unasked "$(flows true)" ""
	tap_run flows_on hoody firewall set -c $A --log-flows on
	talk a $OUT4 443
	tap_run flows_from_the_container tap_wait 30 told ".direction == \"egress\" and .rule == $out and .protocol == \"tcp\" and .source == \"10.0.0.2\" and .source_port > 0 and .destination == \"$OUT4\" and .destination_port == 443 and .opened_by == \"container\""
	talk out 10.0.0.2 8000
	tap_run flows_from_outside tap_wait 30 told ".direction == \"ingress\" and .rule == $in and .source == \"$OUT4\" and .destination_port == 8000 and .opened_by == \"outside\""
	# A port that it has no idle connection to.
	through_agent $A 80
	tap_run flows_of_the_agent tap_wait 30 told '.direction == "ingress" and .rule == null and .destination_port == 80 and .opened_by == "agent"'
	dead a 192.0.2.11 443
	# shellcheck disable=SC2329
	both() { hoody logs firewall -c $A | jq -es 'map(.sequence) as $s | $s == ($s | sort) and any(.event == "firewall_drop" and .destination == "192.0.2.11") and any(.event == "firewall_flow")' >/dev/null; }
	tap_run flows_stand_among_the_drops_in_order tap_wait 30 both
	tap_is flows_a_drop_is_no_flow "$(flows '.destination == "192.0.2.11"')" ""
	tap_is flows_are_no_drops "$(hoody firewall drops -c $A | jq -c 'select(.event == "firewall_flow")')" ""
	tap_is flows_stay_on_behind_a_reset "$(hoody firewall reset -c $A --json | jq .log_flows)" true
	hoody firewall egress create -c $A --action allow --protocol udp --destination $OUT4 >/dev/null
	# More of them than are told, while one drop is: it is told all the same.
	in_ns a python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range(20000, 20900): s.sendto(b'x', ('$OUT4', port))
s.sendto(b'x', ('192.0.2.11', 777))"
	tap_run flows_that_are_too_many_are_counted tap_wait 30 flows_limited
	drop_is_told() { hoody firewall drops -c $A | jq -e 'select(.destination_port == 777)' >/dev/null; }
	tap_run flows_never_hide_a_drop tap_wait 30 drop_is_told
	refuses log_flows 422 log_flows "" '{"log_flows":1}' PATCH
	hoody firewall set -c $A --log-flows off >/dev/null
	local before
	before=$(flows true | tail -1)
	hoody firewall egress create -c $A --action allow --protocol tcp --destination $OUT4 --destination-port 80 >/dev/null
	talk a $OUT4 80
	dead a $OUT4 444
	drop_behind() { hoody firewall drops -c $A | jq -e 'select(.destination_port == 444)' >/dev/null; }
	tap_run flows_off_drops_are_told_on tap_wait 30 drop_behind
	tap_is flows_off_tells_none_any_more "$(flows true | tail -1)" "$before"
}

# --- the agent goes, the rules stay ------------------------------------------
test_survives() {
	local before
	hoody firewall reset -c $A >/dev/null
	hoody firewall egress create -c $A --action allow --protocol tcp --destination $OUT4 --destination-port 443 >/dev/null
	talk a $OUT4 443
	before=$(hoody firewall egress list -c $A --json | jq '.[0].packets')
	kill -KILL $AGENT_PID
	wait $AGENT_PID 2>/dev/null
	tap_run killed_allows_what_was_allowed talk a $OUT4 443
	tap_run killed_denies_what_was_denied dead a $OUT4 80
	tap_run killed_denies_ingress dead out 10.0.0.2 8000
	start_agent
	tap_is killed_taken_over "$(state_of $A)" enforced
	tap_is killed_counters_go_on "$(hoody firewall egress list -c $A --json | jq ".[0].packets > $before")" true
	tap_run killed_still_allows talk a $OUT4 443
	tap_run killed_still_denies dead a $OUT4 80
	tap_run killed_clients_get_through through_agent $A 8000
	tap_run killed_can_be_changed hoody firewall egress create -c $A --action allow --protocol tcp --destination $OUT4 --destination-port 80
	tap_run killed_change_holds talk a $OUT4 80
	# The interface is made anew: its rules come back with it.
	ip link del ha
	ip link add ha type veth peer name eth0 netns a address $MAC_A
	in_ns a ip link set eth0 up
	ip link set ha up
	ip addr add 10.0.0.1/24 dev ha
	in_ns a ip addr add 10.0.0.2/24 dev eth0
	in_ns a ip route add default via 10.0.0.1
	attached() { [ -e "$PINS/links/$(cat /sys/class/net/ha/ifindex)-egress" ] && state_is $A enforced; }
	tap_run again_attached_by_itself tap_wait 30 attached
	tap_run again_allows tap_wait 30 talk a $OUT4 443
	tap_run again_denies dead a $OUT4 8000
	hoody containers stop $A >/dev/null
	tap_is stopped_nothing_is_attached "$(find $PINS/links -name "$(cat /sys/class/net/ha/ifindex)-*" | wc -l)" 0
	tap_is stopped_is_idle "$(state_of $A)" idle
	hoody containers start $A >/dev/null
	tap_run started_again_denies dead a $OUT4 8000
}

# --- where it cannot be enforced ---------------------------------------------
test_refuses() {
	local D=d00000000000000000000001
	kill -TERM $AGENT_PID
	wait $AGENT_PID
	config 's,^pins = .*,pins = /tmp/no-bpf,'
	hoody_refusal() { hoody containers start "$1" 2>&1; }
	start_agent
	tap_like unable_a_container_with_rules_does_not_start "$(hoody_refusal $A)" 'not_enforceable'
	tap_run unable_what_is_in_force_stays dead a $OUT4 8000
	hoody containers register --id $D --project $OTHER --netdev hb --address 10.1.0.9 >/dev/null
	tap_run unable_one_without_rules_starts hoody containers start $D
	tap_is unable_and_says_so "$(state_of $D)" off
	tap_like unable_rules_are_refused "$(hoody firewall reset -c $D 2>&1)" 'cannot be enforced'
	hoody containers stop $D >/dev/null
	hoody containers register --id $D --project $OTHER --name bare >/dev/null
	tap_run unable_rules_of_a_stopped_one_are_kept hoody firewall reset -c $D
	tap_like unable_it_does_not_start_then "$(hoody_refusal $D)" 'not_enforceable'
	kill -TERM $AGENT_PID
	wait $AGENT_PID
	config 's,^pins = .*,pins = /tmp/no-bpf,' 's,^\[firewall\],&\nenabled = off,'
	start_agent
	tap_like off_a_container_with_rules_does_not_start "$(hoody_refusal $D)" 'switched off'
	kill -TERM $AGENT_PID
	wait $AGENT_PID
}

# shellcheck disable=SC2016
caps() { awk '/^CapEff/ { print $2 }' "/proc/$1/status"; }

tap_plan 181
network
server out 80 443 8000
server a 80 8000
server b 443
server c 443
python3 "$WORK/server.py" 443 >"$WORK/server" 2>&1 &
tap_cleanup "kill $!"
tap_up 127.0.0.1/443 "$WORK/server"
config
start_agent
test_open
tap_is worker_has_no_capability "$(caps "$(hoody status --json | jq .worker.pid)")" 0000000000000000
tap_is control_has_bpf_and_not_admin "$((16#$(caps $AGENT_PID) >> 39 & 1)) $((16#$(caps $AGENT_PID) >> 21 & 1))" "1 0"
test_seeds
test_rules
test_bad_input
test_edges
test_many
test_bypass
test_neighbours
test_learn
test_flows
test_survives
test_refuses
tap_done
