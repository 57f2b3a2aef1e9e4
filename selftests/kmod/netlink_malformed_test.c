// SPDX-License-Identifier: Apache-2.0
/*
 * Malformed netlink messages: none is accepted, each error is the expected one
 * and says what is wrong and where, and the registry is the same afterwards.
 *
 * A message is written as words in the order of its attributes:
 *
 *	I P G		valid ID, PROJECT and GENERATION
 *	X:HEX Z:HEX	an attribute of the first unknown type, and padding
 *	TYPE:HEX	an attribute with this payload ("3:" is an empty one)
 *	TYPE/LEN:HEX	the same, its length field forged to LEN
 *	TYPEn:HEX	with NLA_F_NESTED, TYPEb: with NLA_F_NET_BYTEORDER
 *	+HEX		bytes that belong to no attribute
 *	!WORD		this attribute is at fault: the error's offset must name it
 *	?TYPE		nothing; the error must name TYPE as missing
 */
#include "kmod.h"
#include "tap.h"

#define SET	HOODY_CMD_CONTAINER_SET
#define DEL	HOODY_CMD_CONTAINER_DEL
#define GET	HOODY_CMD_CONTAINER_GET
#define AGENT	HOODY_CMD_AGENT_SET
#define AGENT_GET HOODY_CMD_AGENT_GET
#define STATS	HOODY_CMD_STATS_GET

struct malformed {
	const char	*name;
	uint8_t		command;
	uint16_t	flags;
	int		error;		/* 0: any; EOPNOTSUPP is generic netlink's and has no text */
	const char	*words;
};

static const struct malformed table[] = {
	/* What is missing. */
	{ "set_empty", SET, 0, EINVAL, "?1" },
	{ "set_without_id", SET, 0, EINVAL, "P G ?1" },
	{ "set_without_project", SET, 0, EINVAL, "I G ?2" },
	{ "set_without_generation", SET, 0, EINVAL, "I P ?3" },
	{ "set_addresses_only", SET, 0, EINVAL, "4:0a090101 ?1" },
	{ "del_empty", DEL, 0, EINVAL, "?1" },
	{ "del_generation_only", DEL, 0, EINVAL, "G ?1" },
	{ "get_empty", GET, 0, EINVAL, "?1" },
	{ "agent_empty", AGENT, 0, EINVAL, "?6" },
	/* Values out of range. */
	{ "set_id_zero", SET, 0, EINVAL, "!1:000000000000000000000000 P G" },
	{ "set_project_zero", SET, 0, EINVAL, "I !2:000000000000000000000000 G" },
	{ "set_generation_zero", SET, 0, ERANGE, "I P !3:0000000000000000" },
	{ "set_flag_unknown", SET, 0, EINVAL, "I P G !7:02000000" },
	{ "set_flag_unknown_beside_known", SET, 0, EINVAL, "I P G !7:03000000" },
	{ "set_flag_highest", SET, 0, EINVAL, "I P G !7:00000080" },
	{ "set_flags_all", SET, 0, EINVAL, "I P G !7:ffffffff" },
	{ "set_mode_unknown", SET, 0, ERANGE, "I P G !16:03000000" },
	{ "set_mode_highest", SET, 0, ERANGE, "I P G !16:ffffffff" },
	{ "set_mode_replace_of_unknown", SET, 0, ENOENT, "!I P G 16:02000000" },
	{ "set_cgroup_unknown", SET, 0, ENOENT, "I P G !6:ffffffffffffff7f" },
	{ "set_cgroup_highest", SET, 0, ENOENT, "I P G !6:ffffffffffffffff" },
	{ "del_id_zero", DEL, 0, EINVAL, "!1:000000000000000000000000" },
	{ "del_generation_zero", DEL, 0, ERANGE, "I !3:0000000000000000" },
	{ "del_unknown", DEL, 0, ENOENT, "!I" },
	{ "del_unknown_with_generation", DEL, 0, ENOENT, "!I G" },
	{ "get_id_zero", GET, 0, EINVAL, "!1:000000000000000000000000" },
	{ "get_unknown", GET, 0, ENOENT, "!I" },
	{ "agent_cgroup_unknown", AGENT, 0, ENOENT, "!6:ffffffffffffff7f" },
	{ "agent_cgroup_highest", AGENT, 0, ENOENT, "!6:ffffffffffffffff" },
	/* Addresses that no container can have. */
	{ "addr4_unspecified", SET, 0, EINVAL, "I P G !4:00000000" },
	{ "addr4_zero_network", SET, 0, EINVAL, "I P G !4:00010203" },
	{ "addr4_loopback", SET, 0, EINVAL, "I P G !4:7f000001" },
	{ "addr4_loopback_end", SET, 0, EINVAL, "I P G !4:7ffffffe" },
	{ "addr4_link_local", SET, 0, EINVAL, "I P G !4:a9fe0101" },
	{ "addr4_multicast", SET, 0, EINVAL, "I P G !4:e0000001" },
	{ "addr4_multicast_end", SET, 0, EINVAL, "I P G !4:efffffff" },
	{ "addr4_broadcast", SET, 0, EINVAL, "I P G !4:ffffffff" },
	{ "addr4_own", SET, 0, EADDRINUSE, "I P G !4:0a630001" },
	{ "addr4_subnet_broadcast", SET, 0, EINVAL, "I P G !4:0a6300ff" },
	{ "addr4_second_bad", SET, 0, EINVAL, "I P G 4:0a090101 !4:7f000001" },
	{ "addr4_twice", SET, 0, EINVAL, "I P G 4:0a090101 !4:0a090101" },
	{ "addr4_twice_apart", SET, 0, EINVAL,
	  "I P G 4:0a090101 4:0a090102 5:20010db8000000000000000000000001 !4:0a090101" },
	{ "addr4_nine", SET, 0, E2BIG,
	  "I P G 4:0a090101 4:0a090102 4:0a090103 4:0a090104 4:0a090105 4:0a090106 4:0a090107 "
	  "4:0a090108 !4:0a090109" },
	{ "addr4_of_another", SET, 0, EADDRINUSE, "I P G !4:0a080101" },
	{ "addr4_of_another_after_free_one", SET, 0, EADDRINUSE, "I P G 4:0a090101 !4:0a080101" },
	{ "addr4_of_another_before_free_one", SET, 0, EADDRINUSE, "I P G !4:0a080101 4:0a090101" },
	{ "addr6_unspecified", SET, 0, EINVAL, "I P G !5:00000000000000000000000000000000" },
	{ "addr6_loopback", SET, 0, EINVAL, "I P G !5:00000000000000000000000000000001" },
	{ "addr6_link_local", SET, 0, EINVAL, "I P G !5:fe800000000000000000000000000001" },
	{ "addr6_multicast", SET, 0, EINVAL, "I P G !5:ff020000000000000000000000000001" },
	{ "addr6_multicast_global", SET, 0, EINVAL, "I P G !5:ff0e0000000000000000000000000001" },
	{ "addr6_mapped", SET, 0, EINVAL, "I P G !5:00000000000000000000ffff0a090101" },
	{ "addr6_mapped_loopback", SET, 0, EINVAL, "I P G !5:00000000000000000000ffff7f000001" },
	{ "addr6_own", SET, 0, EADDRINUSE, "I P G !5:fd630000000000000000000000000001" },
	{ "addr6_second_bad", SET, 0, EINVAL,
	  "I P G 5:20010db8000000000000000000000001 !5:00000000000000000000000000000001" },
	{ "addr6_twice", SET, 0, EINVAL,
	  "I P G 5:20010db8000000000000000000000001 !5:20010db8000000000000000000000001" },
	{ "addr6_nine", SET, 0, E2BIG,
	  "I P G 5:20010db8000000000000000000000001 5:20010db8000000000000000000000002 "
	  "5:20010db8000000000000000000000003 5:20010db8000000000000000000000004 "
	  "5:20010db8000000000000000000000005 5:20010db8000000000000000000000006 "
	  "5:20010db8000000000000000000000007 5:20010db8000000000000000000000008 "
	  "!5:20010db8000000000000000000000009" },
	{ "addr6_of_another", SET, 0, EADDRINUSE, "I P G !5:20010db8000800000000000000000001" },
	/* Twice. */
	{ "set_id_twice", SET, 0, EINVAL, "I !I P G" },
	{ "set_id_twice_different", SET, 0, EINVAL, "I !1:c0c0c0c0c0c0c0c0c0c0c0c0 P G" },
	{ "set_project_twice", SET, 0, EINVAL, "I P !P G" },
	{ "set_generation_twice", SET, 0, EINVAL, "I P G !G" },
	{ "set_flags_twice", SET, 0, EINVAL, "I P G 7:01000000 !7:01000000" },
	{ "set_mode_twice", SET, 0, EINVAL, "I P G 16:00000000 !16:01000000" },
	{ "set_cgroup_twice", SET, 0, EINVAL, "I P G 6:0000000000000000 !6:0000000000000000" },
	{ "set_id_twice_at_the_end", SET, 0, EINVAL, "P G I 4:0a090101 !I" },
	{ "del_id_twice", DEL, 0, EINVAL, "I !I" },
	{ "del_generation_twice", DEL, 0, EINVAL, "I G !G" },
	{ "get_id_twice", GET, 0, EINVAL, "I !I" },
	{ "agent_cgroup_twice", AGENT, 0, EINVAL, "6:0000000000000000 !6:0000000000000000" },
	/* Attributes that exist and have no business in this command. */
	{ "set_with_unspec", SET, 0, EINVAL, "I P G !0:00000000" },
	{ "set_with_event", SET, 0, EINVAL, "I P G !8:01000000" },
	{ "set_with_stat_id", SET, 0, EINVAL, "I P G !9:01000000" },
	{ "set_with_stat_name", SET, 0, EINVAL, "I P G !10:6100" },
	{ "set_with_stat_value", SET, 0, EINVAL, "I P G !11:0000000000000000" },
	{ "set_with_version", SET, 0, EINVAL, "I P G !12:3100" },
	{ "set_with_protocol", SET, 0, EINVAL, "I P G !13:01000000" },
	{ "set_with_containers", SET, 0, EINVAL, "I P G !14:01000000" },
	{ "set_with_max_containers", SET, 0, EINVAL, "I P G !15:01000000" },
	{ "set_with_pad", SET, 0, EINVAL, "I P G !Z:" },
	{ "del_with_project", DEL, 0, EINVAL, "I !P" },
	{ "del_with_addr4", DEL, 0, EINVAL, "I !4:0a090101" },
	{ "del_with_addr6", DEL, 0, EINVAL, "I !5:20010db8000000000000000000000001" },
	{ "del_with_cgroup", DEL, 0, EINVAL, "I !6:0000000000000000" },
	{ "del_with_flags", DEL, 0, EINVAL, "I !7:01000000" },
	{ "del_with_mode", DEL, 0, EINVAL, "I !16:01000000" },
	{ "get_with_project", GET, 0, EINVAL, "I !P" },
	{ "get_with_generation", GET, 0, EINVAL, "I !G" },
	{ "get_with_flags", GET, 0, EINVAL, "I !7:01000000" },
	{ "get_with_mode", GET, 0, EINVAL, "I !16:01000000" },
	{ "agent_with_id", AGENT, 0, EINVAL, "6:0000000000000000 !I" },
	{ "agent_with_generation", AGENT, 0, EINVAL, "6:0000000000000000 !G" },
	{ "agent_with_flags", AGENT, 0, EINVAL, "6:0000000000000000 !7:01000000" },
	{ "agent_get_with_id", AGENT_GET, 0, EINVAL, "!I" },
	{ "agent_get_with_cgroup", AGENT_GET, 0, EINVAL, "!6:0000000000000000" },
	{ "agent_get_with_unknown", AGENT_GET, 0, EINVAL, "!200:00000000" },
	{ "dump_with_id", GET, NLM_F_DUMP, EINVAL, "!I" },
	{ "dump_with_flags", GET, NLM_F_DUMP, EINVAL, "!7:01000000" },
	{ "dump_with_unknown", GET, NLM_F_DUMP, EINVAL, "!200:00000000" },
	{ "stats_with_stat_id", STATS, NLM_F_DUMP, EINVAL, "!9:01000000" },
	{ "stats_with_id", STATS, NLM_F_DUMP, EINVAL, "!I" },
	{ "stats_with_unknown", STATS, NLM_F_DUMP, EINVAL, "!200:00000000" },
	/* Attributes that do not exist. */
	{ "set_with_next_unknown", SET, 0, EINVAL, "I P G !X:00000000" },
	{ "set_with_type_31", SET, 0, EINVAL, "I P G !31:00000000" },
	{ "set_with_type_32", SET, 0, EINVAL, "I P G !32:00000000" },
	{ "set_with_type_33", SET, 0, EINVAL, "I P G !33:c0c0c0c0c0c0c0c0c0c0c0c0" },
	{ "set_with_type_255", SET, 0, EINVAL, "I P G !255:" },
	{ "set_with_type_16383", SET, 0, EINVAL, "I P G !16383:00000000" },
	{ "set_unknown_first", SET, 0, EINVAL, "!99:00000000 I P G" },
	{ "del_with_unknown", DEL, 0, EINVAL, "I !X:00000000" },
	{ "get_with_unknown", GET, 0, EINVAL, "I !X:00000000" },
	{ "agent_with_unknown", AGENT, 0, EINVAL, "6:0000000000000000 !X:00000000" },
	/* Flags on attributes. */
	{ "set_id_nested", SET, 0, EINVAL, "!1n:c0c0c0c0c0c0c0c0c0c0c0c0 P G" },
	{ "set_project_nested", SET, 0, EINVAL, "I !2n:c0c0c0c0c0c0c0c0c0c0c0c0 G" },
	{ "set_generation_nested", SET, 0, EINVAL, "I P !3n:0100000000000000" },
	{ "set_addr4_nested", SET, 0, EINVAL, "I P G !4n:0a090101" },
	{ "set_addr4_in_nest", SET, 0, 0, "I P G !4n:080004000a090101" },
	{ "set_addr6_nested", SET, 0, EINVAL, "I P G !5n:20010db8000000000000000000000001" },
	{ "set_cgroup_nested", SET, 0, EINVAL, "I P G !6n:0000000000000000" },
	{ "set_flags_nested", SET, 0, EINVAL, "I P G !7n:01000000" },
	{ "set_mode_nested", SET, 0, EINVAL, "I P G !16n:01000000" },
	{ "del_id_nested", DEL, 0, EINVAL, "!1n:c0c0c0c0c0c0c0c0c0c0c0c0" },
	{ "get_id_nested", GET, 0, EINVAL, "!1n:c0c0c0c0c0c0c0c0c0c0c0c0" },
	{ "agent_cgroup_nested", AGENT, 0, EINVAL, "!6n:0000000000000000" },
	{ "set_generation_byteorder", SET, 0, EINVAL, "I P !3b:0000000000000001" },
	{ "set_flags_byteorder", SET, 0, EINVAL, "I P G !7b:01000000" },
	{ "set_addr4_byteorder", SET, 0, EINVAL, "I P G !4b:0a090101" },
	{ "del_generation_byteorder", DEL, 0, EINVAL, "I !3b:0000000000000001" },
	{ "agent_cgroup_byteorder", AGENT, 0, EINVAL, "!6b:0000000000000000" },
	/* Forged lengths and bytes that belong to nothing. */
	{ "length_past_the_end", SET, 0, EINVAL, "I P 3/64:0100000000000000" },
	{ "length_past_the_end_by_one", SET, 0, EINVAL, "I P 3/13:0100000000000000" },
	{ "length_highest", SET, 0, EINVAL, "I P 3/65535:0100000000000000" },
	{ "length_zero", SET, 0, EINVAL, "I P 3/0:0100000000000000" },
	{ "length_three", SET, 0, EINVAL, "I P 3/3:0100000000000000" },
	{ "length_swallows_the_next", SET, 0, 0, "!1/32:c0c0c0c0c0c0c0c0c0c0c0c0 P G" },
	{ "length_first_highest", SET, 0, EINVAL, "1/65535:c0c0c0c0c0c0c0c0c0c0c0c0 P G" },
	{ "length_first_zero", SET, 0, EINVAL, "1/0:c0c0c0c0c0c0c0c0c0c0c0c0 P G" },
	{ "trailing_one_byte", SET, 0, EINVAL, "I P G +00" },
	{ "trailing_three_bytes", SET, 0, EINVAL, "I P G +000000" },
	{ "trailing_zeros", SET, 0, EINVAL, "I P G +0000000000000000" },
	{ "trailing_ones", SET, 0, EINVAL, "I P G +ffffffff" },
	{ "garbage_only", SET, 0, EINVAL, "+ffffffffffffffffffffffff" },
	{ "leading_garbage", SET, 0, EINVAL, "+00000000 I P G" },
	{ "agent_get_trailing", AGENT_GET, 0, EINVAL, "+000000" },
	{ "dump_trailing", GET, NLM_F_DUMP, EINVAL, "+000000" },
	/* Commands and flags of the message. */
	{ "command_zero", 0, 0, EOPNOTSUPP, "" },
	{ "command_event", HOODY_CMD_EVENT, 0, EOPNOTSUPP, "" },
	{ "command_next", HOODY_CMD_MAX + 1, 0, EOPNOTSUPP, "" },
	{ "command_255", 255, 0, EOPNOTSUPP, "I P G" },
	{ "dump_of_set", SET, NLM_F_DUMP, EOPNOTSUPP, "I P G" },
	{ "dump_of_del", DEL, NLM_F_DUMP, EOPNOTSUPP, "I" },
	{ "dump_of_agent_set", AGENT, NLM_F_DUMP, EOPNOTSUPP, "6:0000000000000000" },
	{ "dump_of_agent_get", AGENT_GET, NLM_F_DUMP, EOPNOTSUPP, "" },
	{ "dump_of_event", HOODY_CMD_EVENT, NLM_F_DUMP, EOPNOTSUPP, "" },
	{ "do_of_stats", STATS, 0, EOPNOTSUPP, "" },
	{ "flag_create", SET, NLM_F_CREATE, EINVAL, "I P G" },
	{ "flag_excl", SET, NLM_F_EXCL, EINVAL, "I P G" },
	{ "flag_append", SET, NLM_F_APPEND, EINVAL, "I P G" },
	{ "flag_replace_alone", SET, NLM_F_REPLACE, EINVAL, "I P G" },
	{ "flag_multi", SET, NLM_F_MULTI, EINVAL, "I P G" },
	{ "flag_reserved_bit", SET, 0x4000, EINVAL, "I P G" },
	{ "flag_nonrec", DEL, NLM_F_NONREC, EINVAL, "I" },
};

#define TABLE_SIZE (sizeof(table) / sizeof(*table))

/* Every length of an attribute's payload but the right one. */
static const struct {
	uint8_t		command, type, length;
	const char	*before;
} lengths[] = {
	{ SET, HOODY_A_ID, 12, "P G" },		{ SET, HOODY_A_PROJECT, 12, "I G" },
	{ SET, HOODY_A_GENERATION, 8, "I P" },	{ SET, HOODY_A_ADDR4, 4, "I P G" },
	{ SET, HOODY_A_ADDR6, 16, "I P G" },	{ SET, HOODY_A_CGROUP, 8, "I P G" },
	{ SET, HOODY_A_FLAGS, 4, "I P G" },	{ SET, HOODY_A_MODE, 4, "I P G" },
	{ DEL, HOODY_A_ID, 12, "" },		{ DEL, HOODY_A_GENERATION, 8, "I" },
	{ GET, HOODY_A_ID, 12, "" },		{ AGENT, HOODY_A_CGROUP, 8, "" },
};

#define LENGTHS_SIZE (sizeof(lengths) / sizeof(*lengths))

struct built {
	uint32_t	fault;		/* offset of the attribute at fault, 0: none expected */
	uint32_t	missing;
};

static size_t hex(const char *text, const char *end, uint8_t *bytes)
{
	size_t count = 0;
	char byte[3] = "";

	for (; text + 1 < end; text += 2) {
		memcpy(byte, text, 2);
		bytes[count++] = strtoul(byte, NULL, 16);
	}
	return count;
}

static void append(struct nlmsghdr *header, const void *bytes, size_t length)
{
	memcpy((char *)header + header->nlmsg_len, bytes, length);
	header->nlmsg_len += length;
}

/* One word; the message stays as unaligned as the word makes it. */
static void build_word(struct nlmsghdr *header, const char *word, const char *end,
		       struct built *built)
{
	struct nlattr attr = {};
	uint8_t payload[256];
	const char *at;
	size_t length;
	char *stop;

	if (*word == '?') {
		built->missing = strtoul(word + 1, NULL, 10);
		return;
	}
	if (*word == '+') {
		append(header, payload, hex(word + 1, end, payload));
		return;
	}
	if (*word == '!') {
		built->fault = header->nlmsg_len;
		word++;
	}
	if (*word == 'I' || *word == 'P' || *word == 'G') {
		at = *word == 'I' ? "1:c0ffee000000000000000001" :
		     *word == 'P' ? "2:c0ffee0000000000000000aa" : "3:0100000000000000";
		build_word(header, at, at + strlen(at), built);
		return;
	}
	attr.nla_type = strtoul(word, &stop, 10);
	if (*word == 'X' || *word == 'Z')
		attr.nla_type = *word == 'X' ? HOODY_A_MAX + 1 : HOODY_A_PAD;
	at = memchr(word, ':', end - word);
	length = hex(at + 1, end, payload);
	attr.nla_len = sizeof(attr) + length;
	if (*stop == 'n')
		attr.nla_type |= NLA_F_NESTED;
	else if (*stop == 'b')
		attr.nla_type |= NLA_F_NET_BYTEORDER;
	else if (*stop == '/')
		attr.nla_len = strtoul(stop + 1, NULL, 10);
	append(header, &attr, sizeof(attr));
	append(header, payload, length);
	append(header, "\0\0\0", MNL_ALIGN(length) - length);
}

static struct built build(struct nlmsghdr *header, const char *words)
{
	struct built built = {};
	size_t length;

	for (; *words; words += length) {
		words += strspn(words, " ");
		length = strcspn(words, " ");
		if (length)
			build_word(header, words, words + length, &built);
	}
	return built;
}

struct digest {
	uint64_t	sum;
	unsigned int	count;
};

static int digest_message(const struct nlmsghdr *header, void *data)
{
	const uint8_t *bytes = mnl_nlmsg_get_payload(header);
	struct digest *digest = data;

	digest->count++;
	for (size_t i = 0; i < mnl_nlmsg_get_payload_len(header); i++)
		digest->sum = (digest->sum ^ bytes[i]) * 0x100000001b3;
	return MNL_CB_OK;
}

/* What the registry holds: its containers and the agent. */
static struct digest digest_of(struct kmod_nl *nl)
{
	struct kmod_agent agent = {};
	struct digest digest = {};

	if (kmod_container_dump(nl, digest_message, &digest) || kmod_agent_get(nl, &agent))
		kmod_die("the registry cannot be read");
	digest.sum ^= agent.cgroup * 31 + agent.containers;
	return digest;
}

/* Sends what is built and checks the refusal. */
static bool refused(struct kmod_nl *nl, struct nlmsghdr *header, struct built built, int error)
{
	bool mute = error == EOPNOTSUPP;
	struct digest before = digest_of(nl), after;
	int err;

	err = kmod_nl_talk(nl, header, NULL, NULL);
	if (err >= 0 || (error && err != -error)) {
		tap_note("returned %d, expected -%d; text '%s'", err, error, nl->text);
		return false;
	}
	if (!mute && !*nl->text) {
		tap_note("no text");
		return false;
	}
	if (nl->offset != built.fault && !mute) {
		tap_note("attribute at fault: %u, expected %u; text '%s'", nl->offset, built.fault,
			 nl->text);
		return false;
	}
	if (nl->missing != built.missing) {
		tap_note("missing attribute: %u, expected %u", nl->missing, built.missing);
		return false;
	}
	after = digest_of(nl);
	if (before.sum != after.sum || before.count != after.count) {
		tap_note("the registry has changed");
		return false;
	}
	return true;
}

static void test_table(struct kmod_nl *nl)
{
	char buffer[4096];

	for (size_t i = 0; i < TABLE_SIZE; i++) {
		struct nlmsghdr *header = kmod_nl_message(nl, buffer, table[i].command,
							  table[i].flags);
		struct built built = build(header, table[i].words);

		tap_ok(refused(nl, header, built, table[i].error),
		       "malformed_%s", table[i].name);
	}
}

static void test_lengths(struct kmod_nl *nl)
{
	char buffer[4096], words[256];

	for (size_t i = 0; i < LENGTHS_SIZE; i++) {
		bool passed = true;

		for (unsigned int length = 0; length <= lengths[i].length + 5u; length++) {
			struct nlmsghdr *header;
			struct built built;

			if (length == lengths[i].length)
				continue;
			snprintf(words, sizeof(words), "%s !%u:%.*s", lengths[i].before,
				 lengths[i].type, (int)length * 2,
				 "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
			header = kmod_nl_message(nl, buffer, lengths[i].command, 0);
			built = build(header, words);
			if (refused(nl, header, built, 0))
				continue;
			tap_note("with a payload of %u bytes", length);
			passed = false;
		}
		tap_ok(passed, "malformed_command_%u_attribute_%u_of_every_wrong_length",
		       lengths[i].command, lengths[i].type);
	}
}

/* The valid message, cut anywhere: what is left is refused, whatever it looks like. */
static void test_cut(struct kmod_nl *nl)
{
	char buffer[4096];
	struct nlmsghdr *header = kmod_nl_message(nl, buffer, SET, 0);
	uint32_t whole, from = header->nlmsg_len, cut;
	int failed = 0, err;

	build(header, "4:0a090101 7:01000000 I P G");
	whole = header->nlmsg_len;
	for (cut = from - sizeof(struct genlmsghdr); cut < whole; cut++) {
		struct digest before = digest_of(nl), after;

		header->nlmsg_len = cut;
		header->nlmsg_seq = ++nl->seq;
		err = kmod_nl_talk(nl, header, NULL, NULL);
		after = digest_of(nl);
		if (err < 0 && before.sum == after.sum)
			continue;
		tap_note("cut to %u of %u bytes: %d", cut, whole, err);
		failed++;
	}
	tap_ok(!failed, "malformed_message_cut_at_every_byte");
	header->nlmsg_len = whole;
	tap_ok(!kmod_nl_talk(nl, header, NULL, NULL), "malformed_the_whole_message_is_accepted");
	kmod_container_del(nl, (const uint8_t *)"\xc0\xff\xee\0\0\0\0\0\0\0\0\1", 0);
}

static void test_headers(struct kmod_nl *nl)
{
	static const uint8_t versions[] = { 0, HOODY_GENL_VERSION + 1, 255 };
	char buffer[4096];
	bool passed = true;

	for (size_t i = 0; i < sizeof(versions); i++) {
		for (int command = SET; command <= STATS; command++) {
			bool dump = command == STATS;
			struct nlmsghdr *header = kmod_nl_message(nl, buffer, command,
								  dump ? NLM_F_DUMP : 0);
			struct genlmsghdr *genl = mnl_nlmsg_get_payload(header);

			genl->version = versions[i];
			build(header, command == SET ? "I P G" : command == AGENT ?
			      "6:0000000000000000" : dump || command == AGENT_GET ? "" : "I");
			if (!refused(nl, header, (struct built){}, EPROTONOSUPPORT)) {
				tap_note("version %u of command %d", versions[i], command);
				passed = false;
			}
		}
	}
	tap_ok(passed, "malformed_protocol_version");
	for (uint16_t reserved = 1, i = 0; i < 2; i++, reserved = 0x8000) {
		struct nlmsghdr *header = kmod_nl_message(nl, buffer, SET, 0);
		struct genlmsghdr *genl = mnl_nlmsg_get_payload(header);

		genl->reserved = reserved;
		build(header, "I P G");
		tap_ok(refused(nl, header, (struct built){}, EINVAL),
		       "malformed_reserved_%04x", reserved);
	}
}

static uint32_t random_state = 1;

static uint32_t random_next(void)
{
	random_state = random_state * 1664525 + 1013904223;
	return random_state >> 8;
}

/* Random damage: what is accepted by chance may be; the kernel stays in order. */
static void test_random(struct kmod_nl *nl, uint32_t seed)
{
	static const uint8_t commands[] = { SET, DEL, GET, AGENT, AGENT_GET };
	unsigned int accepted = 0, refusals = 0;
	char buffer[4096];

	random_state = seed;
	for (int round = 0; round < 4000; round++) {
		struct nlmsghdr *header = kmod_nl_message(nl, buffer, commands[random_next() % 5], 0);
		unsigned int damage = 1 + random_next() % 4, at;

		build(header, "I P G 4:0a090101 5:20010db8000000000000000000000001 7:01000000 "
			      "16:00000000");
		if (random_next() % 4 == 0)
			header->nlmsg_len = 20 + random_next() % (header->nlmsg_len - 20);
		while (damage-- && header->nlmsg_len > 20) {
			at = 20 + random_next() % (header->nlmsg_len - 20);
			((uint8_t *)header)[at] = random_next();
		}
		if (kmod_nl_talk(nl, header, NULL, NULL))
			refusals++;
		else
			accepted++;
	}
	tap_note("seed %u: %u refused, %u accepted", seed, refusals, accepted);
	tap_ok(refusals > 3000, "malformed_random_damage_survived");
}

int main(void)
{
	struct kmod_container present = { .generation = 5, .count4 = 1, .count6 = 1 };
	struct kmod_nl nl;

	if (kmod_load(""))
		kmod_die("hoody.ko cannot be loaded");
	if (system("ip addr add 10.99.0.1/24 brd + dev lo && ip link set lo up &&"
		   "ip -6 addr add fd63::1/128 dev lo nodad"))
		kmod_die("ip");
	if (kmod_nl_open(&nl))
		kmod_die("family");
	/* One that stays, so that a change of it would be seen. */
	kmod_id(present.id, 77);
	kmod_id(present.project, 78);
	inet_pton(AF_INET, "10.8.1.1", &present.addr4[0]);
	inet_pton(AF_INET6, "2001:db8:8::1", &present.addr6[0]);
	if (kmod_container_set(&nl, &present))
		kmod_die(nl.text);
	tap_plan(TABLE_SIZE + LENGTHS_SIZE + 2 + 3 + 2);
	test_table(&nl);
	test_lengths(&nl);
	test_cut(&nl);
	test_headers(&nl);
	test_random(&nl, 1);
	test_random(&nl, time(NULL));
	kmod_nl_close(&nl);
	kmod_unload();
	if (system("ip addr del 10.99.0.1/24 dev lo; ip -6 addr del fd63::1/128 dev lo"))
		tap_note("the addresses could not be taken away again");
	return tap_done();
}
