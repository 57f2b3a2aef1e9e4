/* SPDX-License-Identifier: Apache-2.0 */
/* Passes of middlewares, see pass.h. */
#include "front/pass.h"
#include "lib/pass_memory.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NONCE_LEN	16
#define MAC_LEN		32	/* HMAC-SHA256 */
#define NONE		UINT32_MAX
/* Slots looked at for one that is spent, where none is free. */
#define SPENT_LOOK	256

/*
 * In shared memory. The content belongs to the worker that issues, and to it only
 * while @serial is 0; whoever makes it 0 again has used the pass up.
 */
struct slot {
	struct pass_claim	claim;
	uint8_t			nonce[NONCE_LEN];
	uint64_t		serial;		/* atomic */
};

struct region {
	uint8_t			key[32];
	struct slot		slots[PASS_MAX];
};

_Static_assert(sizeof(struct region) <= PASS_REGION_BYTES, "a region has room for all slots");

/* What the issuing worker alone knows of a slot. */
struct own {
	uint64_t		serial;		/* that it was taken for; 0: free */
	uint32_t		next_free;
};

struct pass_table {
	pthread_mutex_t		lock;		/* of what follows, among the threads */
	uint8_t			*memory;	/* all regions */
	struct region		*region;	/* that we issue from */
	uint32_t		number;		/* of that */
	uint64_t		serial;		/* of the last one */
	uint32_t		touched;	/* slots that were ever used: the rest costs no memory */
	uint32_t		free;		/* the first of them that is free */
	uint32_t		look;		/* where spent ones are looked for next */
	struct own		own[PASS_MAX];
};

/* What the middleware is given, before it is text. */
struct wire {
	uint32_t	slot;		/* of all regions */
	uint8_t		nonce[NONCE_LEN];
	uint8_t		mac[MAC_LEN];
};

_Static_assert(2 * sizeof(struct wire) == PASS_TEXT_LEN, "the text is the wire in hexadecimal");

static struct region *region_of(const struct pass_table *table, uint32_t number)
{
	return (struct region *)(table->memory + (size_t)number * PASS_REGION_BYTES);
}

struct pass_table *pass_table_create(int fd, unsigned int region)
{
	struct pass_table *table;

	if (region >= PASS_REGIONS) {
		errno = EINVAL;
		return NULL;
	}
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->memory = pass_memory_map(fd);
	if (!table->memory)
		goto err_free;
	table->number = region;
	table->region = region_of(table, region);
	if (RAND_bytes(table->region->key, sizeof(table->region->key)) != 1) {
		errno = EIO;
		goto err_unmap;
	}
	table->free = NONE;
	pthread_mutex_init(&table->lock, NULL);
	return table;

err_unmap:
	pass_memory_unmap(table->memory);
err_free:
	free(table);
	return NULL;
}

void pass_table_destroy(struct pass_table *table)
{
	if (!table)
		return;
	OPENSSL_cleanse(table->region->key, sizeof(table->region->key));
	pass_memory_unmap(table->memory);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* Over all that the pass stands for; the claim has no bytes that were not set. */
static bool sign(const uint8_t key[32], uint32_t number, const struct slot *slot,
		 uint8_t mac[MAC_LEN])
{
	struct {
		struct pass_claim	claim;
		uint64_t		serial;
		uint8_t			nonce[NONCE_LEN];
		uint32_t		slot, zero;
	} message;
	unsigned int len = MAC_LEN;

	memset(&message, 0, sizeof(message));
	memcpy(&message.claim, &slot->claim, sizeof(message.claim));
	memcpy(message.nonce, slot->nonce, NONCE_LEN);
	message.serial = slot->serial;
	message.slot = number;
	return HMAC(EVP_sha256(), key, 32, (const uint8_t *)&message, sizeof(message), mac,
		    &len) && len == MAC_LEN;
}

/* One whose pass was used while its request goes on, as a tunnel does for days. */
static uint32_t find_spent(struct pass_table *table)
{
	for (unsigned int i = 0; i < SPENT_LOOK; i++) {
		const uint32_t number = table->look++ % PASS_MAX;

		if (!__atomic_load_n(&table->region->slots[number].serial, __ATOMIC_ACQUIRE))
			return number;
	}
	return NONE;
}

static uint32_t take_slot(struct pass_table *table)
{
	uint32_t number = table->free;

	if (number != NONE)
		table->free = table->own[number].next_free;
	else if (table->touched < PASS_MAX)
		number = table->touched++;
	else
		number = find_spent(table);
	return number;
}

static void free_slot(struct pass_table *table, uint32_t number)
{
	struct slot *slot = &table->region->slots[number];

	__atomic_store_n(&slot->serial, 0, __ATOMIC_SEQ_CST);
	memset(&slot->claim, 0, sizeof(slot->claim));
	memset(slot->nonce, 0, sizeof(slot->nonce));
	table->own[number] = (struct own){.next_free = table->free};
	table->free = number;
}

static void put_text(const struct wire *wire, char text[PASS_TEXT_LEN])
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = (const uint8_t *)wire;

	for (size_t i = 0; i < sizeof(*wire); i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_text(const char *text, size_t len, struct wire *wire)
{
	uint8_t *bytes = (uint8_t *)wire;

	if (len != PASS_TEXT_LEN)
		return false;
	for (size_t i = 0; i < sizeof(*wire); i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

int pass_issue(struct pass_table *table, const struct pass_claim *claim,
	       char text[PASS_TEXT_LEN], struct pass_ticket *ticket)
{
	struct slot content;
	struct wire wire;
	struct slot *slot;
	uint32_t number;
	int err = -EIO;

	if (RAND_bytes(content.nonce, NONCE_LEN) != 1)
		return -EIO;
	memcpy(&content.claim, claim, sizeof(content.claim));
	pthread_mutex_lock(&table->lock);
	number = take_slot(table);
	if (number == NONE) {
		err = -ENOSPC;
		goto out;
	}
	content.serial = ++table->serial;
	wire.slot = table->number * PASS_MAX + number;
	if (!sign(table->region->key, wire.slot, &content, wire.mac)) {
		free_slot(table, number);
		goto out;
	}
	slot = &table->region->slots[number];
	memcpy(&slot->claim, &content.claim, sizeof(slot->claim));
	memcpy(slot->nonce, content.nonce, NONCE_LEN);
	__atomic_store_n(&slot->serial, content.serial, __ATOMIC_RELEASE);
	table->own[number].serial = content.serial;
	*ticket = (struct pass_ticket){.serial = content.serial, .slot = number};
	err = 0;
out:
	pthread_mutex_unlock(&table->lock);
	memcpy(wire.nonce, content.nonce, NONCE_LEN);
	if (!err)
		put_text(&wire, text);
	return err;
}

/* Of a region that may be in an attacker's hands: what the caller relies on. */
static bool claim_valid(const struct pass_claim *claim)
{
	return memchr(claim->service, '\0', sizeof(claim->service)) &&
	       claim->to_go < IMAGE_MIDDLEWARES_MAX &&
	       (claim->client.address.family == AF_INET ||
		claim->client.address.family == AF_INET6);
}

bool pass_redeem(struct pass_table *table, const char *text, size_t len, struct pass_claim *claim)
{
	struct region *region;
	struct slot *slot, copy;
	uint8_t mac[MAC_LEN], key[32];
	struct wire wire;
	bool good;

	if (!take_text(text, len, &wire) || wire.slot >= PASS_REGIONS * PASS_MAX)
		return false;
	region = region_of(table, wire.slot / PASS_MAX);
	slot = &region->slots[wire.slot % PASS_MAX];
	copy.serial = __atomic_load_n(&slot->serial, __ATOMIC_ACQUIRE);
	if (!copy.serial)
		return false;
	memcpy(&copy.claim, &slot->claim, sizeof(copy.claim));
	memcpy(copy.nonce, slot->nonce, NONCE_LEN);
	memcpy(key, region->key, sizeof(key));
	good = sign(key, wire.slot, &copy, mac) &&
	       !CRYPTO_memcmp(copy.nonce, wire.nonce, NONCE_LEN) &&
	       !CRYPTO_memcmp(mac, wire.mac, MAC_LEN) && claim_valid(&copy.claim);
	OPENSSL_cleanse(key, sizeof(key));
	/* Serials do not come again: this one still there, the copy is all of it. */
	if (!good || !__atomic_compare_exchange_n(&slot->serial, &copy.serial, 0, false,
						  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	*claim = copy.claim;
	return true;
}

void pass_withdraw(struct pass_table *table, struct pass_ticket *ticket)
{
	if (!ticket->serial)
		return;
	pthread_mutex_lock(&table->lock);
	/* Of another serial: it was spent, and another has it. */
	if (table->own[ticket->slot].serial == ticket->serial)
		free_slot(table, ticket->slot);
	pthread_mutex_unlock(&table->lock);
	ticket->serial = 0;
}
