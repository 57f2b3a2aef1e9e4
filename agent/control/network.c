// SPDX-License-Identifier: Apache-2.0
/* Exits of containers, see network.h. The calls are in api_network.c. */
#include "control/network.h"

#include "control/feature.h"
#include "control/firewall.h"
#include "kernel/steer.h"
#include "lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include <openssl/err.h>
#include <openssl/pem.h>

static void free_secret(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void network_settings_free(struct network_settings *settings)
{
	if (!settings)
		return;
	free_secret(settings->text);
	free(settings->ca);
	explicit_bzero(settings, sizeof(*settings));
	free(settings);
}

/* Whether there is at least one certificate, and nothing that is none. */
static bool is_pem(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *certificate;
	int count = 0;

	while (bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_free(certificate);
		count++;
	}
	/* That no further one begins is how a list ends. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		count = 0;
	ERR_clear_error();
	BIO_free(bio);
	return count > 0;
}

static int read_dns(struct network_settings *settings, yyjson_val *dns, const char **why)
{
	size_t index, max;
	yyjson_val *value;

	if (!yyjson_is_arr(dns) || yyjson_arr_size(dns) > RELAY_DNS_MAX) {
		*why = "must be a list of at most 4 addresses";
		return -EINVAL;
	}
	if (yyjson_arr_size(dns) && !exit_is_relayed(&settings->spec)) {
		*why = "is for exits through a proxy: otherwise the container asks its own servers";
		return -EINVAL;
	}
	yyjson_arr_foreach(dns, index, max, value) {
		if (!yyjson_is_str(value) ||
		    address_parse(yyjson_get_str(value), yyjson_get_len(value),
				  &settings->dns[settings->dns_count])) {
			*why = "must be a list of IP addresses";
			return -EINVAL;
		}
		settings->dns_count++;
	}
	return 0;
}

struct network_settings *network_settings_create(const uint8_t id[ID_LEN], const char *exit,
						 const char *ca, yyjson_val *dns,
						 const char **field, const char **why)
{
	struct network_settings *settings = calloc(1, sizeof(*settings));

	if (!settings)
		return NULL;
	*field = "exit";
	memcpy(settings->id, id, ID_LEN);
	if (exit_parse(exit, strlen(exit), &settings->spec, why))
		goto err_invalid;
	if (!strcmp(settings->spec.user, "***") && !strcmp(settings->spec.password, "***")) {
		*why = "has the stars that stand for a login: give the login itself";
		goto err_invalid;
	}
	*field = "dns";
	if (dns && read_dns(settings, dns, why))
		goto err_invalid;
	*field = "exit_ca";
	if (ca && settings->spec.kind != EXIT_HTTPS) {
		*why = "is for an https exit only";
		goto err_invalid;
	}
	if (ca && (strlen(ca) > NETWORK_CA_MAX || !is_pem(ca))) {
		*why = "must be certificates in PEM, of at most 65536 bytes";
		goto err_invalid;
	}
	settings->text = strdup(exit);
	settings->ca = ca ? strdup(ca) : NULL;
	if (settings->text && (!ca || settings->ca))
		return settings;
	network_settings_free(settings);
	errno = ENOMEM;
	return NULL;
err_invalid:
	network_settings_free(settings);
	errno = EINVAL;
	return NULL;
}

/* The index of @id, or where it would have to be. */
static size_t index_of(const struct network *network, const uint8_t id[ID_LEN], bool *found)
{
	size_t low = 0, high = network->count;

	*found = false;
	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const int order = memcmp(network->settings[middle]->id, id, ID_LEN);

		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct network_settings *network_find(const struct network *network,
					    const uint8_t id[ID_LEN])
{
	bool found = false;
	size_t at = network ? index_of(network, id, &found) : 0;

	return found ? network->settings[at] : NULL;
}

static int make_room(struct network *network)
{
	size_t room = network->room ? network->room * 2 : 64;
	struct network_settings **settings;

	if (network->count < network->room)
		return 0;
	settings = realloc(network->settings, room * sizeof(*settings));
	if (!settings)
		return -ENOMEM;
	network->settings = settings;
	network->room = room;
	return 0;
}

/* Returns what was there before, or NULL. There is room. */
static struct network_settings *put(struct network *network, struct network_settings *settings)
{
	struct network_settings *old = NULL;
	bool found;
	size_t at = index_of(network, settings->id, &found);

	if (found) {
		old = network->settings[at];
	} else {
		memmove(network->settings + at + 1, network->settings + at,
			(network->count - at) * sizeof(*network->settings));
		network->count++;
	}
	network->settings[at] = settings;
	return old;
}

/* Out of the table, not freed. */
static void take_out(struct network *network, const uint8_t id[ID_LEN])
{
	bool found;
	size_t at = index_of(network, id, &found);

	if (!found)
		return;
	network->count--;
	memmove(network->settings + at, network->settings + at + 1,
		(network->count - at) * sizeof(*network->settings));
}

void network_policy(const struct network *network, const struct container *container,
		    struct fw_policy *policy)
{
	const struct network_settings *settings = network_find(network, container->id);

	if (!settings || settings->spec.kind == EXIT_DIRECT)
		return;
	if (settings->spec.kind == EXIT_BLOCK) {
		policy->flags |= FW_EXIT_BLOCK;
		return;
	}
	policy->flags |= FW_EXIT_RELAY;
	if (knl_steer_device(container->netdev, &policy->steer_bridge, policy->steer_mac))
		memset(policy->steer_mac, 0, sizeof(policy->steer_mac));
}

static void add_exit(yyjson_mut_doc *document, yyjson_mut_val *exits,
		     const struct network_settings *settings)
{
	const struct exit_spec *spec = &settings->spec;
	yyjson_mut_val *exit = yyjson_mut_arr_add_obj(document, exits);
	char text[ADDRESS_TEXT_MAX];

	address_format(&spec->address, text);
	yyjson_mut_obj_add_str(document, exit, "kind", exit_kind_name(spec->kind));
	yyjson_mut_obj_add_strcpy(document, exit, "address", text);
	yyjson_mut_obj_add_uint(document, exit, "port", spec->port);
	if (spec->has_login) {
		yyjson_mut_obj_add_str(document, exit, "user", spec->user);
		yyjson_mut_obj_add_str(document, exit, "password", spec->password);
	}
	if (settings->ca)
		yyjson_mut_obj_add_str(document, exit, "ca", settings->ca);
}

static void add_dns(yyjson_mut_doc *document, yyjson_mut_val *object,
		    const struct network_settings *settings)
{
	yyjson_mut_val *dns = yyjson_mut_obj_add_arr(document, object, "dns");
	char text[ADDRESS_TEXT_MAX];

	for (unsigned int i = 0; i < settings->dns_count; i++) {
		address_format(&settings->dns[i], text);
		yyjson_mut_arr_add_strcpy(document, dns, text);
	}
}

static void add_container(yyjson_mut_doc *document, yyjson_mut_val *containers,
			  const struct container *container,
			  const struct network_settings *settings, size_t exit)
{
	yyjson_mut_val *entry = yyjson_mut_arr_add_obj(document, containers), *addresses;
	char text[ADDRESS_TEXT_MAX], id[ID_TEXT_LEN + 1];

	id_format(container->id, id);
	yyjson_mut_obj_add_strcpy(document, entry, "id", id);
	yyjson_mut_obj_add_uint(document, entry, "exit", exit);
	add_dns(document, entry, settings);
	addresses = yyjson_mut_obj_add_arr(document, entry, "addresses");
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		address_format(&container->addresses[i], text);
		yyjson_mut_arr_add_strcpy(document, addresses, text);
	}
}

static bool same_exit(const struct network_settings *a, const struct network_settings *b)
{
	return exit_equal(&a->spec, &b->spec) && !a->ca == !b->ca &&
	       (!a->ca || !strcmp(a->ca, b->ca));
}

/* What the relay is to do, as relay/policy.h has it; NULL without memory. */
static char *format_policy(const struct network *network, size_t *len)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document), *exits, *containers;
	const struct network_settings **seen = calloc(network->count + 1, sizeof(*seen));
	size_t seen_count = 0, exit;
	char *text = NULL;

	if (!root || !seen)
		goto out;
	yyjson_mut_doc_set_root(document, root);
	exits = yyjson_mut_obj_add_arr(document, root, "exits");
	containers = yyjson_mut_obj_add_arr(document, root, "containers");
	for (size_t i = 0; i < network->count; i++) {
		const struct network_settings *settings = network->settings[i];
		const struct container *container =
			model_find(network->control->model, settings->id);

		if (!container || !container->running || !exit_is_relayed(&settings->spec))
			continue;
		for (exit = 0; exit < seen_count && !same_exit(seen[exit], settings);)
			exit++;
		if (exit == seen_count) {
			seen[seen_count++] = settings;
			add_exit(document, exits, settings);
		}
		add_container(document, containers, container, settings, exit);
	}
	text = yyjson_mut_write(document, 0, len);
out:
	free(seen);
	yyjson_mut_doc_free(document);
	return text;
}

static int attach(void *context, enum fw_relay_socket which, int sock)
{
	struct network *network = context;
	struct firewall *firewall = network->control->firewall;
	int ret = firewall_load(firewall);

	return ret ? ret : knl_bpf_relay_set(firewall->bpf, which, sock);
}

/* The process is made once there is something to carry. */
static int need_daemon(struct network *network)
{
	const struct control *control = network->control;
	struct spawn_identity identity;
	int ret;

	if (network->daemon)
		return 0;
	ret = spawn_identity_find(control->config->worker_user, &identity);
	if (ret)
		return ret;
	network->daemon = relay_daemon_create(control->event, &identity, attach, network);
	return network->daemon ? 0 : -ENOMEM;
}

/* Tells the relay what holds. 0: @done will be called. */
static int push(struct network *network, relay_daemon_done *done, void *context)
{
	size_t len;
	char *text;
	int ret;

	if (!network->daemon)
		return -ENOTCONN;
	text = format_policy(network, &len);
	if (!text) {
		network->retry = true;
		return -ENOMEM;
	}
	ret = relay_daemon_policy(network->daemon, text, len, done, context);
	free_secret(text);
	network->retry = ret && ret != -ENOTCONN;
	if (network->retry)
		log_error("exits: the relay does not get the new policy: error=\"%s\"",
			  strerror(-ret));
	return ret;
}

/* Whether the exit can be enforced here. 0 or -errno with @fault. */
static int check(struct network *network, const struct container *container,
		 const struct network_settings *settings, char *fault, size_t size)
{
	struct firewall *firewall = network->control->firewall;
	int ret;

	if (!settings || settings->spec.kind == EXIT_DIRECT)
		return 0;
	if (!container->netdev[0]) {
		snprintf(fault, size, "an exit needs the container's interface on the host: "
			 "register it with its netdev");
		return -EINVAL;
	}
	ret = firewall_load(firewall);
	if (ret) {
		snprintf(fault, size, "an exit needs the container firewall: %s",
			 firewall->fault[0] ? firewall->fault : strerror(-ret));
		return -EOPNOTSUPP;
	}
	if (!exit_is_relayed(&settings->spec))
		return 0;
	ret = need_daemon(network);
	if (ret)
		snprintf(fault, size, "the relay cannot be started: %s", strerror(-ret));
	return ret;
}

static char *format_document(const struct network_settings *settings)
{
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(document);
	char *text = NULL;

	if (root) {
		yyjson_mut_doc_set_root(document, root);
		yyjson_mut_obj_add_str(document, root, "exit", settings->text);
		if (settings->ca)
			yyjson_mut_obj_add_str(document, root, "exit_ca", settings->ca);
		add_dns(document, root, settings);
		text = yyjson_mut_write(document, 0, NULL);
	}
	yyjson_mut_doc_free(document);
	return text;
}

static int store(struct network *network, const struct network_settings *settings)
{
	char *text = format_document(settings);
	int ret = text ? make_room(network) : -ENOMEM;

	if (!ret)
		ret = db_put_document(network->control->db, DB_KIND_NETWORK, settings->id, ID_LEN,
				      text, NULL);
	free_secret(text);
	return ret;
}

int network_store(struct network *network, const struct container *container,
		  struct network_settings *settings, relay_daemon_done *done, void *context,
		  char *fault, size_t fault_size)
{
	struct network_settings *old;
	int ret = check(network, container, settings, fault, fault_size);

	if (!ret) {
		ret = store(network, settings);
		if (ret)
			snprintf(fault, fault_size, "it cannot be stored: %s",
				 ret == -ENOMEM ? "out of memory" : db_fault(network->control->db));
	}
	if (ret) {
		network_settings_free(settings);
		return ret;
	}
	old = put(network, settings);
	/*
	 * The kernel first: from here on nothing new leaves by the old way. What the
	 * relay still carries by the old exit is cut before it answers.
	 */
	if (container->running)
		firewall_apply(network->control->firewall, container);
	network_settings_free(old);
	if (!container->running || push(network, done, context))
		done(context);
	return 0;
}

static int take_document(void *context, const void *key, size_t key_len, const char *body)
{
	struct network *network = context;
	yyjson_doc *document = yyjson_read(body, strlen(body), 0);
	yyjson_val *root = yyjson_doc_get_root(document);
	const char *exit = yyjson_get_str(yyjson_obj_get(root, "exit")), *field, *why;
	struct network_settings *settings = NULL;
	int ret = -EBADMSG;

	if (key_len == ID_LEN && exit) {
		settings = network_settings_create(
			key, exit, yyjson_get_str(yyjson_obj_get(root, "exit_ca")),
			yyjson_obj_get(root, "dns"), &field, &why);
		ret = settings ? make_room(network) : -errno;
	}
	if (!ret)
		network_settings_free(put(network, settings));
	else
		network_settings_free(settings);
	yyjson_doc_free(document);
	return ret;
}

static bool is_relay_needed(const struct network *network)
{
	for (size_t i = 0; i < network->count; i++) {
		const struct container *container =
			model_find(network->control->model, network->settings[i]->id);

		if (container && container->running &&
		    exit_is_relayed(&network->settings[i]->spec))
			return true;
	}
	return false;
}

static int set_up(struct control *control, char *fault, size_t fault_size)
{
	struct network *network = calloc(1, sizeof(*network));
	int ret;

	if (!network) {
		snprintf(fault, fault_size, "exits: out of memory");
		return -ENOMEM;
	}
	network->control = control;
	control->network = network;
	ret = db_load_documents(control->db, DB_KIND_NETWORK, take_document, network);
	if (ret) {
		snprintf(fault, fault_size, "database: the exits of containers cannot be used: %s",
			 strerror(-ret));
		return ret;
	}
	if (!is_relay_needed(network))
		return 0;
	ret = need_daemon(network);
	if (ret)
		snprintf(fault, fault_size, "the relay cannot be started: %s", strerror(-ret));
	else
		push(network, NULL, NULL);
	return ret;
}

static void tear_down(struct control *control)
{
	struct network *network = control->network;

	if (!network)
		return;
	relay_daemon_destroy(network->daemon);
	for (size_t i = 0; i < network->count; i++)
		network_settings_free(network->settings[i]);
	free(network->settings);
	free(network);
	control->network = NULL;
}

static int prepare(struct control *control, const struct container *container, char *fault,
		   size_t fault_size)
{
	return check(control->network, container, network_find(control->network, container->id),
		     fault, fault_size);
}

static void changed(struct control *control, const struct container *container)
{
	const struct network_settings *settings = network_find(control->network, container->id);

	if (settings && exit_is_relayed(&settings->spec))
		push(control->network, NULL, NULL);
}

static void gone(struct control *control, const uint8_t id[ID_LEN])
{
	struct network *network = control->network;
	const struct network_settings *settings = network_find(network, id);

	if (!settings)
		return;
	/* Deleted: its document went with it. */
	if (!model_find(control->model, id)) {
		take_out(network, id);
		network_settings_free((struct network_settings *)settings);
	}
	push(network, NULL, NULL);
}

static void tick(struct control *control)
{
	if (control->network->retry)
		push(control->network, NULL, NULL);
}

const struct feature network_feature = {
	.name = "network",
	.set_up = set_up,
	.tear_down = tear_down,
	.prepare = prepare,
	.changed = changed,
	.gone = gone,
	.tick = tick,
};
