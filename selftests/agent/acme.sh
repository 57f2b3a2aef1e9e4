#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Certificates from an authority: Caddy's ACME server issues to uacme by both kinds
# of challenge, which the worker answers; renewal in time and on demand, an
# authority that is gone, a restart, and domains that come and go. In network and
# mount namespaces of its own: authorities ask on ports 80 and 443.
# shellcheck source=../lib/tap.sh
if [ -z "${ACME_NAMESPACE:-}" ] && [ "$(id -u)" = 0 ]; then
	exec env ACME_NAMESPACE=1 unshare --net --mount "$0" "$@"
fi
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need namespaces
for program in caddy uacme; do
	command -v $program >/dev/null || tap_skip_all "$program is not installed"
done

PROJECT=67e89abc123def456789abcd
CONTAINER_ID=890abcdef12345678901cdef
OTHER=990abcdef12345678901cdef
BASE=node-us.containers.test

tap_plan 41

ip link set lo up
printf '127.0.0.1 localhost shop.example mail.example lost.example file.example ca.test\n' >"$WORK/hosts"
mount --bind "$WORK/hosts" /etc/hosts

# --- the authority -------------------------------------------------------------------------
cat >"$WORK/caddy.json" <<JSON
{ "admin": { "disabled": true },
  "storage": { "module": "file_system", "root": "$WORK/ca" },
  "apps": {
    "pki": { "certificate_authorities": { "local": { "name": "Test", "install_trust": false } } },
    "tls": { "automation": { "policies": [ { "subjects": [ "ca.test" ], "issuers": [ { "module": "internal" } ] } ] } },
    "http": { "servers": { "ca": { "listen": [ "127.0.0.1:14000" ],
      "automatic_https": { "disable_redirects": true },
      "tls_connection_policies": [ {} ],
      "routes": [ { "match": [ { "host": [ "ca.test" ] } ], "terminal": true,
        "handle": [ { "handler": "acme_server", "ca": "local" } ] } ] } } } } }
JSON
CADDY_PID=
ca_up() { curl -s --cacert "$WORK/root.pem" --max-time 5 https://ca.test:14000/acme/local/directory | grep -q newOrder; }
ca_root() { find "$WORK/ca" -name root.crt 2>/dev/null | grep -q . && cp "$(find "$WORK/ca" -name root.crt)" "$WORK/root.pem" && chmod 644 "$WORK/root.pem"; }
# The same one, out of order: uacme gives up at once, where a connection that is refused
# costs it three attempts and pauses between.
sed 's/{ "handler": "acme_server", "ca": "local" }/{ "handler": "static_response", "status_code": 503 }/' \
	"$WORK/caddy.json" >"$WORK/sick.json"
ca_sick() { [ "$(curl -s --cacert "$WORK/root.pem" --max-time 5 -o /dev/null -w '%{http_code}' https://ca.test:14000/acme/local/directory)" = 503 ]; }
start_ca() { # CONFIG CONDITION
	HOME=$WORK XDG_DATA_HOME=$WORK/ca caddy run --config "$WORK/$1.json" >>"$WORK/caddy.log" 2>&1 &
	CADDY_PID=$!
	tap_wait 60 ca_root && tap_wait 60 "$2" || tap_bail "the authority does not start: $(tail -5 "$WORK/caddy.log")"
}
stop_ca() { kill $CADDY_PID && wait $CADDY_PID 2>/dev/null; }
tap_cleanup 'kill -KILL $CADDY_PID'
start_ca caddy ca_up

# --- the agent -----------------------------------------------------------------------------
self_signed "$WORK/node" "DNS:*.$BASE"
mkdir "$WORK/certs"
write_config() { # CHALLENGE [RETRY]
	cat >"$WORK/agent.conf" <<CONF
[agent]
node = node-us
base_domain = containers.test
state_directory = $WORK/state
control_socket = $WORK/control.sock
threads = 2
real_ip = off
[firewall]
enabled = off
[listen]
tls = 127.0.0.1:443
http = 127.0.0.1:80
[tls]
certificate = $WORK/node.crt
key = $WORK/node.key
directory = $WORK/certs
[acme]
directory = https://ca.test:14000/acme/local/directory
contact = admin@example.org
agree = on
ca_file = $WORK/root.pem
challenge = $1
retry = ${2:-1s}
CONF
}
# As its unit has it: root, and not above files of others.
start_bounded() { start_agent setpriv --bounding-set -chown,-dac_override,-fowner; }
entry() { hoody proxy certificates --json | jq -r ".[] | select(.name == \"$1\") | $2"; }
entry_is() { [ "$(entry "$1" "$2")" = "$3" ]; }
page() { # NAME [CURL-OPTION...]
	local name=$1
	shift
	curl -s --cacert "$WORK/root.pem" --max-time 30 -o /dev/null -w '%{http_code}' "$@" "https://$name/"
}
# The app is not there: what counts is that TLS has succeeded.
verified() { [ "$(page "$1")" = 503 ]; }
serial() { openssl s_client -connect 127.0.0.1:443 -servername "$1" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
show_log() { tail -8 "$WORK/log" | sed 's/^/# /'; }

sed 's/agree = on/agree = off/' <(write_config auto; cat "$WORK/agent.conf") >"$WORK/disagree.conf"
tap_like terms_have_to_be_agreed_to "$("$AGENT" --config "$WORK/disagree.conf" --check 2>&1)" '\[acme\] agree: is off'
sed 's|directory = https:|directory = http:|' "$WORK/agent.conf" >"$WORK/plain.conf"
tap_like authority_is_asked_over_tls "$("$AGENT" --config "$WORK/plain.conf" --check 2>&1)" 'neither none nor a URL'

write_config http-01
start_bounded
tap_is nothing_is_ordered_without_a_domain "$(hoody proxy certificates --json | jq -r '[.[].source] | join(" ")')" node
hoody containers register --id $CONTAINER_ID --project $PROJECT --realm acme >/dev/null
hoody containers register --id $OTHER --project 77e89abc123def456789abcd --realm other >/dev/null
hoody proxy create -c $CONTAINER_ID --alias shop --program http --index 1 --domain shop.example >/dev/null
tap_run http_challenge_is_answered tap_wait 60 entry_is shop.example .state valid || show_log
tap_run client_verifies_it tap_wait 60 verified shop.example
verified_http3() { [ "$(page "$1" --http3-only)" = 503 ]; }
tap_run http3_too tap_wait 60 verified_http3 shop.example
tap_like key_is_out_of_reach "$(stat -c '%a %U' "$WORK/state" "$WORK/state/acme" "$WORK/state/acme/private/shop.example/key.pem" | tr '\n' ' ')" '^700 root 700 hoody 400 hoody'
tap_is it_is_for_this_name_alone "$(entry shop.example '.names | join(" ")')" shop.example
tap_like it_says_when_it_will_be_renewed "$(entry shop.example .next)" '^20[0-9-]+T'
tap_is challenge_is_taken_back "$(curl -s -o /dev/null -w '%{http_code}' -H 'Host: shop.example' http://127.0.0.1/.well-known/acme-challenge/x)" 404
tap_is other_names_keep_the_nodes "$(openssl s_client -connect 127.0.0.1:443 -servername x.$BASE </dev/null 2>/dev/null | openssl x509 -noout -subject | sed 's/.*CN *= *//')" node
account=$(sha256sum "$WORK/state/acme/private/key.pem")

# A certificate that has most of its life behind it: that of this authority lives 12 h.
# Another one than OLD, and from the authority: the node's is none.
new_serial() { # NAME OLD
	local now
	now=$(serial "$1") && [ -n "$now" ] && [ "$now" != "$2" ] && verified "$1"
}
stamp() { date -u -d "$1" +%Y%m%d%H%M%SZ; }
stop_agent
openssl req -x509 -key "$WORK/state/acme/private/shop.example/key.pem" -subj /CN=old -addext "subjectAltName=DNS:shop.example" \
	-not_before "$(stamp '-60 days')" -not_after "$(stamp '+10 days')" -out "$WORK/old.pem" 2>/dev/null
cat "$WORK/old.pem" >"$WORK/state/acme/shop.example/cert.pem"
old=$(openssl x509 -noout -serial -in "$WORK/old.pem")
start_bounded
tap_run two_thirds_are_over_and_it_is_renewed tap_wait 60 new_serial shop.example "$old" || show_log
tap_run renewed_one_is_verified tap_wait 60 verified shop.example
first=$(serial shop.example)

# --- the other challenge ----------------------------------------------------------------
write_config tls-alpn-01
kill -HUP $AGENT_PID
reloads() { [ "$(grep -c 'reloaded: worker=' "$WORK/log")" -ge "$1" ]; }
tap_run reloaded tap_wait 30 reloads 1
hoody proxy create -c $OTHER --alias mail --program http --index 1 --domain mail.example >/dev/null
tap_run alpn_challenge_is_answered tap_wait 60 entry_is mail.example .state valid || show_log
tap_run client_verifies_that_too tap_wait 60 verified mail.example
tap_is account_is_the_same "$(sha256sum "$WORK/state/acme/private/key.pem")" "$account"
second=$(serial mail.example)
tap_run renewal_on_demand hoody proxy certificates renew mail.example
tap_run and_it_comes tap_wait 60 new_serial mail.example "$second"
tap_refused unknown_domain_is_not_renewed hoody proxy certificates renew nobody.example
tap_like table_for_people "$(hoody proxy certificates)" 'shop.example +acme +(valid|renewing) '
recorded() { hoody logs query --json -n 1000 | jq -r '.[] | select(.method == "CERTIFICATE") | .outcome + " " + .path' | grep -qx "$1"; }
tap_run issue_is_recorded tap_wait 30 recorded "issued /mail.example"
tap_run renewal_is_recorded tap_wait 30 recorded "renewed /shop.example"
tap_like metrics_have_the_expiry "$(curl -s --unix-socket "$WORK/control.sock" http://agent/metrics)" 'hoody_certificate_expiry_timestamp_seconds\{name="mail.example",source="acme"\} [0-9]{10}'
tap_run metrics_are_well_formed sh -c "curl -s --unix-socket '$WORK/control.sock' http://agent/metrics | promtool check metrics"

# --- an authority that is gone ----------------------------------------------------------
stop_ca
hoody proxy create -c $CONTAINER_ID --alias lost --program http --index 1 --domain lost.example >/dev/null
# Meanwhile a file takes an order's place, which needs no authority.
self_signed "$WORK/own" DNS:mail.example
cat "$WORK/own.crt" "$WORK/own.key" >"$WORK/certs/mail.pem"
only_file() { [ "$(hoody proxy certificates --json | jq -r '[.[] | select(.names | index("mail.example")) | .source] | join(" ")')" = file ]; }
tap_run file_takes_an_orders_place tap_wait 30 only_file
own() { openssl s_client -connect 127.0.0.1:443 -servername mail.example </dev/null 2>/dev/null | openssl x509 -noout -subject | grep -q own; }
tap_run and_is_served tap_wait 30 own
rm "$WORK/certs/mail.pem"
tap_run without_it_the_issued_one_is_back tap_wait 60 verified mail.example
failed() { [ "$(entry lost.example .failures)" -ge "$1" ]; }
tap_run failure_is_counted tap_wait 90 failed 1 || show_log
tap_like and_says_why "$(grep -m 1 'not issued: domain=lost.example' "$WORK/log")" 'failures=1 .*error="uacme: failed to fetch directory'
tap_run failure_is_recorded tap_wait 30 recorded "failed /lost.example"
start_ca sick ca_sick
tap_run failures_are_counted tap_wait 120 failed 2 || show_log
# The pause doubles, whatever else is late.
tap_like pause_grows "$(grep 'certificate not issued: domain=lost.example' "$WORK/log" | sed 's/.*again_s=\([0-9]*\).*/\1/' | head -2 | tr '\n' ' ')" '^1 2 '
tap_is traffic_goes_on "$(curl -sk --max-time 30 -o /dev/null -w '%{http_code}' https://shop.example/)" 503
tap_is without_a_certificate_the_nodes_is_served "$(openssl s_client -connect 127.0.0.1:443 -servername lost.example </dev/null 2>/dev/null | openssl x509 -noout -subject | sed 's/.*CN *= *//')" node
stop_agent
write_config auto
start_bounded
tap_run restart_remembers_failures tap_wait 30 failed 2
stop_ca
start_ca caddy ca_up
tap_run and_it_is_issued_once_the_authority_is_back tap_wait 180 entry_is lost.example .state valid || show_log
tap_is what_is_not_due_is_not_renewed "$(serial shop.example)" "$first"
tap_is account_is_still_the_same "$(sha256sum "$WORK/state/acme/private/key.pem")" "$account"

# --- domains that come and go -----------------------------------------------------------
hoody proxy delete lost >/dev/null
gone() { [ -z "$(entry "$1" .state)" ]; }
tap_run domain_without_alias_is_forgotten tap_wait 30 gone lost.example
nodes() { openssl s_client -connect 127.0.0.1:443 -servername "$1" </dev/null 2>/dev/null | openssl x509 -noout -subject | grep -q 'CN *= *node$'; }
tap_run and_not_served tap_wait 30 nodes lost.example

tap_done
