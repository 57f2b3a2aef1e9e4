// SPDX-License-Identifier: Apache-2.0
/*
 * The table of containers and exits, see policy.h. Control is trusted, but for
 * mistakes: whatever does not fit refuses the policy as a whole.
 */
#include "relay/strict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct place {
	struct address		address;
	struct relay_container	*container;	/* NULL: free */
};

#define TIMEOUT_MAX_MS	600000u
#define PROBE_MAX_MS	86400000u

struct relay_policy {
	struct relay_times	times;
	struct relay_exit	**exits;
	struct relay_places	*exit_places;	/* what they are to have once it holds */
	size_t			exits_count;
	struct relay_container	*containers;	/* in the order of ids */
	size_t			containers_count;
	struct place		*places;	/* by address, open addressing */
	size_t			places_mask;
};

void relay_exit_get(struct relay_exit *exit)
{
	exit->references++;
}

void relay_exit_put(struct relay_exit *exit)
{
	if (!exit || --exit->references)
		return;
	SSL_CTX_free(exit->tls);
	free(exit->ca);
	explicit_bzero(&exit->spec, sizeof(exit->spec));
	free(exit);
}

/* Certificates of @pem into a store of their own. */
static X509_STORE *read_ca(const char *pem)
{
	X509_STORE *store = X509_STORE_new();
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate;
	int count = 0;

	while (store && bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		count += X509_STORE_add_cert(store, certificate);
		X509_free(certificate);
	}
	ERR_clear_error();
	BIO_free(bio);
	if (count)
		return store;
	X509_STORE_free(store);
	return NULL;
}

static int set_up_tls(struct relay_exit *exit, X509_STORE *trust)
{
	X509_STORE *store = NULL;

	exit->tls = SSL_CTX_new(TLS_client_method());
	if (!exit->tls)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(exit->tls, TLS1_2_VERSION);
	SSL_CTX_set_verify(exit->tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(exit->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
					    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					    SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(exit->tls, SSL_OP_NO_RENEGOTIATION);
	if (!exit->ca) {
		X509_STORE_up_ref(trust);
		SSL_CTX_set_cert_store(exit->tls, trust);
		return 0;
	}
	store = read_ca(exit->ca);
	if (!store)
		return -EBADMSG;
	SSL_CTX_set_cert_store(exit->tls, store);
	return 0;
}

SSL *relay_exit_make_tls(const struct relay_exit *exit, int fd)
{
	const struct exit_spec *spec = &exit->spec;
	SSL *ssl = SSL_new(exit->tls);
	bool good = ssl && SSL_set_fd(ssl, fd);

	if (good && spec->host[0])
		good = SSL_set1_host(ssl, spec->host) && SSL_set_tlsext_host_name(ssl, spec->host);
	else if (good)
		good = X509_VERIFY_PARAM_set1_ip(SSL_get0_param(ssl),
						 (const uint8_t *)&spec->address.v6,
						 spec->address.family == AF_INET ? 4 : 16);
	if (good)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static int take_string(yyjson_val *object, const char *name, char *out, size_t size)
{
	yyjson_val *value = yyjson_obj_get(object, name);

	out[0] = '\0';
	if (!value)
		return 0;
	if (!yyjson_is_str(value) || yyjson_get_len(value) >= size)
		return -EBADMSG;
	memcpy(out, yyjson_get_str(value), yyjson_get_len(value) + 1);
	return 0;
}

static int read_spec(yyjson_val *value, struct exit_spec *spec)
{
	const char *kind = yyjson_get_str(yyjson_obj_get(value, "kind"));
	const uint64_t port = yyjson_get_uint(yyjson_obj_get(value, "port"));

	memset(spec, 0, sizeof(*spec));
	spec->kind = EXIT_SOCKS5;
	while (kind && spec->kind <= EXIT_HTTPS && strcmp(kind, exit_kind_name(spec->kind)))
		spec->kind++;
	if (!kind || spec->kind > EXIT_HTTPS || !port || port > UINT16_MAX ||
	    take_string(value, "host", spec->host, sizeof(spec->host)) ||
	    take_string(value, "user", spec->user, sizeof(spec->user)) ||
	    take_string(value, "password", spec->password, sizeof(spec->password)))
		return -EBADMSG;
	spec->port = (uint16_t)port;
	spec->has_login = spec->user[0] != '\0';
	return 0;
}

static int read_places(yyjson_val *list, struct relay_places *places)
{
	size_t index, max;
	yyjson_val *text;

	memset(places, 0, sizeof(*places));
	if (!yyjson_is_arr(list) || yyjson_arr_size(list) > EXIT_ADDRESSES_MAX)
		return -EBADMSG;
	yyjson_arr_foreach(list, index, max, text) {
		if (!yyjson_is_str(text) ||
		    address_parse(yyjson_get_str(text), yyjson_get_len(text),
				  &places->addresses[places->count++]))
			return -EBADMSG;
	}
	return 0;
}

/* The first to be tried stays that, where it is one of the new ones. */
static void set_places(struct relay_exit *exit, const struct relay_places *places)
{
	const struct relay_places old = exit->places;

	exit->places = *places;
	for (uint8_t i = 0; old.count && i < places->count; i++) {
		if (address_equal(&places->addresses[i], &old.addresses[old.first]))
			exit->places.first = i;
	}
	/* What was found out without an address, or with others, is soon found out anew. */
	if (!old.count && places->count)
		exit->probe_at = 0;
}

static struct relay_exit *find_exit(const struct relay_policy *policy, const struct exit_spec *spec,
				    const char *ca)
{
	for (size_t i = 0; policy && i < policy->exits_count; i++) {
		if (exit_equal(&policy->exits[i]->spec, spec) &&
		    same_text(policy->exits[i]->ca, ca))
			return policy->exits[i];
	}
	return NULL;
}

/* One exit of the list: that of @old, or a new one. */
static int read_exit(struct relay_policy *policy, yyjson_val *value,
		     const struct relay_policy *old, X509_STORE *trust)
{
	const char *ca = yyjson_get_str(yyjson_obj_get(value, "ca"));
	struct exit_spec spec;
	struct relay_exit *exit;
	struct relay_places *places = &policy->exit_places[policy->exits_count];
	int ret = read_spec(value, &spec);

	if (!ret)
		ret = read_places(yyjson_obj_get(value, "addresses"), places);
	if (!ret && !spec.host[0])
		ret = places->count == 1 ? 0 : -EBADMSG;
	if (ret)
		return ret;
	if (!spec.host[0])
		spec.address = places->addresses[0];
	exit = find_exit(old, &spec, ca);
	if (exit) {
		relay_exit_get(exit);
	} else {
		exit = calloc(1, sizeof(*exit));
		if (!exit)
			return -ENOMEM;
		exit->references = 1;
		exit->spec = spec;
		if (ca) {
			exit->ca = strdup(ca);
			ret = exit->ca ? 0 : -ENOMEM;
		}
		if (!ret && spec.kind == EXIT_HTTPS)
			ret = set_up_tls(exit, trust);
	}
	explicit_bzero(&spec, sizeof(spec));
	if (ret) {
		relay_exit_put(exit);
		return ret;
	}
	policy->exits[policy->exits_count++] = exit;
	return 0;
}

static struct place *find_place(const struct relay_policy *policy, const struct address *address)
{
	size_t at = address_hash(address) & policy->places_mask;

	while (policy->places[at].container &&
	       !address_equal(&policy->places[at].address, address))
		at = (at + 1) & policy->places_mask;
	return &policy->places[at];
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_set(struct name_set *set, yyjson_val *list)
{
	size_t index, max;
	yyjson_val *value;

	if (!yyjson_is_arr(list))
		return -EBADMSG;
	set->patterns = calloc(yyjson_arr_size(list) + 1, sizeof(*set->patterns));
	if (!set->patterns)
		return -ENOMEM;
	yyjson_arr_foreach(list, index, max, value) {
		if (!yyjson_is_str(value))
			return -EBADMSG;
		set->patterns[set->count] = strdup(yyjson_get_str(value));
		if (!set->patterns[set->count])
			return -ENOMEM;
		set->count++;
	}
	qsort(set->patterns, set->count, sizeof(*set->patterns), compare_names);
	return 0;
}

static void clear_set(struct name_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		free(set->patterns[i]);
	free(set->patterns);
}

static int read_names(struct relay_names *names, yyjson_val *value)
{
	int ret;

	if (!value)
		return 0;
	names->only = true;
	names->closed = !yyjson_is_false(yyjson_obj_get(value, "closed"));
	ret = read_set(&names->allow, yyjson_obj_get(value, "allow"));
	if (!ret)
		ret = read_set(&names->deny, yyjson_obj_get(value, "deny"));
	return ret ? ret : strict_read(names, yyjson_obj_get(value, "strict"));
}

static int read_container(struct relay_policy *policy, yyjson_val *value,
			  const struct relay_policy *old)
{
	struct relay_container *container = &policy->containers[policy->containers_count];
	yyjson_val *id = yyjson_obj_get(value, "id"), *number = yyjson_obj_get(value, "exit");
	const struct relay_container *before;
	size_t index, max;
	yyjson_val *text;
	int ret;

	if (!yyjson_is_str(id) || id_parse(yyjson_get_str(id), yyjson_get_len(id), container->id) ||
	    (!yyjson_is_null(number) &&
	     (!yyjson_is_uint(number) || yyjson_get_uint(number) >= policy->exits_count)))
		return -EBADMSG;
	/* Sorted by control: found by a binary search. */
	if (policy->containers_count && memcmp(container[-1].id, container->id, ID_LEN) >= 0)
		return -EBADMSG;
	container->bound = yyjson_obj_get(value, "interface") != NULL;
	if (take_string(value, "interface", container->interface, sizeof(container->interface)))
		return -EBADMSG;
	if (!yyjson_is_null(number))
		container->exit = policy->exits[yyjson_get_uint(number)];
	before = old ? relay_policy_by_id(old, container->id) : NULL;
	if (before)
		container->stats = before->stats;
	/* From here on it is one that is freed. */
	policy->containers_count++;
	ret = read_names(&container->names, yyjson_obj_get(value, "names"));
	if (ret)
		return ret;
	yyjson_arr_foreach(yyjson_obj_get(value, "dns"), index, max, text) {
		if (container->dns_count == RELAY_DNS_MAX || !yyjson_is_str(text) ||
		    address_parse(yyjson_get_str(text), yyjson_get_len(text),
				  &container->dns[container->dns_count]))
			return -EBADMSG;
		container->dns_count++;
	}
	yyjson_arr_foreach(yyjson_obj_get(value, "addresses"), index, max, text) {
		struct address address;
		struct place *place;

		if (!yyjson_is_str(text) ||
		    address_parse(yyjson_get_str(text), yyjson_get_len(text), &address))
			return -EBADMSG;
		place = find_place(policy, &address);
		if (place->container)
			return -EBADMSG;
		place->address = address;
		place->container = container;
	}
	return 0;
}

static int read_times(struct relay_times *times, yyjson_val *root)
{
	const uint64_t timeout = yyjson_get_uint(yyjson_obj_get(root, "timeout_ms"));
	const uint64_t probe = yyjson_get_uint(yyjson_obj_get(root, "probe_ms"));

	if (!timeout || timeout > TIMEOUT_MAX_MS || probe > PROBE_MAX_MS)
		return -EBADMSG;
	times->timeout_ms = (uint32_t)timeout;
	times->probe_ms = (uint32_t)probe;
	return 0;
}

/* Room for what the lists can hold. */
static int make_room(struct relay_policy *policy, yyjson_val *exits, yyjson_val *containers)
{
	const size_t count = yyjson_arr_size(containers);
	size_t addresses = 1, index, max;
	yyjson_val *value;

	yyjson_arr_foreach(containers, index, max, value)
		addresses += yyjson_arr_size(yyjson_obj_get(value, "addresses"));
	policy->places_mask = 15;
	while (policy->places_mask < 2 * addresses)
		policy->places_mask = policy->places_mask * 2 + 1;
	policy->exits = calloc(yyjson_arr_size(exits) + 1, sizeof(*policy->exits));
	policy->exit_places = calloc(yyjson_arr_size(exits) + 1, sizeof(*policy->exit_places));
	policy->containers = calloc(count + 1, sizeof(*policy->containers));
	policy->places = calloc(policy->places_mask + 1, sizeof(*policy->places));
	return policy->exits && policy->exit_places && policy->containers && policy->places ? 0 : -ENOMEM;
}

struct relay_policy *relay_policy_create(const char *json, size_t len,
					 const struct relay_policy *old, X509_STORE *trust)
{
	yyjson_doc *document = yyjson_read(json, len, 0);
	yyjson_val *root = yyjson_doc_get_root(document), *value;
	yyjson_val *exits = yyjson_obj_get(root, "exits");
	yyjson_val *containers = yyjson_obj_get(root, "containers");
	struct relay_policy *policy = calloc(1, sizeof(*policy));
	size_t index, max;
	int ret = policy ? 0 : -ENOMEM;

	if (!ret)
		ret = yyjson_is_arr(exits) && yyjson_is_arr(containers) ? 0 : -EBADMSG;
	if (!ret)
		ret = read_times(&policy->times, root);
	if (!ret)
		ret = make_room(policy, exits, containers);
	yyjson_arr_foreach(exits, index, max, value) {
		if (!ret)
			ret = read_exit(policy, value, old, trust);
	}
	yyjson_arr_foreach(containers, index, max, value) {
		if (!ret)
			ret = read_container(policy, value, old);
	}
	yyjson_doc_free(document);
	if (!ret) {
		for (size_t i = 0; i < policy->exits_count; i++)
			set_places(policy->exits[i], &policy->exit_places[i]);
		return policy;
	}
	relay_policy_destroy(policy);
	errno = -ret;
	return NULL;
}

void relay_policy_destroy(struct relay_policy *policy)
{
	if (!policy)
		return;
	for (size_t i = 0; i < policy->exits_count; i++)
		relay_exit_put(policy->exits[i]);
	for (size_t i = 0; i < policy->containers_count; i++) {
		clear_set(&policy->containers[i].names.allow);
		clear_set(&policy->containers[i].names.deny);
		strict_clear(&policy->containers[i].names);
	}
	free(policy->exits);
	free(policy->exit_places);
	free(policy->containers);
	free(policy->places);
	free(policy);
}

const struct relay_times *relay_policy_times(const struct relay_policy *policy)
{
	return &policy->times;
}

struct relay_exit *const *relay_policy_exits(const struct relay_policy *policy, size_t *count)
{
	*count = policy->exits_count;
	return policy->exits;
}

const struct relay_container *relay_policy_containers(const struct relay_policy *policy,
						      size_t *count)
{
	*count = policy->containers_count;
	return policy->containers;
}

struct relay_container *relay_policy_by_address(const struct relay_policy *policy,
						const struct address *address)
{
	return find_place(policy, address)->container;
}

static int compare_id(const void *key, const void *element)
{
	return memcmp(key, ((const struct relay_container *)element)->id, ID_LEN);
}

struct relay_container *relay_policy_by_id(const struct relay_policy *policy,
					   const uint8_t id[ID_LEN])
{
	return bsearch(id, policy->containers, policy->containers_count,
		       sizeof(*policy->containers), compare_id);
}
