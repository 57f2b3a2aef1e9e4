// SPDX-License-Identifier: Apache-2.0
/*
 * The module itself: messages of its netlink family and calls of its socket option, in
 * two network namespaces, on a kernel with checkers. What libFuzzer varies are values
 * that make sense together, one byte each, for random bytes do not get past the family's
 * policy; any of them can be raw bytes too. A part of an input is
 *
 *	COMMAND FLAGS ATTRIBUTE...	a message; FLAGS: enum flag
 *	'S' BYTES			HOODY_SO_REALIP on a socket, see realip()
 *	'N'				the second namespace ends, another one begins
 *
 * and an attribute TYPE SHAPE [BYTES], see attribute(). What must hold beside the
 * kernel's own checks: whatever is refused has changed nothing and says why, what is
 * accepted is there, and when everything has been deleted nothing is left.
 *
 * A kernel that finds a fault ends with it: the input is in the file that RUNNING names,
 * written before it is used.
 */
#include "fuzz.h"
#include "kernel/cover.h"
#include "kmod.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define MESSAGE_MAX	(128u << 10)
#define ATTRIBUTES_MAX	64
#define PARTS_MAX	32
#define RAW_MAX		4096
#define CGROUPS		8

enum flag {
	FLAG_DUMP	= 1 << 0,
	FLAG_SECOND	= 1 << 1,	/* the second namespace's socket */
	FLAG_VERSION	= 1 << 2,	/* another version of the protocol */
	FLAG_BEHIND	= 1 << 3,	/* a few bytes behind the last attribute */
};

/* Of an attribute: below 0xf0 the number of a value that its type can have. */
enum shape {
	SHAPE_RAW	= 0xf0,		/* LEN BYTES */
	SHAPE_NESTED	= 0xf1,		/* with NLA_F_NESTED, the value 0 */
	SHAPE_ORDER	= 0xf2,		/* with NLA_F_NET_BYTEORDER */
	SHAPE_LONGER	= 0xf3,		/* a length that is forged: by one more, or less */
	SHAPE_SHORTER	= 0xf4,
};

static struct kmod_nl spaces[2];
static uint64_t known[2], empty;	/* what registered() says of each, and of one with nothing */
static int first_space;			/* a file descriptor of it */
static int running = -1;
static uint64_t cgroups[CGROUPS];	/* the last ones are none */

/* ---- values ---- */

static const char *const names[] = {
	"p0", "p1", "p2", "p3", "", ".", "a b", "A-._9", "ab\x01",
	"0123456789012345678901234567890123456789012345678901234567890123",
	"012345678901234567890123456789012345678901234567890123456789012",
	"node", "postgres", "fifteen-letters", "sixteen--letters",
};

static const uint32_t addresses4[] = {
	0x0a090001, 0x0a090002, 0x0a090003, 0x0a0900ff, 0, 0x7f000001, 0xe0000001, 0xffffffff, 0xa9fe0101, 0xc0000201,
};

static void put_address4(struct nlmsghdr *header, uint16_t type, uint8_t shape)
{
	uint32_t address = shape < 0x80 ? 0x0a090010u + shape :
					  addresses4[shape % (sizeof(addresses4) / sizeof(*addresses4))];

	address = htonl(address);
	mnl_attr_put(header, type, sizeof(address), &address);
}

static void put_address6(struct nlmsghdr *header, uint16_t type, uint8_t shape)
{
	struct in6_addr address = { .s6_addr = { 0xfd, 9, [15] = shape } };

	switch (shape) {
	case 0xe0: address = in6addr_any; break;
	case 0xe1: address = in6addr_loopback; break;
	case 0xe2: address.s6_addr[0] = 0xff; break;
	case 0xe3: address.s6_addr[0] = 0xfe; address.s6_addr[1] = 0x80; break;
	case 0xe4: memset(&address, 0, 10); memset(&address.s6_addr[10], 0xff, 2); break;
	}
	mnl_attr_put(header, type, sizeof(address), &address);
}

static void put_id(struct nlmsghdr *header, uint16_t type, uint8_t shape)
{
	uint8_t id[HOODY_ID_LEN];

	memset(id, shape == 0xef ? 0 : 0xa0 | (shape & 7), sizeof(id));
	mnl_attr_put(header, type, sizeof(id), id);
}

/*
 * A table whose lengths agree: numbers of conditions, checks and rules, their fields,
 * and decisions for some calls, all from @input. Behind "raw" single bytes of it are changed.
 */
static void put_table(struct nlmsghdr *header, uint8_t shape, struct fuzz_input *input)
{
	static union {
		struct hoody_table	table;
		uint8_t			bytes[sizeof(struct hoody_table) + 16 * (sizeof(struct hoody_table_cond) +
							2 * sizeof(struct hoody_table_check) +
							sizeof(struct hoody_table_rule))];
	} all;
	struct hoody_table *table = &all.table;
	struct hoody_table_check *checks;
	struct hoody_table_cond *conds;
	struct hoody_table_rule *rules;

	memset(&all, 0, sizeof(all));
	table->magic = HOODY_TABLE_MAGIC;
	table->version = HOODY_TABLE_VERSION;
	table->actions = 1 + shape % 6;
	table->conds = fuzz_byte(input) % 17;
	table->rules = fuzz_byte(input) % 17;
	for (int i = 0; i < HOODY_ARCHS; i++) {
		table->checks[i] = fuzz_byte(input) % 17;
		table->beyond[i] = fuzz_byte(input) % 8;
	}
	for (int i = 1; i < table->actions; i++)
		table->action[i] = (struct hoody_table_action){ fuzz_byte(input) % 7, fuzz_byte(input) };
	conds = (void *)(table + 1);
	checks = (void *)(conds + table->conds);
	rules = (void *)(checks + table->checks[0] + table->checks[1]);
	for (int i = 0; i < table->conds; i++)
		conds[i] = (struct hoody_table_cond){ ~0ull >> fuzz_byte(input) % 64, fuzz_byte(input),
						      fuzz_byte(input) % 7, fuzz_byte(input) % 7, { 0 } };
	for (int i = 0; i < table->checks[0] + table->checks[1]; i++)
		checks[i] = (struct hoody_table_check){ fuzz_byte(input) % 18, fuzz_byte(input) % 18,
							fuzz_byte(input) % 8, { 0 } };
	for (int i = 0; i < table->rules; i++)
		rules[i] = (struct hoody_table_rule){ fuzz_byte(input) % 18, fuzz_byte(input) % 18,
						      fuzz_byte(input) % 8 };
	table->size = (uint32_t)((uint8_t *)(rules + table->rules) - all.bytes);
	for (int i = fuzz_byte(input) % 9; i > 0; i--) {
		unsigned int call = fuzz_byte(input) * 2u;

		table->decision[call & 2 ? 1 : 0][call | (fuzz_byte(input) & 1)] = fuzz_byte(input);
	}
	for (int i = fuzz_byte(input) % 4; i > 0; i--)
		all.bytes[(fuzz_byte(input) << 8 | fuzz_byte(input)) % sizeof(all)] ^= fuzz_byte(input);
	mnl_attr_put(header, HOODY_A_TABLE, table->size <= sizeof(all) ? table->size : sizeof(all), table);
}

static void put_value(struct nlmsghdr *header, uint16_t type, uint8_t shape, struct fuzz_input *input)
{
	static const uint64_t generations[] = { 0, UINT64_MAX, INT64_MAX };

	switch (type) {
	case HOODY_A_ID:
	case HOODY_A_PROJECT:
	case HOODY_A_KSM_DOMAIN:
		put_id(header, type, shape);
		break;
	case HOODY_A_GENERATION:
	case HOODY_A_COUNT:
	case HOODY_A_STAT_VALUE:
		mnl_attr_put_u64(header, type, shape < 0xe0 ? 1 + shape % 4u : generations[shape % 3]);
		break;
	case HOODY_A_ADDR4:
		put_address4(header, type, shape);
		break;
	case HOODY_A_ADDR6:
		put_address6(header, type, shape);
		break;
	case HOODY_A_CGROUP:
		mnl_attr_put_u64(header, type, cgroups[shape % CGROUPS]);
		break;
	case HOODY_A_PROFILE:
	case HOODY_A_KSM_NAME:
	case HOODY_A_STAT_NAME:
	case HOODY_A_VERSION:
	case HOODY_A_COMM:
		mnl_attr_put_strz(header, type, names[shape % (sizeof(names) / sizeof(*names))]);
		break;
	case HOODY_A_TABLE:
		put_table(header, shape, input);
		break;
	default:
		mnl_attr_put_u32(header, type, shape < 0xe0 ? shape % 5u : 1u << (shape - 0xe0));
		break;
	}
}

static void attribute(struct nlmsghdr *header, struct fuzz_input *input)
{
	const uint16_t type = fuzz_byte(input) % (HOODY_A_MAX + 3);
	const uint8_t shape = fuzz_byte(input);
	struct nlattr *attr = (void *)((uint8_t *)header + header->nlmsg_len);
	size_t len;

	if (shape < SHAPE_RAW) {
		put_value(header, type, shape, input);
		return;
	}
	if (shape == SHAPE_RAW) {
		len = fuzz_byte(input) * 8u;
		len = len < input->len ? len : input->len;
		len = len < RAW_MAX ? len : RAW_MAX;
		mnl_attr_put(header, type, len, input->at);
		input->at += len;
		input->len -= len;
		return;
	}
	put_value(header, type, 0, input);
	if (shape == SHAPE_NESTED)
		attr->nla_type |= NLA_F_NESTED;
	else if (shape == SHAPE_ORDER)
		attr->nla_type |= NLA_F_NET_BYTEORDER;
	else if (shape == SHAPE_LONGER)
		attr->nla_len++;
	else if (shape == SHAPE_SHORTER)
		attr->nla_len -= attr->nla_len > 0;
}

/* ---- what must hold ---- */

static int add_to_sum(const struct nlmsghdr *header, void *data)
{
	const uint8_t *bytes = mnl_nlmsg_get_payload(header);
	uint64_t *sum = data, hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < mnl_nlmsg_get_payload_len(header); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	/* Whatever order they come in. */
	*sum += hash;
	return MNL_CB_OK;
}

static int ask(struct kmod_nl *nl, uint8_t command, uint16_t flags, mnl_cb_t callback, void *data)
{
	char buffer[512];

	return kmod_nl_talk(nl, kmod_nl_message(nl, buffer, command, flags), callback, data);
}

/* All that is registered in a namespace, as a number. */
static uint64_t registered(struct kmod_nl *nl)
{
	uint64_t sum = 0;

	fuzz_need(!ask(nl, HOODY_CMD_CONTAINER_GET, NLM_F_DUMP, add_to_sum, &sum) &&
		  !ask(nl, HOODY_CMD_PROFILE_GET, NLM_F_DUMP, add_to_sum, &sum) &&
		  !ask(nl, HOODY_CMD_AGENT_GET, 0, add_to_sum, &sum), "what is there can be read");
	return sum;
}

static bool writes(uint8_t command)
{
	return command == HOODY_CMD_CONTAINER_SET || command == HOODY_CMD_CONTAINER_DEL ||
	       command == HOODY_CMD_AGENT_SET || command == HOODY_CMD_PROFILE_SET ||
	       command == HOODY_CMD_PROFILE_DEL;
}

static int one_attribute(const struct nlattr *attr, void *data)
{
	const struct nlattr **found = data;
	const int type = mnl_attr_get_type(attr);

	if (type <= HOODY_A_MAX)
		found[type] = attr;
	return MNL_CB_OK;
}

/* What a SET that was accepted has left. */
static void is_there(struct kmod_nl *nl, const struct nlmsghdr *header, uint8_t command)
{
	const struct nlattr *sent[HOODY_A_MAX + 1] = { NULL };
	struct kmod_container container = { .generation = 0 };

	mnl_attr_parse(header, sizeof(struct genlmsghdr), one_attribute, sent);
	if (command != HOODY_CMD_CONTAINER_SET)
		return;
	fuzz_need(sent[HOODY_A_ID] && sent[HOODY_A_GENERATION] && sent[HOODY_A_PROJECT],
		  "nothing that is required was missing");
	fuzz_need(!kmod_container_get(nl, mnl_attr_get_payload(sent[HOODY_A_ID]), &container),
		  "a container that was set is there");
	fuzz_need(container.generation == mnl_attr_get_u64(sent[HOODY_A_GENERATION]) &&
		  !memcmp(container.project, mnl_attr_get_payload(sent[HOODY_A_PROJECT]), HOODY_ID_LEN),
		  "as it was set");
}

static void message(uint8_t command, struct fuzz_input *input)
{
	static char buffer[MESSAGE_MAX];
	const uint8_t flags = fuzz_byte(input);
	const int space = flags & FLAG_SECOND ? 1 : 0;
	struct kmod_nl *nl = &spaces[space];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, command,
						  flags & FLAG_DUMP ? NLM_F_DUMP : 0);
	const uint64_t before = known[space];
	struct kmod_nl refusal;
	int err;

	if (flags & FLAG_VERSION)
		((struct genlmsghdr *)mnl_nlmsg_get_payload(header))->version++;
	for (int i = 0; input->len && i < ATTRIBUTES_MAX; i++)
		attribute(header, input);
	if (flags & FLAG_BEHIND)
		header->nlmsg_len += 3;
	cover_begin();
	err = kmod_nl_talk(nl, header, NULL, NULL);
	cover_end();
	refusal = *nl;
	if (writes(command))
		known[space] = registered(nl);
	fuzz_need(!err || known[space] == before, "what is refused changes nothing");
	/* Those of generic netlink itself are without: no such command, no memory. */
	if (err && err != -EOPNOTSUPP && err != -ENOMEM && !(flags & FLAG_DUMP))
		fuzz_need(refusal.text[0] || refusal.missing, "what is refused says why");
	if (!err && !(flags & FLAG_DUMP))
		is_there(nl, header, command);
}

/*
 * BYTES: family of the socket, level, family in the argument, its flags, client, container,
 * ports, and whether it is bound before; then how much of the argument is given.
 */
static void realip(struct fuzz_input *input)
{
	static const int families[] = { AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC };
	const int family = families[fuzz_byte(input) % 3];
	const int level = fuzz_byte(input) & 1 ? SOL_IPV6 : SOL_IP;
	struct hoody_realip arg = { .family = families[fuzz_byte(input) % 4], .flags = fuzz_byte(input) % 3 };
	const uint8_t client = fuzz_byte(input), container = fuzz_byte(input), bound = fuzz_byte(input);
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(family, bound & 2 ? SOCK_DGRAM : SOCK_STREAM | SOCK_NONBLOCK, 0);
	uint8_t left;

	if (fd < 0)
		return;
	arg.client_port = htons(fuzz_byte(input) * 257u);
	arg.container_port = htons(fuzz_byte(input));
	if (arg.family == AF_INET6) {
		arg.client6 = (struct in6_addr){ .s6_addr = { 0xfd, client & 1 ? 8 : 9, [15] = client } };
		arg.container6 = (struct in6_addr){ .s6_addr = { 0xfd, 9, [15] = container } };
	} else {
		arg.client4.s_addr = htonl(client < 0xe0 ? 0xc6336400u | client : addresses4[client % 10]);
		arg.container4.s_addr = htonl(container < 0xe0 ? 0x0a090010u + container :
								 addresses4[container % 10]);
	}
	if (bound & 1 && family == AF_INET)
		bind(fd, (struct sockaddr *)&any, sizeof(any));
	left = fuzz_byte(input);
	cover_begin();
	setsockopt(fd, level, HOODY_SO_REALIP, &arg, left && left < 80 ? left % sizeof(arg) : sizeof(arg));
	if (bound & 4)
		setsockopt(fd, level, HOODY_SO_REALIP, &arg, sizeof(arg));
	if (bound & 8)
		connect(fd, (struct sockaddr *)&any, sizeof(any));
	close(fd);
	cover_end();
}

/* ---- the end of an input ---- */

static int first_id(const struct nlmsghdr *header, void *data)
{
	const struct nlattr *found[HOODY_A_MAX + 1] = { NULL };
	const struct nlattr *attr;

	mnl_attr_parse(header, sizeof(struct genlmsghdr), one_attribute, found);
	attr = found[HOODY_A_ID] ? found[HOODY_A_ID] : found[HOODY_A_PROFILE];
	memcpy(data, attr, attr->nla_len);
	return MNL_CB_OK;
}

/* Deletes what @get reports, one after the other. */
static void delete_all(struct kmod_nl *nl, uint8_t get, uint8_t del)
{
	for (;;) {
		char buffer[512], space[256] = { 0 };
		struct nlmsghdr *header;
		struct nlattr *attr = (void *)space;

		fuzz_need(!ask(nl, get, NLM_F_DUMP, first_id, space), "a dump");
		if (!attr->nla_len)
			return;
		header = kmod_nl_message(nl, buffer, del, 0);
		mnl_attr_put(header, attr->nla_type, mnl_attr_get_payload_len(attr), mnl_attr_get_payload(attr));
		cover_begin();
		fuzz_need(!kmod_nl_talk(nl, header, NULL, NULL), "what is there can be deleted");
		cover_end();
	}
}

static void nothing_is_left(int space)
{
	struct kmod_nl *nl = &spaces[space];

	if (known[space] == empty)
		return;
	delete_all(nl, HOODY_CMD_CONTAINER_GET, HOODY_CMD_CONTAINER_DEL);
	delete_all(nl, HOODY_CMD_PROFILE_GET, HOODY_CMD_PROFILE_DEL);
	fuzz_need(!kmod_agent_set(nl, 0), "an agent can be withdrawn");
	known[space] = registered(nl);
	fuzz_need(known[space] == empty, "nothing is registered");
}

/* A namespace that has ended takes what it had with it, in its own time. */
static void nothing_is_hooked(void)
{
	const uint64_t end = limit_end_us(60);
	struct kmod_stats stats;

	while (!kmod_stats_get(&spaces[0], &stats) && stats.value[HOODY_STAT_GATE_HOOKED]) {
		fuzz_need(limit_now_us() < end, "nothing is hooked");
		usleep(10000);
	}
}

static void second_space(bool again)
{
	if (again)
		kmod_nl_close(&spaces[1]);
	fuzz_need(!unshare(CLONE_NEWNET) && !kmod_nl_open(&spaces[1]) && !setns(first_space, CLONE_NEWNET),
		  "a second namespace");
	known[1] = empty;
}

static void keep(const uint8_t *data, size_t size)
{
	if (running < 0)
		return;
	fuzz_need(!ftruncate(running, 0) && pwrite(running, data, size, 0) == (ssize_t)size,
		  "the input is written down");
}

/* Somebody whose memory can be marked, below @cgroup: /sys/fs/cgroup/... */
static void inhabit(const char *cgroup)
{
	const size_t size = 1 << 20;
	char path[128], *memory;
	int fd;

	if (fork())
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || write(fd, "0", 1) != 1 || memory == MAP_FAILED)
		kmod_die("a process in a cgroup");
	memset(memory, 1, size);
	for (;;)
		pause();
}

static void report(void)
{
	printf("places of the module: %u\n", cover_places());
	fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const folders[] = { "fuzz", "fuzz/below", "fuzz-other" };
	const char *file = getenv("RUNNING");
	char path[128];

	if (file)
		running = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	cgroups[1] = kmod_cgroup_id("/sys/fs/cgroup");
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", folders[i]);
		mkdir(path, 0755);
		cgroups[2 + i] = kmod_cgroup_id(path);
		fuzz_need(cgroups[2 + i] != 0, "cgroup v2 at /sys/fs/cgroup");
	}
	inhabit("/sys/fs/cgroup/fuzz/below");
	cgroups[CGROUPS - 2] = UINT64_MAX;
	cgroups[CGROUPS - 1] = 0xffffff;
	first_space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	fuzz_need(!kmod_nl_open(&spaces[0]), "the module is loaded");
	known[0] = empty = registered(&spaces[0]);
	second_space(false);
	cover_open();
	atexit(report);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	bool renewed = false;

	keep(data, size);
	for (int i = 0; input.len && i < PARTS_MAX; i++) {
		struct fuzz_input part = fuzz_part(&input);
		const uint8_t command = fuzz_byte(&part);

		if (command == 'S') {
			realip(&part);
		} else if (command == 'N') {
			/* One is enough to end; each costs the kernel a grace period. */
			if (!renewed)
				second_space(true);
			renewed = true;
		} else {
			message(command, &part);
		}
	}
	nothing_is_left(0);
	nothing_is_left(1);
	nothing_is_hooked();
	return 0;
}
