// SPDX-License-Identifier: Apache-2.0
/* DNS messages by c-ares, see message.h. */
#include "names/message.h"

#include <ares.h>
#include <errno.h>
#include <string.h>

#define EDNS_SIZE	1232

/*
 * As in rules: lower case, no dot at the end. -EBADMSG: no rule could say it, such as
 * a part that holds a dot, which is written with a backslash.
 */
static int take_name(const char *text, char out[NAMES_TEXT_MAX])
{
	size_t len = strlen(text);

	if (strchr(text, '\\'))
		return -EBADMSG;
	if (len && text[len - 1] == '.')
		len--;
	if (len >= NAMES_TEXT_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		const char c = text[i];

		out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
	}
	out[len] = '\0';
	return 0;
}

/* Behind a name of the message, compressed or not; 0: there is none. */
static size_t skip_name(const unsigned char *bytes, size_t len, size_t at)
{
	while (at < len && bytes[at]) {
		if (bytes[at] >= 0xc0)
			return at + 2 <= len ? at + 2 : 0;
		if (bytes[at] > 63)
			return 0;
		at += 1 + (size_t)bytes[at];
	}
	return at < len ? at + 1 : 0;
}

/* Where the only question of a message ends; 0: it has not one. */
static size_t question_end(const unsigned char *bytes, size_t len)
{
	const size_t at = len > NAMES_HEADER && bytes[4] == 0 && bytes[5] == 1 ?
				  skip_name(bytes, len, NAMES_HEADER) : 0;

	return at && at + 4 <= len ? at + 4 : 0;
}

/* What the asker takes, and wants (RFC 6891, RFC 3225). */
static void take_options(const ares_dns_record_t *record, struct names_question *question)
{
	question->room = NAMES_UDP_SIZE;
	for (size_t i = 0; i < ares_dns_record_rr_cnt(record, ARES_SECTION_ADDITIONAL); i++) {
		const ares_dns_rr_t *rr =
			ares_dns_record_rr_get_const(record, ARES_SECTION_ADDITIONAL, i);
		uint16_t size;

		if (ares_dns_rr_get_type(rr) != ARES_REC_TYPE_OPT)
			continue;
		size = ares_dns_rr_get_u16(rr, ARES_RR_OPT_UDP_SIZE);
		if (size > NAMES_UDP_LARGEST)
			size = NAMES_UDP_LARGEST;
		if (size > question->room)
			question->room = size;
		question->signatures = ares_dns_rr_get_u16(rr, ARES_RR_OPT_FLAGS) >> 15;
	}
}

/* What a host name can have, with the marks that records of services have too. */
static bool can_be_asked(const char *name)
{
	return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-._/*")] == '\0';
}

int names_read_query(const unsigned char *bytes, size_t len, struct names_question *question)
{
	ares_dns_record_t *record = NULL;
	ares_dns_rec_type_t type;
	ares_dns_class_t class;
	const char *name;
	int ret = NAMES_FORMERR;

	memset(question, 0, sizeof(*question));
	/* An answer is never answered: two servers would talk for ever. */
	if (len < NAMES_HEADER || len > NAMES_QUERY_MAX || bytes[2] & 0x80)
		return -EBADMSG;
	question->id = (uint16_t)(bytes[0] << 8 | bytes[1]);
	question->recursion = bytes[2] & 0x01;
	question->unchecked = bytes[3] & 0x10;
	question->room = NAMES_UDP_SIZE;
	question->end = question_end(bytes, len);
	if ((bytes[2] >> 3 & 15) != 0)
		return NAMES_NOTIMP;
	if (!question->end || ares_dns_parse(bytes, len, 0, &record) != ARES_SUCCESS)
		return NAMES_FORMERR;
	if (ares_dns_record_query_get(record, 0, &name, &type, &class) != ARES_SUCCESS ||
	    take_name(name, question->name) || !can_be_asked(question->name))
		goto out;
	question->type = (uint16_t)type;
	take_options(record, question);
	ret = class == ARES_CLASS_IN ? 0 : NAMES_REFUSED;
out:
	ares_dns_record_destroy(record);
	return ret;
}

static ares_status_t add_options(ares_dns_record_t *record, bool signatures)
{
	ares_dns_rr_t *rr;
	ares_status_t status = ares_dns_record_rr_add(&rr, record, ARES_SECTION_ADDITIONAL, "",
						      ARES_REC_TYPE_OPT, ARES_CLASS_IN, 0);

	if (status == ARES_SUCCESS)
		status = ares_dns_rr_set_u16(rr, ARES_RR_OPT_UDP_SIZE, EDNS_SIZE);
	if (status == ARES_SUCCESS)
		status = ares_dns_rr_set_u8(rr, ARES_RR_OPT_VERSION, 0);
	if (status == ARES_SUCCESS)
		status = ares_dns_rr_set_u16(rr, ARES_RR_OPT_FLAGS, signatures ? 0x8000 : 0);
	return status;
}

ssize_t names_make_request(const struct names_question *question, uint16_t id,
			   unsigned char out[NAMES_REQUEST_MAX])
{
	const unsigned short flags = (question->recursion ? ARES_FLAG_RD : 0) |
				     (question->unchecked ? ARES_FLAG_CD : 0);
	ares_dns_record_t *record = NULL;
	unsigned char *bytes = NULL;
	ssize_t ret = -ENOMEM;
	size_t len;

	if (ares_dns_record_create(&record, id, flags, ARES_OPCODE_QUERY, ARES_RCODE_NOERROR) !=
		    ARES_SUCCESS ||
	    ares_dns_record_query_add(record, question->name,
				      (ares_dns_rec_type_t)question->type, ARES_CLASS_IN) !=
		    ARES_SUCCESS ||
	    add_options(record, question->signatures) != ARES_SUCCESS ||
	    ares_dns_write(record, &bytes, &len) != ARES_SUCCESS || len > NAMES_REQUEST_MAX)
		goto out;
	memcpy(out, bytes, len);
	ret = (ssize_t)len;
out:
	ares_free_string(bytes);
	ares_dns_record_destroy(record);
	return ret;
}

static void lower(uint32_t *value, uint32_t limit)
{
	if (*value > limit)
		*value = limit;
}

static int take_address(const ares_dns_rr_t *rr, struct names_answer *answer)
{
	struct address *address = &answer->addresses[answer->count];
	const bool v4 = ares_dns_rr_get_type(rr) == ARES_REC_TYPE_A;
	const void *bytes = v4 ? (const void *)ares_dns_rr_get_addr(rr, ARES_RR_A_ADDR) :
				 (const void *)ares_dns_rr_get_addr6(rr, ARES_RR_AAAA_ADDR);

	if (!bytes)
		return -EBADMSG;
	if (answer->count == NAMES_ADDRESSES_MAX)
		return -E2BIG;
	memset(address, 0, sizeof(*address));
	address->family = v4 ? AF_INET : AF_INET6;
	memcpy(v4 ? (void *)&address->v4 : (void *)&address->v6, bytes, v4 ? 4 : 16);
	answer->count++;
	return 0;
}

/* Follows the CNAMEs from @name: where addresses have to stand. */
static int follow(const ares_dns_record_t *record, char name[NAMES_TEXT_MAX],
		  struct names_answer *answer)
{
	const size_t count = ares_dns_record_rr_cnt(record, ARES_SECTION_ANSWER);
	char owner[NAMES_TEXT_MAX];
	unsigned int steps = 0;
	bool found;

	do {
		found = false;
		for (size_t i = 0; i < count && !found; i++) {
			const ares_dns_rr_t *rr =
				ares_dns_record_rr_get_const(record, ARES_SECTION_ANSWER, i);
			const char *target;

			if (ares_dns_rr_get_type(rr) != ARES_REC_TYPE_CNAME ||
			    take_name(ares_dns_rr_get_name(rr), owner) || strcmp(owner, name))
				continue;
			target = ares_dns_rr_get_str(rr, ARES_RR_CNAME_CNAME);
			if (!target || take_name(target, name))
				return -EBADMSG;
			lower(&answer->address_ttl, ares_dns_rr_get_ttl(rr));
			found = true;
		}
		if (found && ++steps > NAMES_CHAIN_MAX)
			return -E2BIG;
	} while (found);
	return 0;
}

/* Records of the answer itself. An address that belongs to another name is a lie. */
static int take_records(const ares_dns_record_t *record, const char *name,
			struct names_answer *answer)
{
	const size_t count = ares_dns_record_rr_cnt(record, ARES_SECTION_ANSWER);
	char owner[NAMES_TEXT_MAX];
	int ret = 0;

	for (size_t i = 0; i < count && !ret; i++) {
		const ares_dns_rr_t *rr =
			ares_dns_record_rr_get_const(record, ARES_SECTION_ANSWER, i);
		const ares_dns_rec_type_t type = ares_dns_rr_get_type(rr);

		lower(&answer->ttl, ares_dns_rr_get_ttl(rr));
		if (type != ARES_REC_TYPE_A && type != ARES_REC_TYPE_AAAA)
			continue;
		if (take_name(ares_dns_rr_get_name(rr), owner) || strcmp(owner, name))
			return -EBADMSG;
		lower(&answer->address_ttl, ares_dns_rr_get_ttl(rr));
		ret = take_address(rr, answer);
	}
	return ret;
}

/* RFC 2308 5: without records an answer lives as long as the zone's SOA says. */
static void take_negative(const ares_dns_record_t *record, struct names_answer *answer)
{
	const size_t count = ares_dns_record_rr_cnt(record, ARES_SECTION_AUTHORITY);
	uint32_t ttl = 0;

	for (size_t i = 0; i < count; i++) {
		const ares_dns_rr_t *rr =
			ares_dns_record_rr_get_const(record, ARES_SECTION_AUTHORITY, i);

		if (ares_dns_rr_get_type(rr) != ARES_REC_TYPE_SOA)
			continue;
		ttl = ares_dns_rr_get_ttl(rr);
		lower(&ttl, ares_dns_rr_get_u32(rr, ARES_RR_SOA_MINIMUM));
	}
	lower(&answer->ttl, ttl);
}

static bool is_same_question(const ares_dns_record_t *record,
			     const struct names_question *question)
{
	char name[NAMES_TEXT_MAX];
	ares_dns_rec_type_t type;
	ares_dns_class_t class;
	const char *text;

	return ares_dns_record_query_cnt(record) == 1 &&
	       ares_dns_record_query_get(record, 0, &text, &type, &class) == ARES_SUCCESS &&
	       class == ARES_CLASS_IN && (uint16_t)type == question->type &&
	       !take_name(text, name) && !strcmp(name, question->name);
}

int names_read_answer(const unsigned char *bytes, size_t len,
		      const struct names_question *question, uint16_t id,
		      struct names_answer *answer)
{
	char name[NAMES_TEXT_MAX];
	ares_dns_record_t *record = NULL;
	int ret = -EAGAIN;

	answer->count = 0;
	answer->ttl = answer->address_ttl = UINT32_MAX;
	if (len < NAMES_HEADER || bytes[0] != id >> 8 || bytes[1] != (id & 0xff) ||
	    !(bytes[2] & 0x80))
		return -EAGAIN;
	answer->rcode = bytes[3] & 15;
	answer->truncated = bytes[2] & 0x02;
	if (question_end(bytes, len) != question->end ||
	    ares_dns_parse(bytes, len, 0, &record) != ARES_SUCCESS)
		return answer->truncated && question_end(bytes, len) == question->end ? 0 :
											-EAGAIN;
	if (!is_same_question(record, question))
		goto out;
	strcpy(name, question->name);
	ret = follow(record, name, answer);
	if (!ret)
		ret = take_records(record, name, answer);
	if (!ares_dns_record_rr_cnt(record, ARES_SECTION_ANSWER))
		take_negative(record, answer);
	if (answer->truncated || (answer->rcode != NAMES_NOERROR &&
				  answer->rcode != NAMES_NXDOMAIN))
		answer->ttl = 0;
out:
	ares_dns_record_destroy(record);
	return ret;
}

static void age(unsigned char *ttl, uint32_t seconds)
{
	uint32_t value = (uint32_t)ttl[0] << 24 | (uint32_t)ttl[1] << 16 |
			 (uint32_t)ttl[2] << 8 | ttl[3];

	value = value > seconds ? value - seconds : 0;
	for (int i = 3; i >= 0; i--, value >>= 8)
		ttl[i] = (unsigned char)value;
}

void names_set_asker(unsigned char *answer, size_t len, const unsigned char *query,
		     const struct names_question *question, uint32_t seconds)
{
	size_t at = question->end, records;

	memcpy(answer, query, 2);
	/* The question as it was asked, which may be spelled in capitals. */
	memcpy(answer + NAMES_HEADER, query + NAMES_HEADER, question->end - NAMES_HEADER);
	records = (size_t)(answer[6] << 8 | answer[7]) + (size_t)(answer[8] << 8 | answer[9]) +
		  (size_t)(answer[10] << 8 | answer[11]);
	while (seconds && records--) {
		at = skip_name(answer, len, at);
		if (!at || at + 10 > len)
			return;
		/* Of an OPT record these are flags. */
		if (answer[at] || answer[at + 1] != 41)
			age(answer + at + 4, seconds);
		at += 10 + ((size_t)answer[at + 8] << 8 | answer[at + 9]);
	}
}

size_t names_make_refusal(unsigned char *query, size_t len, const struct names_question *question,
			  enum names_rcode rcode)
{
	query[2] = (unsigned char)(0x80 | (query[2] & 0x79));
	query[3] = (unsigned char)(0x80 | (query[3] & 0x10) | rcode);
	memset(query + 6, 0, 6);
	if (question->end)
		return question->end;
	memset(query + 4, 0, 2);
	return NAMES_HEADER;
}

size_t names_truncate(unsigned char *answer, size_t len, size_t room)
{
	size_t end;

	if (len <= room)
		return len;
	/* TC (RFC 1035 4.1.1): the asker comes again over TCP. */
	end = question_end(answer, len);
	answer[2] |= 0x02;
	memset(answer + 6, 0, 6);
	if (end)
		return end;
	memset(answer + 4, 0, 2);
	return NAMES_HEADER;
}

bool names_address_is_local(const struct address *address)
{
	const uint32_t v4 = ntohl(address->v4.s_addr);
	const struct in6_addr *v6 = &address->v6;

	if (address->family == AF_INET)
		return v4 >> 24 == 0 || v4 >> 24 == 127 || v4 >> 16 == 0xa9fe || v4 >> 28 >= 14;
	return IN6_IS_ADDR_UNSPECIFIED(v6) || IN6_IS_ADDR_LOOPBACK(v6) ||
	       IN6_IS_ADDR_LINKLOCAL(v6) || IN6_IS_ADDR_MULTICAST(v6) ||
	       IN6_IS_ADDR_V4MAPPED(v6) || IN6_IS_ADDR_V4COMPAT(v6) ||
	       IN6_IS_ADDR_SITELOCAL(v6);
}
