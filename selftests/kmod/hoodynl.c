// SPDX-License-Identifier: Apache-2.0
/*
 * A client of the module's netlink family for test scripts: one command a line,
 * from the arguments or, with "batch", from standard input over one socket.
 *
 *	set ID PROJECT GENERATION [addr=A]... [cgroup=ID] [flags=N] [mode=N]
 *	del ID [GENERATION] | get ID | dump
 *	agent [CGROUP] | stats [NAME] | events COUNT
 *
 * An error is printed with the kernel's text and the attribute at fault; exit
 * status 1. It owns nothing and never retries.
 */
#include "kmod.h"

static const char *const attr_names[] = {
	[HOODY_A_ID] = "ID", [HOODY_A_PROJECT] = "PROJECT", [HOODY_A_GENERATION] = "GENERATION",
	[HOODY_A_ADDR4] = "ADDR4", [HOODY_A_ADDR6] = "ADDR6", [HOODY_A_CGROUP] = "CGROUP",
	[HOODY_A_FLAGS] = "FLAGS", [HOODY_A_MODE] = "MODE",
};

static int parse_id(const char *text, uint8_t id[HOODY_ID_LEN])
{
	char byte[3] = "";

	if (strlen(text) != 2 * HOODY_ID_LEN || strspn(text, "0123456789abcdefABCDEF") != 24) {
		fprintf(stderr, "hoodynl: '%s' is no id of 24 hexadecimal digits\n", text);
		return -EINVAL;
	}
	for (int i = 0; i < HOODY_ID_LEN; i++) {
		memcpy(byte, text + 2 * i, 2);
		id[i] = strtoul(byte, NULL, 16);
	}
	return 0;
}

static void print_id(const uint8_t id[HOODY_ID_LEN])
{
	for (int i = 0; i < HOODY_ID_LEN; i++)
		printf("%02x", id[i]);
}

static void print_container(const struct kmod_container *container)
{
	char text[INET6_ADDRSTRLEN];
	unsigned int i;

	printf("id=");
	print_id(container->id);
	printf(" project=");
	print_id(container->project);
	printf(" generation=%llu cgroup=%llu flags=%u", (unsigned long long)container->generation,
	       (unsigned long long)container->cgroup, container->flags);
	for (i = 0; i < container->count4; i++)
		printf(" addr=%s", inet_ntop(AF_INET, &container->addr4[i], text, sizeof(text)));
	for (i = 0; i < container->count6; i++)
		printf(" addr=%s", inet_ntop(AF_INET6, &container->addr6[i], text, sizeof(text)));
	printf("\n");
}

static int print_dumped(const struct nlmsghdr *header, void *data)
{
	struct kmod_container container = {};

	kmod_container_read(header, &container);
	print_container(&container);
	return MNL_CB_OK;
}

static int parse_option(const char *word, struct kmod_container *container)
{
	const char *value = strchr(word, '=');

	if (!value++)
		return -EINVAL;
	if (!strncmp(word, "addr=", 5)) {
		if (container->count4 < 2 * HOODY_MAX_ADDRS &&
		    inet_pton(AF_INET, value, &container->addr4[container->count4]) == 1)
			container->count4++;
		else if (container->count6 < 2 * HOODY_MAX_ADDRS &&
			 inet_pton(AF_INET6, value, &container->addr6[container->count6]) == 1)
			container->count6++;
		else
			return -EINVAL;
	} else if (!strncmp(word, "cgroup=", 7)) {
		container->cgroup = strtoull(value, NULL, 0);
	} else if (!strncmp(word, "flags=", 6)) {
		container->flags = strtoul(value, NULL, 0);
	} else if (!strncmp(word, "mode=", 5)) {
		container->mode = strtoul(value, NULL, 0);
	} else {
		return -EINVAL;
	}
	return 0;
}

static int command_set(struct kmod_nl *nl, int count, char **words)
{
	struct kmod_container container = {};

	if (count < 4 || parse_id(words[1], container.id) || parse_id(words[2], container.project))
		return -EINVAL;
	container.generation = strtoull(words[3], NULL, 0);
	for (int i = 4; i < count; i++) {
		if (!parse_option(words[i], &container))
			continue;
		fprintf(stderr, "hoodynl: cannot read '%s'\n", words[i]);
		return -EINVAL;
	}
	return kmod_container_set(nl, &container);
}

static int command_stats(struct kmod_nl *nl, int count, char **words)
{
	struct kmod_stats stats;
	int err = kmod_stats_get(nl, &stats), found = 0;

	if (err)
		return err;
	for (int i = 1; i < __HOODY_STAT_MAX; i++) {
		if (count > 1 && strcmp(words[1], stats.name[i]))
			continue;
		found++;
		if (count > 1)
			printf("%lld\n", (long long)stats.value[i]);
		else
			printf("%s=%lld\n", stats.name[i], (long long)stats.value[i]);
	}
	return found ? 0 : -ENOENT;
}

static int command_agent(struct kmod_nl *nl, int count, char **words)
{
	struct kmod_agent agent = {};
	int err;

	if (count > 1)
		return kmod_agent_set(nl, strtoull(words[1], NULL, 0));
	err = kmod_agent_get(nl, &agent);
	if (!err)
		printf("version=%s protocol=%u cgroup=%llu containers=%u max_containers=%u\n",
		       agent.version, agent.protocol, (unsigned long long)agent.cgroup,
		       agent.containers, agent.max_containers);
	return err;
}

static int print_event_attr(const struct nlattr *attr, void *data)
{
	switch (mnl_attr_get_type(attr)) {
	case HOODY_A_EVENT:
		printf("event=%u", mnl_attr_get_u32(attr));
		break;
	case HOODY_A_ID:
		printf(" id=");
		print_id(mnl_attr_get_payload(attr));
		break;
	case HOODY_A_GENERATION:
		printf(" generation=%llu", (unsigned long long)mnl_attr_get_u64(attr));
		break;
	case HOODY_A_CGROUP:
		printf(" cgroup=%llu", (unsigned long long)mnl_attr_get_u64(attr));
		break;
	}
	return MNL_CB_OK;
}

static int command_events(struct kmod_nl *nl, int count, char **words)
{
	int left = count > 1 ? atoi(words[1]) : 1, length;
	struct nlmsghdr *header;
	char buffer[8192];

	if (mnl_socket_setsockopt(nl->socket, NETLINK_ADD_MEMBERSHIP, &nl->group,
				  sizeof(nl->group)) < 0)
		return -errno;
	printf("joined\n");
	fflush(stdout);
	while (left > 0) {
		length = mnl_socket_recvfrom(nl->socket, buffer, sizeof(buffer));
		if (length < 0)
			return -errno;
		for (header = (void *)buffer; mnl_nlmsg_ok(header, length);
		     header = mnl_nlmsg_next(header, &length), left--) {
			mnl_attr_parse(header, sizeof(struct genlmsghdr), print_event_attr, NULL);
			printf("\n");
			fflush(stdout);
		}
	}
	return 0;
}

static int command_one(struct kmod_nl *nl, int count, char **words)
{
	struct kmod_container container = {};
	uint8_t id[HOODY_ID_LEN];
	int err;

	if (!strcmp(words[0], "set"))
		return command_set(nl, count, words);
	if (!strcmp(words[0], "dump"))
		return kmod_container_dump(nl, print_dumped, NULL);
	if (!strcmp(words[0], "agent"))
		return command_agent(nl, count, words);
	if (!strcmp(words[0], "stats"))
		return command_stats(nl, count, words);
	if (!strcmp(words[0], "events"))
		return command_events(nl, count, words);
	if (count < 2 || parse_id(words[1], id))
		return -EINVAL;
	if (!strcmp(words[0], "del"))
		return kmod_container_del(nl, id, count > 2 ? strtoull(words[2], NULL, 0) : 0);
	if (strcmp(words[0], "get"))
		return -EINVAL;
	err = kmod_container_get(nl, id, &container);
	if (!err)
		print_container(&container);
	return err;
}

/* Prints what the kernel said. Returns the exit status. */
static int report(struct kmod_nl *nl, int err, const char *command)
{
	if (!err)
		return 0;
	fprintf(stderr, "hoodynl: %s: %s%s%s", command, strerrorname_np(-err), *nl->text ? ": " : "",
		nl->text);
	if (nl->missing && nl->missing < sizeof(attr_names) / sizeof(*attr_names))
		fprintf(stderr, " (missing: %s)", attr_names[nl->missing]);
	if (nl->offset)
		fprintf(stderr, " (at byte %u)", nl->offset);
	fprintf(stderr, "\n");
	return 1;
}

static int batch(struct kmod_nl *nl)
{
	char line[4096], *words[64], *save;
	int status = 0;

	while (fgets(line, sizeof(line), stdin)) {
		int count = 0;

		for (char *word = strtok_r(line, " \t\n", &save); word && count < 64;
		     word = strtok_r(NULL, " \t\n", &save))
			words[count++] = word;
		if (count)
			status |= report(nl, command_one(nl, count, words), words[0]);
	}
	return status;
}

int main(int argc, char **argv)
{
	struct kmod_nl nl;
	int err;

	if (argc < 2) {
		fprintf(stderr, "usage: hoodynl batch|set|del|get|dump|agent|stats|events ...\n");
		return 2;
	}
	err = kmod_nl_open(&nl);
	if (err)
		return report(&nl, err, "family hoody (is the module loaded?)");
	if (!strcmp(argv[1], "batch"))
		return batch(&nl);
	return report(&nl, command_one(&nl, argc - 1, argv + 1), argv[1]);
}
