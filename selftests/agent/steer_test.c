/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steering program of QUIC on real sockets: four threads and four slots in
 * one group, datagrams from many addresses, and which socket has them.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/listen.h"
#include "control/steer.h"
#include "lib/quic_cid.h"
#include "tap.h"

#define THREADS	4
#define SOCKETS	(THREADS * LISTEN_SLOTS)
#define PORT	18999

static int sender;

/* The number of the socket that gets @bytes, from 127.0.0.@host; -1: none. */
static int socket_of(const struct listen_set *set, const uint8_t *bytes, size_t len, int host)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 | host)};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct pollfd fds[SOCKETS];
	char received[2048];
	int i, found = -1;

	sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sender < 0 || bind(sender, (struct sockaddr *)&from, sizeof(from)) ||
	    sendto(sender, bytes, len, 0, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)len) {
		tap_note("send: %s", strerror(errno));
		close(sender);
		return -1;
	}
	for (i = 0; i < SOCKETS; i++)
		fds[i] = (struct pollfd){.fd = set->fds[i], .events = POLLIN};
	if (poll(fds, SOCKETS, 5000) > 0) {
		for (i = 0; i < SOCKETS; i++) {
			if (fds[i].revents && recv(fds[i].fd, received, sizeof(received), MSG_DONTWAIT) ==
						      (ssize_t)len)
				found = found < 0 ? i : SOCKETS;
		}
	}
	close(sender);
	return found;
}

static void random_bytes(uint8_t *bytes, size_t len)
{
	while (len--)
		*bytes++ = random();
}

static size_t short_packet(uint8_t *packet, int number)
{
	random_bytes(packet, 100);
	packet[0] = 0x40 | (packet[0] & 0x3f);
	quic_cid_set(packet + 1, number);
	return 100;
}

static size_t long_packet(uint8_t *packet, size_t id_len)
{
	random_bytes(packet, 1200);
	packet[0] = 0xc0 | (packet[0] & 0x3f);
	memcpy(packet + 1, "\0\0\0\1", 4);
	packet[5] = id_len;
	return 1200;
}

/* All ids lead to their socket, whatever address they come from. */
static bool ours_arrive(const struct listen_set *set)
{
	uint8_t packet[1200];
	int i, number;
	size_t len;

	for (i = 0; i < 4 * SOCKETS; i++) {
		number = i % SOCKETS;
		len = short_packet(packet, number);
		if (socket_of(set, packet, len, 1 + i) != number)
			return false;
		len = long_packet(packet, QUIC_CID_LEN);
		quic_cid_set(packet + 6, number);
		if (socket_of(set, packet, len, 1 + i) != number)
			return false;
	}
	return true;
}

/* Ids that clients make up go to @slot, to every thread of it, each always to one. */
static bool others_are_spread(const struct listen_set *set, int slot)
{
	static const size_t lengths[] = {8, 16, 18, 20};
	unsigned int seen = 0;
	uint8_t packet[1200];
	size_t len;
	int i, at;

	for (i = 0; i < 64; i++) {
		len = long_packet(packet, lengths[i % 4]);
		at = socket_of(set, packet, len, 1 + i);
		if (at < 0 || at / THREADS != slot || socket_of(set, packet, len, 100 + i) != at)
			return false;
		seen |= 1u << at % THREADS;
	}
	return seen == (1u << THREADS) - 1;
}

static struct config *configuration(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		exit(1);
	config->settings.threads = THREADS;
	config->listeners_count = 1;
	address_listen_parse("127.0.0.1:18999", PORT, &config->listeners[0].address);
	config->listeners[0].tls = config->listeners[0].quic = true;
	return config;
}

int main(void)
{
	struct config *config = configuration();
	struct listen_set *set, *again;
	struct ipc_listeners message;
	int fds[IPC_FDS_MAX];
	char fault[512] = "";
	uint8_t tiny[1] = {0x40};

	tap_plan(10);
	srandom(1);
	set = listen_open(config, NULL, fault, sizeof(fault));
	tap_ok(set != NULL, "steer_sockets_open");
	if (!set) {
		tap_note("%s", fault);
		return 1;
	}
	tap_ok(ours_arrive(set), "steer_ids_lead_to_their_socket");
	tap_ok(others_are_spread(set, 0), "steer_new_ones_are_spread_over_the_first_slot");
	listen_steer(set, 2);
	tap_ok(others_are_spread(set, 2), "steer_new_ones_follow_the_worker");
	tap_ok(ours_arrive(set), "steer_old_ones_stay_where_they_are");
	tap_ok(socket_of(set, tiny, sizeof(tiny), 1) >= 0, "steer_short_datagram_does_no_harm");
	tap_ok(listen_message(set, 3, &message, fds) == THREADS && message.slot == 3 &&
	       fds[0] == set->fds[3 * THREADS], "steer_worker_gets_its_slot");

	/* A reload with the same address: the same group in the same order. */
	again = listen_open(config, set, fault, sizeof(fault));
	tap_ok(again != NULL, "steer_sockets_are_shared");
	listen_close(set);
	tap_ok(again && ours_arrive(again), "steer_order_outlives_the_old_set");
	tap_ok(!listen_open(config, NULL, fault, sizeof(fault)) && strstr(fault, "another program"),
	       "steer_a_taken_port_is_refused");
	listen_close(again);
	free(config);
	return tap_done();
}
