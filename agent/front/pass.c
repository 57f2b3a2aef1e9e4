/* SPDX-License-Identifier: Apache-2.0 */
/* Passes of middlewares, see pass.h. */
#include "front/pass.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NONCE_LEN	16
#define MAC_LEN		32	/* HMAC-SHA256 */
#define NONE		UINT32_MAX

struct slot {
	struct pass_claim	claim;
	uint8_t			nonce[NONCE_LEN];
	uint64_t		serial;		/* 0: free */
	uint32_t		next_free;
};

struct pass_table {
	pthread_mutex_t		lock;
	uint8_t			key[32];
	uint64_t		serial;		/* of the last one */
	uint32_t		touched;	/* slots that were ever used: the rest costs no memory */
	uint32_t		free;		/* the first of them that is free */
	struct slot		slots[PASS_MAX];
};

/* What the middleware is given, before it is text. */
struct wire {
	uint32_t	slot;
	uint8_t		nonce[NONCE_LEN];
	uint8_t		mac[MAC_LEN];
};

_Static_assert(2 * sizeof(struct wire) == PASS_TEXT_LEN, "the text is the wire in hexadecimal");

struct pass_table *pass_table_create(void)
{
	struct pass_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	if (RAND_bytes(table->key, sizeof(table->key)) != 1) {
		free(table);
		return NULL;
	}
	table->free = NONE;
	pthread_mutex_init(&table->lock, NULL);
	return table;
}

void pass_table_destroy(struct pass_table *table)
{
	if (!table)
		return;
	OPENSSL_cleanse(table->key, sizeof(table->key));
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* Over all that the pass stands for; the claim has no bytes that were not set. */
static bool sign(const struct pass_table *table, uint32_t number, const struct slot *slot,
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
	return HMAC(EVP_sha256(), table->key, sizeof(table->key), (const uint8_t *)&message,
		    sizeof(message), mac, &len) && len == MAC_LEN;
}

static uint32_t take_slot(struct pass_table *table)
{
	uint32_t number = table->free;

	if (number != NONE)
		table->free = table->slots[number].next_free;
	else if (table->touched < PASS_MAX)
		number = table->touched++;
	return number;
}

static void free_slot(struct pass_table *table, uint32_t number)
{
	struct slot *slot = &table->slots[number];

	memset(slot, 0, sizeof(*slot));
	slot->next_free = table->free;
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
	struct wire wire;
	struct slot *slot;
	int err = -EIO;

	if (RAND_bytes(wire.nonce, NONCE_LEN) != 1)
		return -EIO;
	pthread_mutex_lock(&table->lock);
	wire.slot = take_slot(table);
	if (wire.slot == NONE) {
		err = -ENOSPC;
		goto out;
	}
	slot = &table->slots[wire.slot];
	memcpy(&slot->claim, claim, sizeof(slot->claim));
	memcpy(slot->nonce, wire.nonce, NONCE_LEN);
	slot->serial = ++table->serial;
	if (!sign(table, wire.slot, slot, wire.mac)) {
		free_slot(table, wire.slot);
		goto out;
	}
	*ticket = (struct pass_ticket){.serial = slot->serial, .slot = wire.slot};
	err = 0;
out:
	pthread_mutex_unlock(&table->lock);
	if (!err)
		put_text(&wire, text);
	return err;
}

bool pass_redeem(struct pass_table *table, const char *text, size_t len, struct pass_claim *claim)
{
	uint8_t mac[MAC_LEN];
	struct wire wire;
	bool good = false;

	if (!take_text(text, len, &wire) || wire.slot >= PASS_MAX)
		return false;
	pthread_mutex_lock(&table->lock);
	if (wire.slot < table->touched && table->slots[wire.slot].serial) {
		const struct slot *slot = &table->slots[wire.slot];

		good = sign(table, wire.slot, slot, mac) &&
		       !CRYPTO_memcmp(slot->nonce, wire.nonce, NONCE_LEN) &&
		       !CRYPTO_memcmp(mac, wire.mac, MAC_LEN);
	}
	if (good) {
		*claim = table->slots[wire.slot].claim;
		free_slot(table, wire.slot);
	}
	pthread_mutex_unlock(&table->lock);
	return good;
}

void pass_withdraw(struct pass_table *table, struct pass_ticket *ticket)
{
	if (!ticket->serial)
		return;
	pthread_mutex_lock(&table->lock);
	if (table->slots[ticket->slot].serial == ticket->serial)
		free_slot(table, ticket->slot);
	pthread_mutex_unlock(&table->lock);
	ticket->serial = 0;
}
