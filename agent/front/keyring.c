/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates and keys of a worker, see keyring.h.
 */
#include "front/keyring.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	char			name[KEYS_NAME_MAX];
	struct front_pair	*pair;
};

struct table {
	struct entry	*entries;	/* by name, once all are there */
	size_t		count, room;
};

struct challenge {
	char	host[KEYS_NAME_MAX];
	char	token[KEYS_TOKEN_MAX];
	char	text[KEYS_TOKEN_MAX];
};

struct front_keyring {
	struct front_pair	*node;
	struct table		names, alpn;
	struct front_pair	**pairs;	/* of other names, by digest once all are there */
	size_t			pairs_count, pairs_room;
	struct challenge	http[KEYS_CHALLENGES_MAX];
	unsigned int		http_count;
	unsigned char		tickets[KEYS_TICKETS_MAX][KEYS_TICKET_LEN];
	unsigned int		tickets_count;
};

/* No prompt: a key with a passphrase is refused. */
static int no_passphrase(char *buffer, int size, int writing, void *argument)
{
	return -1;
}

/* ---- one certificate ---- */

static void pair_put(struct front_pair *pair)
{
	if (!pair || __atomic_sub_fetch(&pair->users, 1, __ATOMIC_ACQ_REL))
		return;
	X509_free(pair->leaf);
	EVP_PKEY_free(pair->key);
	sk_X509_pop_free(pair->chain, X509_free);
	free(pair);
}

static const char *read_chain(struct front_pair *pair, BIO *bio)
{
	X509 *certificate;

	pair->chain = sk_X509_new_null();
	pair->leaf = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	if (!pair->chain)
		return "no memory";
	if (!pair->leaf)
		return "no certificate in the PEM text";
	while ((certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		if (sk_X509_push(pair->chain, certificate))
			continue;
		X509_free(certificate);
		return "no memory";
	}
	return NULL;
}

static const char *read_pair(struct front_pair *pair, const char *text, size_t len)
{
	BIO *chain = BIO_new_mem_buf(text, (int)len), *key = BIO_new_mem_buf(text, (int)len);
	const char *fault = "no memory";

	if (chain && key)
		fault = read_chain(pair, chain);
	if (!fault) {
		pair->key = PEM_read_bio_PrivateKey(key, NULL, no_passphrase, NULL);
		if (!pair->key)
			fault = "no private key, or one with a passphrase, in the PEM text";
		else if (X509_check_private_key(pair->leaf, pair->key) != 1)
			fault = "the private key does not belong to the certificate";
	}
	BIO_free(chain);
	BIO_free(key);
	ERR_clear_error();
	return fault;
}

static int by_digest(const void *a, const void *b)
{
	return memcmp((*(struct front_pair *const *)a)->digest,
		      (*(struct front_pair *const *)b)->digest, sizeof((*(struct front_pair **)0)->digest));
}

/* The pair of this text: the one that there was, or a new one. */
static struct front_pair *make_pair(const struct front_keyring *previous, const char *text,
				    size_t len, const char **fault)
{
	struct front_pair *pair = calloc(1, sizeof(*pair)), **found = NULL;

	*fault = "no memory";
	if (!pair || len > INT_MAX ||
	    EVP_Digest(text, len, pair->digest, NULL, EVP_sha256(), NULL) != 1)
		goto err;
	if (previous && previous->pairs_count)
		found = bsearch(&pair, previous->pairs, previous->pairs_count,
				sizeof(struct front_pair *), by_digest);
	if (found) {
		free(pair);
		__atomic_add_fetch(&(*found)->users, 1, __ATOMIC_RELAXED);
		*fault = NULL;
		return *found;
	}
	pair->users = 1;
	*fault = read_pair(pair, text, len);
	if (!*fault)
		return pair;
	pair_put(pair);
	return NULL;
err:
	free(pair);
	return NULL;
}

/* ---- tables ---- */

static void lower(char *text)
{
	for (; *text; text++) {
		if (*text >= 'A' && *text <= 'Z')
			*text += 'a' - 'A';
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static struct front_pair *find(const struct table *table, const char *name)
{
	struct entry key, *found;

	if (!table->count || strlen(name) >= sizeof(key.name))
		return NULL;
	strcpy(key.name, name);
	found = bsearch(&key, table->entries, table->count, sizeof(key), by_name);
	return found ? found->pair : NULL;
}

/* @pair stays the caller's; the table lives no longer. */
static int add(struct table *table, const char *name, struct front_pair *pair)
{
	size_t room = table->room ? table->room * 2 : 16;
	struct entry *grown;

	if (table->count == table->room) {
		grown = reallocarray(table->entries, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		table->entries = grown;
		table->room = room;
	}
	strcpy(table->entries[table->count].name, name);
	lower(table->entries[table->count].name);
	table->entries[table->count++].pair = pair;
	return 0;
}

/* Sorts; of two certificates for one name the first is kept. */
static void settle(struct table *table)
{
	size_t kept = 0;

	if (table->count)
		qsort(table->entries, table->count, sizeof(*table->entries), by_name);
	for (size_t i = 0; i < table->count; i++) {
		if (!kept || strcmp(table->entries[kept - 1].name, table->entries[i].name))
			table->entries[kept++] = table->entries[i];
	}
	table->count = kept;
}

static int keep_pair(struct front_keyring *keyring, struct front_pair *pair)
{
	size_t room = keyring->pairs_room ? keyring->pairs_room * 2 : 16;
	struct front_pair **grown;

	if (keyring->pairs_count == keyring->pairs_room) {
		grown = reallocarray(keyring->pairs, room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		keyring->pairs = grown;
		keyring->pairs_room = room;
	}
	keyring->pairs[keyring->pairs_count++] = pair;
	return 0;
}

/* ---- sections ---- */

static const char *take_pair(struct front_keyring *keyring, const struct front_keyring *previous,
			     struct keys_section *section)
{
	struct table *table = section->kind == KEYS_ALPN ? &keyring->alpn : &keyring->names;
	char name[KEYS_NAME_MAX];
	struct front_pair *pair;
	const char *fault;
	int more;

	pair = make_pair(previous, section->body, section->body_len, &fault);
	if (!pair)
		return fault;
	if (keep_pair(keyring, pair)) {
		pair_put(pair);
		return "no memory";
	}
	while ((more = keys_word(section, name, sizeof(name))) > 0) {
		if (add(table, name, pair))
			return "no memory";
	}
	return more < 0 ? "a name is too long" : NULL;
}

static const char *take_http(struct front_keyring *keyring, struct keys_section *section)
{
	struct challenge *challenge = &keyring->http[keyring->http_count];

	if (keyring->http_count == KEYS_CHALLENGES_MAX)
		return "too many challenges";
	if (keys_word(section, challenge->host, sizeof(challenge->host)) != 1 ||
	    keys_word(section, challenge->token, sizeof(challenge->token)) != 1 ||
	    keys_word(section, challenge->text, sizeof(challenge->text)) != 1)
		return "a challenge is malformed";
	keyring->http_count++;
	return NULL;
}

static const char *take_ticket(struct front_keyring *keyring, const struct keys_section *section)
{
	if (keyring->tickets_count == KEYS_TICKETS_MAX)
		return "too many ticket keys";
	if (keys_ticket(section, keyring->tickets[keyring->tickets_count]))
		return "a ticket key is malformed";
	keyring->tickets_count++;
	return NULL;
}

static const char *take(struct front_keyring *keyring, const struct front_keyring *previous,
			struct keys_section *section)
{
	const char *fault = "two certificates of this node";

	switch (section->kind) {
	case KEYS_NODE:
		if (!keyring->node)
			keyring->node = make_pair(NULL, section->body, section->body_len, &fault);
		return fault;
	case KEYS_NAMES:
	case KEYS_ALPN:
		return take_pair(keyring, previous, section);
	case KEYS_TICKET:
		return take_ticket(keyring, section);
	case KEYS_HTTP:
		return take_http(keyring, section);
	}
	return "a section of unknown kind";
}

static const char *make_ticket(struct front_keyring *keyring, const struct front_keyring *previous)
{
	if (keyring->tickets_count)
		return NULL;
	keyring->tickets_count = 1;
	if (previous)
		memcpy(keyring->tickets[0], previous->tickets[0], KEYS_TICKET_LEN);
	else if (RAND_bytes(keyring->tickets[0], KEYS_TICKET_LEN) != 1)
		return "no randomness";
	return NULL;
}

struct front_keyring *front_keyring_create(const char *text, size_t len,
					   const struct front_keyring *previous,
					   const char **fault)
{
	struct front_keyring *keyring = calloc(1, sizeof(*keyring));
	struct keys_section section;
	const char *at = text;
	int more = 1;

	*fault = keyring ? NULL : "no memory";
	while (!*fault && (more = keys_next(&at, text + len, &section)) > 0)
		*fault = take(keyring, previous, &section);
	if (!*fault && more < 0)
		*fault = "a line of the text is of no known kind";
	if (!*fault && !keyring->node)
		*fault = "no certificate of this node";
	if (!*fault)
		*fault = make_ticket(keyring, previous);
	if (*fault) {
		front_keyring_destroy(keyring);
		return NULL;
	}
	settle(&keyring->names);
	settle(&keyring->alpn);
	if (keyring->pairs_count)
		qsort(keyring->pairs, keyring->pairs_count, sizeof(*keyring->pairs), by_digest);
	return keyring;
}

void front_keyring_destroy(struct front_keyring *keyring)
{
	if (!keyring)
		return;
	pair_put(keyring->node);
	for (size_t i = 0; i < keyring->pairs_count; i++)
		pair_put(keyring->pairs[i]);
	free(keyring->pairs);
	free(keyring->names.entries);
	free(keyring->alpn.entries);
	explicit_bzero(keyring, sizeof(*keyring));
	free(keyring);
}

const struct front_pair *front_keyring_node(const struct front_keyring *keyring)
{
	return keyring->node;
}

/* @name as a string in lower case, without a trailing dot. */
static bool clean_name(const char *name, size_t len, char out[KEYS_NAME_MAX])
{
	if (len && name[len - 1] == '.')
		len--;
	if (!len || len >= KEYS_NAME_MAX || memchr(name, '\0', len))
		return false;
	memcpy(out, name, len);
	out[len] = '\0';
	lower(out);
	return true;
}

const struct front_pair *front_keyring_find(const struct front_keyring *keyring,
					    const char *name, size_t len)
{
	char text[KEYS_NAME_MAX], *dot;
	const struct front_pair *pair;

	if (!keyring->names.count || !clean_name(name, len, text))
		return NULL;
	pair = find(&keyring->names, text);
	dot = strchr(text, '.');
	if (pair || !dot || dot == text)
		return pair;
	*--dot = '*';
	return find(&keyring->names, dot);
}

const struct front_pair *front_keyring_alpn(const struct front_keyring *keyring,
					    const char *name, size_t len)
{
	char text[KEYS_NAME_MAX];

	if (!keyring->alpn.count || !clean_name(name, len, text))
		return NULL;
	return find(&keyring->alpn, text);
}

const char *front_keyring_http(const struct front_keyring *keyring, const char *host,
			       const char *token, size_t token_len)
{
	for (unsigned int i = 0; i < keyring->http_count; i++) {
		const struct challenge *challenge = &keyring->http[i];

		if (!strcmp(challenge->host, host) && strlen(challenge->token) == token_len &&
		    !memcmp(challenge->token, token, token_len))
			return challenge->text;
	}
	return NULL;
}

const unsigned char *front_keyring_ticket(const struct front_keyring *keyring, unsigned int index)
{
	return index < keyring->tickets_count ? keyring->tickets[index] : NULL;
}
