// SPDX-License-Identifier: Apache-2.0
/*
 * Bodies of the control API, and the documents that are kept of them. The first byte
 * picks the parser, the rest is JSON (of the last one: text). What is accepted can be shown or
 * stored, and read again as the same; what is refused is refused by the name of a field, in words
 * that are UTF-8 when they are sent.
 */
#include "control/firewall.h"
#include "control/limits.h"
#include "control/network.h"
#include "control/services.h"
#include "fuzz.h"
#include "kernel/route.h"
#include "lib/utf8.h"

#include <openssl/sha.h>

/* What lies outside of parsers: the host's own addresses, the module, tunnels. */
int knl_address_is_local(const struct address *address)
{
	return 0;
}

enum image_real_ip_mode control_real_ip_mode(const struct control *control)
{
	return IMAGE_REAL_IP_OFF;
}

void tunnel_hash(const char *text, size_t len, uint8_t hash[TUNNEL_HASH_LEN])
{
	SHA256((const unsigned char *)text, len, hash);
}

/* A text of an answer, as it is sent: strict readers take it, and the rest is as it was. */
static void need_text(const char *text)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	char *repaired = strdup(text), *before, *after;

	fuzz_need(document && repaired, "memory");
	utf8_repair(repaired);
	before = yyjson_mut_val_write(yyjson_mut_str(document, text), 0, NULL);
	after = yyjson_mut_val_write(yyjson_mut_str(document, repaired), 0, NULL);
	fuzz_need(after != NULL, "what is repaired is UTF-8");
	fuzz_need(!before == !!strcmp(text, repaired),
		  "what is UTF-8 is left alone, what is not is not");
	free(before);
	free(after);
	free(repaired);
	yyjson_mut_doc_free(document);
}

static void need_told(const char *field, const char *message)
{
	fuzz_need(field && message && *message, "a refusal says what and why");
	need_text(field);
	need_text(message);
}

/* What @text is once it has been read and written again. */
typedef char *write_again(const char *text);

static void need_same(char *text, write_again *again)
{
	char *other;

	fuzz_need(text != NULL, "what is accepted can be stored");
	other = again(text);
	fuzz_need(other != NULL, "what is stored can be read");
	fuzz_need(!strcmp(text, other), "what is read is what was stored");
	free(other);
	free(text);
}

static char *limits_text(yyjson_val *body)
{
	const char *field = NULL, *message = NULL;
	struct limits_rules rules = {0};

	if (!limits_parse(body, &rules, &field, &message))
		return limits_format(&rules);
	need_told(field, message);
	return NULL;
}

static char *services_text(yyjson_val *body)
{
	const char *field = NULL, *message = NULL;
	struct services_options options = {0};

	if (!services_parse(body, &options, &field, &message))
		return services_format(&options);
	need_told(field, message);
	return NULL;
}

/* A container as it is shown, less what no call takes. */
static char *container_text(yyjson_val *body)
{
	static const char *const made[] = {"state", "generation", "real_ip", "created_at",
					   "updated_at"};
	static struct config config;
	const struct control control = {.config = &config};
	const unsigned int all = CONTAINER_ID | CONTAINER_PROJECT | CONTAINER_NAME |
				 CONTAINER_REALM | CONTAINER_CGROUP | CONTAINER_NETDEV |
				 CONTAINER_ADDRESSES | CONTAINER_PORTS | CONTAINER_GATEWAY;
	struct container *container = calloc(1, sizeof(*container));
	struct container_fault fault = {0};
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *shown;
	char *text = NULL;

	fuzz_need(container && document, "memory");
	if (container_ids_from_json(body, container->id, container->project, &fault) ||
	    container_from_json(container, body, all, &fault)) {
		need_told(fault.field, fault.message);
		fuzz_need(fault.status >= 400 && fault.code[0], "a refusal has a code");
	} else {
		shown = container_to_json(&control, container, document);
		for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
			yyjson_mut_obj_remove_key(shown, made[i]);
		text = yyjson_mut_val_write(shown, 0, NULL);
		fuzz_need(text != NULL, "what is accepted can be shown");
	}
	yyjson_mut_doc_free(document);
	container_free(container);
	return text;
}

static char *firewall_text(yyjson_val *body)
{
	struct firewall_rules *rules = firewall_rules_create();
	struct container_fault fault = {0};
	char *text = NULL;

	fuzz_need(rules != NULL, "memory");
	if (!firewall_rules_from_json(rules, body, &fault)) {
		text = firewall_rules_format(rules);
		for (uint32_t i = 0; i < rules->count; i++)
			fuzz_need(firewall_rules_find(rules, rules->rules[i].id) ==
					  &rules->rules[i],
				  "a rule is found by its id");
	} else {
		need_told(fault.field, fault.message);
	}
	firewall_rules_free(rules);
	return text;
}

static char *firewall_again(const char *text)
{
	struct firewall_rules *rules = firewall_rules_parse(text);
	char *again = rules ? firewall_rules_format(rules) : NULL;

	firewall_rules_free(rules);
	return again;
}

static const char *text_or(yyjson_val *body, const char *name, const char *otherwise)
{
	yyjson_val *value = yyjson_obj_get(body, name);
	const char *text = yyjson_get_str(value);

	return text && strlen(text) == yyjson_get_len(value) ? text : otherwise;
}

/* The exit and the certificates are kept as they came: what counts is the verdict. */
static void network(yyjson_val *body)
{
	const struct network_fields fields = {
		.exit = text_or(body, "exit", "direct"),
		.ca = text_or(body, "exit_ca", NULL),
		.wireguard = text_or(body, "wireguard", NULL),
		.dns = yyjson_obj_get(body, "dns"),
	};
	struct network_fault fault = {.field = "exit"};
	const uint8_t id[ID_LEN] = {1};
	struct network_settings *settings = network_settings_create(id, &fields, &fault);

	if (settings) {
		fuzz_need(!strcmp(settings->text, fields.exit), "the exit is kept as it was given");
		fuzz_need(!settings->wireguard == (settings->spec.kind != EXIT_WIREGUARD),
			  "a tunnel has its file");
		fuzz_need(settings->dns_count <= RELAY_DNS_MAX,
			  "as many servers as there is room for");
		network_settings_free(settings);
	} else {
		need_told(fault.field, fault.why);
	}
}

/* @read of a text instead of a body. */
static char *text_again(const char *text, char *(*read)(yyjson_val *body))
{
	yyjson_doc *document = yyjson_read(text, strlen(text), 0);
	char *again = document ? read(yyjson_doc_get_root(document)) : NULL;

	yyjson_doc_free(document);
	return again;
}

static char *limits_again(const char *text)
{
	return text_again(text, limits_text);
}

static char *services_again(const char *text)
{
	return text_again(text, services_text);
}

static char *container_again(const char *text)
{
	return text_again(text, container_text);
}

static const struct {
	char *(*read)(yyjson_val *body);
	write_again *again;
} kinds[] = {
	{limits_text, limits_again},
	{services_text, services_again},
	{container_text, container_again},
	{firewall_text, firewall_again},
};

#define KINDS (sizeof(kinds) / sizeof(*kinds))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = {data, size};
	/* Digits, so that inputs by hand can be read. */
	const unsigned int kind = (unsigned int)(fuzz_byte(&input) - '0') % (KINDS + 2);
	char *copy = fuzz_copy(input, false), *text;
	yyjson_doc *document = yyjson_read_opts(copy, input.len, 0, NULL, NULL);
	yyjson_val *body = yyjson_doc_get_root(document);

	if (kind > KINDS) {
		text = fuzz_copy(input, true);
		need_text(text);
		free(text);
	} else if (yyjson_is_obj(body) && kind == KINDS) {
		network(body);
	} else if (yyjson_is_obj(body)) {
		text = kinds[kind].read(body);
		if (text)
			need_same(text, kinds[kind].again);
	}
	yyjson_doc_free(document);
	free(copy);
	return 0;
}
