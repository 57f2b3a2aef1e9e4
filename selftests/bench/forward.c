// SPDX-License-Identifier: Apache-2.0
/*
 * What a datagram costs from a container's socket to one outside, by way of two
 * veth pairs and the host between them, sending and receiving included: a packet
 * of a flow that both sides know, and the first packet of a new one. Every
 * datagram that is sent has to come out, so a case that drops some fails.
 *
 *	forward policy IF PINS udp|tcp open|COUNT	our firewall on IF, left in force
 *	forward measure BOX OUT COUNT known|first	namespaces; one JSON object
 *
 * firewall.sh makes the network. The clock is read between batches.
 */
#include "firewall_rules.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH		64
#define WARM		4	/* batches */
#define BATCHES_MAX	400
#define PORT_FIRST	1024
#define PAYLOAD		64

_Static_assert(PORT_FIRST + (BATCHES_MAX + WARM) * BATCH < 65536, "a port for each new flow");

__attribute__((noreturn)) static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void enter(const char *namespace)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", namespace);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
}

/* A socket of the namespace that is entered. */
static int bound(const uint8_t address[4], uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(&at.sin_addr, address, 4);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)))
		die("bind");
	return fd;
}

static void take(int fd, struct sockaddr_in *from)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	socklen_t length = sizeof(*from);
	char bytes[PAYLOAD];

	/* Only a run that lost one waits for long. */
	if (poll(&ready, 1, 20000) != 1 ||
	    recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)from, &length) != PAYLOAD) {
		fprintf(stderr, "a datagram did not come out\n");
		exit(1);
	}
}

static void give(int fd, const struct sockaddr_in *to)
{
	static const char bytes[PAYLOAD];

	if (sendto(fd, bytes, sizeof(bytes), 0, (const struct sockaddr *)to, sizeof(*to)) != PAYLOAD)
		die("sendto");
}

/* Both have seen the other: the flow is an established one for everybody. */
static void acquaint(int box, int out, const struct sockaddr_in *to)
{
	struct sockaddr_in from;

	give(box, to);
	take(out, &from);
	give(out, &from);
	take(box, &from);
}

static double batch(const int boxes[BATCH], int out, const struct sockaddr_in *to)
{
	struct sockaddr_in from;
	uint64_t start = rules_now();
	int i;

	for (i = 0; i < BATCH; i++) {
		give(boxes[i], to);
		take(out, &from);
	}
	return (double)(rules_now() - start) / BATCH;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(const char *box, const char *outside, int count, bool first, int batches)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(RULES_PORT) };
	static double costs[BATCHES_MAX];
	int boxes[BATCH], out, i, round;
	uint8_t address[4];
	double one;

	rules_last(count, address);
	memcpy(&to.sin_addr, address, 4);
	enter(outside);
	out = bound(address, RULES_PORT);
	enter(box);
	boxes[0] = bound(rules_own4, PORT_FIRST - 1);
	acquaint(boxes[0], out, &to);
	for (i = 1; i < BATCH; i++)
		boxes[i] = boxes[0];
	for (round = -WARM; round < batches; round++) {
		for (i = 0; first && i < BATCH; i++)
			boxes[i] = bound(rules_own4, (uint16_t)(PORT_FIRST + (round + WARM) * BATCH + i));
		one = batch(boxes, out, &to);
		if (round >= 0)
			costs[round] = one;
		for (i = 0; first && i < BATCH; i++)
			close(boxes[i]);
	}
	qsort(costs, (size_t)batches, sizeof(*costs), compare);
	printf("{\"measure\":\"udp-%s\",\"batches\":%d,\"min\":%.1f,\"median\":%.1f,\"max\":%.1f}\n",
	       first ? "first" : "known", batches, costs[0], costs[batches / 2],
	       costs[batches - 1]);
	return 0;
}

static int policy(const char *interface, const char *pins, const char *protocol, const char *count)
{
	struct knl_bpf_options options = { .pins = pins, .flows = 262144, .containers = 2 };
	const uint32_t ifindex = if_nametoindex(interface);
	char fault[KNL_BPF_FAULT_MAX];
	struct knl_bpf *bpf;

	if (!ifindex)
		die(interface);
	if (knl_bpf_open(&options, &bpf, fault)) {
		fprintf(stderr, "%s\n", fault);
		return 1;
	}
	rules_commit(bpf, ifindex, !strcmp(protocol, "tcp") ? FW_TCP : FW_UDP,
		     !strcmp(count, "open") ? RULES_OPEN : atoi(count));
	if (knl_bpf_attach(bpf, ifindex)) {
		fprintf(stderr, "%s: no firewall could be attached\n", interface);
		return 1;
	}
	knl_bpf_close(bpf);
	return 0;
}

int main(int argc, char **argv)
{
	const char *batches = getenv("FORWARD_BATCHES");
	int most = batches ? atoi(batches) : 40;

	if (argc == 6 && !strcmp(argv[1], "policy"))
		return policy(argv[2], argv[3], argv[4], argv[5]);
	if (argc == 6 && !strcmp(argv[1], "measure") && most > 0 &&
	    most <= BATCHES_MAX)
		return measure(argv[2], argv[3], atoi(argv[4]), !strcmp(argv[5], "first"), most);
	fprintf(stderr, "usage: forward policy|measure ... (see the file's head)\n");
	return 2;
}
