// SPDX-License-Identifier: Apache-2.0
/* Tunnels and the host's packet filter for them, see tunnel.h. */
#include "control/tunnel.h"

#include "kernel/nft.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/sha.h>

#define ALIAS		"hoody exit "	/* and the hash in hex */
#define MARK(index)	(FW_TUNNEL_MARK | (index) << FW_TUNNEL_MARK_SHIFT)
/* WireGuard's own: a session without a new handshake ends after that time. */
#define SESSION_S	180
/* Four handshakes, and what a slow peer needs. */
#define FIRST_S		25

struct tunnels {
	struct tunnel	*by_index[FW_TUNNELS_MAX + 1];
	bool		swept;		/* what an earlier agent left has been seen */
	bool		filter;		/* the rules say what by_index does */
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct tunnels *tunnels_create(void)
{
	return calloc(1, sizeof(struct tunnels));
}

static void free_tunnel(struct tunnel *tunnel)
{
	if (tunnel)
		explicit_bzero(tunnel, sizeof(*tunnel));
	free(tunnel);
}

void tunnels_destroy(struct tunnels *tunnels)
{
	if (!tunnels)
		return;
	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++)
		free_tunnel(tunnels->by_index[i]);
	free(tunnels);
}

void tunnel_hash(const char *text, size_t len, uint8_t hash[TUNNEL_HASH_LEN])
{
	SHA256((const unsigned char *)text, len, hash);
}

static void format_alias(const uint8_t hash[TUNNEL_HASH_LEN], char alias[KNL_TUNNEL_ALIAS_MAX])
{
	size_t used = (size_t)snprintf(alias, KNL_TUNNEL_ALIAS_MAX, ALIAS);

	for (size_t i = 0; i < TUNNEL_HASH_LEN; i++)
		used += (size_t)snprintf(alias + used, KNL_TUNNEL_ALIAS_MAX - used, "%02x", hash[i]);
}

struct tunnel *tunnels_at(const struct tunnels *tunnels, unsigned int index)
{
	return tunnels && index <= FW_TUNNELS_MAX ? tunnels->by_index[index] : NULL;
}

struct tunnel *tunnels_find(const struct tunnels *tunnels, const uint8_t hash[TUNNEL_HASH_LEN])
{
	for (unsigned int i = 1; tunnels && i <= FW_TUNNELS_MAX; i++) {
		struct tunnel *tunnel = tunnels->by_index[i];

		if (tunnel && !memcmp(tunnel->hash, hash, TUNNEL_HASH_LEN))
			return tunnel;
	}
	return NULL;
}

static const struct address *server_of(const struct wireguard_file *file, sa_family_t family)
{
	for (unsigned int i = 0; i < file->dns_count; i++) {
		if (file->dns[i].family == family)
			return &file->dns[i];
	}
	return NULL;
}

/* A container's questions, whatever resolver it names, go to the tunnel's. */
static void write_dns(FILE *out, const struct tunnel *tunnel)
{
	static const struct {
		sa_family_t	family;
		const char	*name;
	} families[] = { { AF_INET, "ip" }, { AF_INET6, "ip6" } };
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const struct address *server = server_of(&tunnel->file, families[i].family);

		if (!server)
			continue;
		address_format(server, text);
		fprintf(out, "meta nfproto %s meta mark & 0x%x == 0x%x meta l4proto { tcp, udp } "
			"th dport 53 dnat %s to %s\n",
			families[i].family == AF_INET ? "ipv4" : "ipv6", FW_TUNNEL_MARK_MASK,
			MARK(tunnel->index), families[i].name, text);
	}
}

/*
 * The table is the second line behind the routing rules: what is marked leaves by
 * its tunnel or is dropped, also where somebody took a rule away. It reaches no
 * service of the host, and nobody comes in by a tunnel: to the host itself come the
 * answers to what the relay has asked by it, and nothing else. A connection that was there
 * before its container got the tunnel has no translated address: it is reset.
 */
static void write_filter(const struct tunnels *tunnels, FILE *out)
{
	const struct tunnel *tunnel;

	fprintf(out, "add table inet hoody_exits\ndelete table inet hoody_exits\n"
		"table inet hoody_exits {\n"
		"chain names {\ntype nat hook prerouting priority dstnat - 5\n");
	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		if (tunnels->by_index[i])
			write_dns(out, tunnels->by_index[i]);
	}
	fprintf(out, "}\nchain host {\ntype filter hook input priority filter - 5\n"
		"meta mark & 0x%x == 0x%x counter drop\n"
		"iifname \"" KNL_TUNNEL_PREFIX "*\" ct direction reply "
		"ct state { established, related } return\n"
		"iifname \"" KNL_TUNNEL_PREFIX "*\" counter drop\n}\n", FW_MARK_MASK,
		FW_TUNNEL_MARK);
	fprintf(out, "chain way {\ntype filter hook forward priority filter - 5\n"
		"iifname \"" KNL_TUNNEL_PREFIX "*\" ct state != { established, related } "
		"counter drop\n"
		"meta mark & 0x%x != 0x%x return\n"
		"ct state established ct status & snat == 0 meta l4proto tcp counter "
		"reject with tcp reset\n"
		"ct state { established, invalid } ct status & snat == 0 counter drop\n"
		"tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu\n",
		FW_MARK_MASK, FW_TUNNEL_MARK);
	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		tunnel = tunnels->by_index[i];
		if (tunnel)
			fprintf(out, "meta mark & 0x%x == 0x%x oifname \"" KNL_TUNNEL_PREFIX
				"%u\" return\n", FW_TUNNEL_MARK_MASK, MARK(i), i);
	}
	fprintf(out, "counter drop\n}\nchain addresses {\n"
		"type nat hook postrouting priority srcnat - 5\n"
		"meta mark & 0x%x == 0x%x masquerade\n}\n}\n", FW_MARK_MASK, FW_TUNNEL_MARK);
}

/* All tunnels' rules, in one step. The table stays when there is none: it only drops. */
static int set_filter(struct tunnels *tunnels, char *fault, size_t fault_size)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int ret = -ENOMEM;

	snprintf(fault, fault_size, "out of memory");
	if (out) {
		write_filter(tunnels, out);
		if (!fclose(out))
			ret = knl_nft_run(text, fault, fault_size);
	}
	free(text);
	tunnels->filter = !ret;
	return ret;
}

static void fill_peers(const struct tunnel *tunnel, struct knl_tunnel_peer *peers)
{
	const struct wireguard_file *file = &tunnel->file;

	_Static_assert(sizeof(struct wireguard_prefix) == sizeof(struct knl_tunnel_prefix),
		       "one and the same");
	for (uint32_t i = 0; i < file->peers_count; i++) {
		const struct wireguard_peer *peer = &file->peers[i];

		peers[i] = (struct knl_tunnel_peer){
			.public_key = peer->public_key,
			.preshared_key = peer->has_preshared_key ? peer->preshared_key : NULL,
			.endpoint = peer->host[0] ? tunnel->places[i].at : peer->endpoint,
			.keepalive = peer->keepalive,
			.allowed_count = peer->allowed_count,
			.allowed = (const struct knl_tunnel_prefix *)peer->allowed,
		};
	}
}

static const char *error_text(int error)
{
	if (error == -EOPNOTSUPP)
		return "the kernel has no WireGuard: modprobe wireguard";
	return strerror(-error);
}

/* Interface, routing and filter as they have to be. 0 or -errno with tunnel->fault. */
static int set_up(struct tunnels *tunnels, struct tunnel *tunnel)
{
	struct knl_tunnel_peer peers[WIREGUARD_PEERS_MAX];
	const struct wireguard_file *file = &tunnel->file;
	char alias[KNL_TUNNEL_ALIAS_MAX];
	const bool was_ready = tunnel->ready;
	int ret;

	format_alias(tunnel->hash, alias);
	tunnel_places_keep(tunnel);
	fill_peers(tunnel, peers);
	/* The filter first: without it nothing may be routed by a mark. */
	ret = tunnels->filter ? 0 : set_filter(tunnels, tunnel->fault, sizeof(tunnel->fault));
	if (!ret) {
		ret = knl_tunnel_set(&(struct knl_tunnel){
			.index = tunnel->index, .alias = alias, .private_key = file->private_key,
			.listen_port = file->listen_port, .mtu = file->mtu,
			.addresses_count = file->addresses_count, .addresses = file->addresses,
			.peers_count = file->peers_count, .peers = peers });
		if (ret)
			snprintf(tunnel->fault, sizeof(tunnel->fault),
				 "the tunnel cannot be made: %s", error_text(ret));
	}
	tunnel->ready = !ret;
	if (!ret)
		tunnel->fault[0] = '\0';
	if (was_ready != tunnel->ready || !tunnel->since_us)
		tunnel->since_us = now_us();
	return ret;
}

struct search {
	char		alias[KNL_TUNNEL_ALIAS_MAX];
	unsigned int	index;
	bool		taken[FW_TUNNELS_MAX + 1];	/* the host has it */
};

static void match(void *context, unsigned int index, const char *alias)
{
	struct search *search = context;

	search->taken[index] = true;
	if (!strcmp(alias, search->alias))
		search->index = index;
}

/*
 * The number that an earlier agent gave it, so that what is open goes on; else one
 * that nobody has: policies of that agent may still name the others.
 */
static unsigned int choose_index(const struct tunnels *tunnels, const uint8_t hash[TUNNEL_HASH_LEN])
{
	struct search search = { .index = 0 };

	format_alias(hash, search.alias);
	if (!knl_tunnels(match, &search) && search.index && !tunnels->by_index[search.index])
		return search.index;
	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		if (!tunnels->by_index[i] && !search.taken[i])
			return i;
	}
	return 0;
}

struct tunnel *tunnels_need(struct tunnels *tunnels, const char *text,
			    const uint8_t hash[TUNNEL_HASH_LEN], char *fault, size_t fault_size)
{
	struct tunnel *tunnel = tunnels_find(tunnels, hash);
	int ret;

	if (!tunnel) {
		tunnel = calloc(1, sizeof(*tunnel));
		if (!tunnel) {
			snprintf(fault, fault_size, "out of memory");
			errno = ENOMEM;
			return NULL;
		}
		memcpy(tunnel->hash, hash, TUNNEL_HASH_LEN);
		tunnel->index = choose_index(tunnels, hash);
		ret = wireguard_file_parse(text, strlen(text), &tunnel->file, fault, fault_size);
		if (!ret && !tunnel->index) {
			snprintf(fault, fault_size, "there are %d tunnels: no more fit",
				 FW_TUNNELS_MAX);
			ret = -ENOSPC;
		}
		if (ret) {
			free_tunnel(tunnel);
			errno = -ret;
			return NULL;
		}
		tunnels->by_index[tunnel->index] = tunnel;
		tunnels->filter = false;
	}
	ret = tunnel->ready ? 0 : set_up(tunnels, tunnel);
	tunnel->wanted = true;
	if (!ret)
		return tunnel;
	snprintf(fault, fault_size, "%s", tunnel->fault);
	errno = -ret;
	return NULL;
}

void tunnels_begin(struct tunnels *tunnels)
{
	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		if (tunnels->by_index[i])
			tunnels->by_index[i]->wanted = false;
	}
}

static void sweep(void *context, unsigned int index, const char *alias)
{
	const struct tunnels *tunnels = context;

	if (tunnels->by_index[index] || strncmp(alias, ALIAS, strlen(ALIAS)))
		return;
	log_info("event=tunnel_removed interface=" KNL_TUNNEL_PREFIX "%u reason=\"no exit of a "
		 "running container\"", index);
	knl_tunnel_remove(index);
}

void tunnels_end(struct tunnels *tunnels)
{
	char fault[192];
	bool changed = false;

	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		struct tunnel *tunnel = tunnels->by_index[i];

		if (!tunnel || tunnel->wanted)
			continue;
		tunnels->by_index[i] = NULL;
		knl_tunnel_remove(i);
		free_tunnel(tunnel);
		changed = true;
	}
	/* What an earlier agent left; a look at the links, once. */
	if (!tunnels->swept)
		tunnels->swept = !knl_tunnels(sweep, tunnels);
	if (changed && set_filter(tunnels, fault, sizeof(fault)))
		log_warning("the packet filter keeps rules of a tunnel that is gone: error=\"%s\"",
			    fault);
}

bool tunnels_repair(struct tunnels *tunnels)
{
	bool made = false;

	for (unsigned int i = 1; i <= FW_TUNNELS_MAX; i++) {
		struct tunnel *tunnel = tunnels->by_index[i];
		bool was_ready;

		if (!tunnel || (tunnel->ready && knl_tunnel_is_up(i)))
			continue;
		was_ready = tunnel->ready;
		if (was_ready)
			log_warning("event=tunnel_lost interface=" KNL_TUNNEL_PREFIX "%u", i);
		/* Somebody was at work here: the filter may be gone as well. */
		tunnels->filter = false;
		if (!set_up(tunnels, tunnel))
			made = true;
		else if (was_ready)
			log_error("a tunnel cannot be made again: interface=" KNL_TUNNEL_PREFIX
				  "%u error=\"%s\"", i, tunnel->fault);
	}
	return made;
}

static enum tunnel_health judge(const struct tunnel *tunnel, const struct knl_tunnel_stats *stats,
				const char **fault)
{
	const int64_t age = stats->last_handshake ? (int64_t)time(NULL) - stats->last_handshake : -1;
	bool keepalive = false;

	*fault = NULL;
	if (!tunnel->ready) {
		*fault = tunnel->fault;
		return TUNNEL_DOWN;
	}
	if (age >= 0 && age <= SESSION_S)
		return TUNNEL_UP;
	if (tunnel_lacks_place(tunnel)) {
		*fault = "name";
		return TUNNEL_DOWN;
	}
	for (uint32_t i = 0; i < tunnel->file.peers_count; i++)
		keepalive |= tunnel->file.peers[i].keepalive && tunnel->file.peers[i].endpoint.port;
	/* Without keepalive an idle tunnel says nothing. */
	if (!keepalive || (age < 0 && now_us() - tunnel->since_us < FIRST_S * 1000000ull))
		return TUNNEL_UNKNOWN;
	*fault = "handshake";
	return TUNNEL_DOWN;
}

enum tunnel_health tunnel_health(struct tunnel *tunnel, const struct knl_tunnel_stats *stats,
				 const char **fault)
{
	const enum tunnel_health health = judge(tunnel, stats, fault);

	if (health == TUNNEL_DOWN) {
		snprintf(tunnel->last_fault, sizeof(tunnel->last_fault), "%s", *fault);
		tunnel->fault_at = time(NULL);
	}
	if (tunnel->health != health || !tunnel->health_since)
		tunnel->health_since = time(NULL);
	tunnel->health = health;
	return health;
}
