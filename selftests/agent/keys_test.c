// SPDX-License-Identifier: Apache-2.0
/* The text of lib/keys.h, and that a keyring takes nothing that is malformed. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/keyring.h"
#include "lib/keys.h"
#include "tap.h"

#define TICKET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" \
	       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" \
	       "00112233445566778899aabbccddeeff"

static char *make_pem(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	BIO *out = BIO_new(BIO_s_mem());
	char *data, *text;
	long len;

	X509_set_version(certificate, 2);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_sign(certificate, key, EVP_sha256());
	PEM_write_bio_X509(out, certificate);
	PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	len = BIO_get_mem_data(out, &data);
	text = strndup(data, len);
	BIO_free(out);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return text;
}

static void test_sections(void)
{
	static const char text[] = "pem\nmore\n@names a.b *.c\nx\n@ticket " TICKET "\n@http h t v\n";
	const char *at = text, *end = text + sizeof(text) - 1;
	uint8_t key[KEYS_TICKET_LEN];
	struct keys_section section;
	char word[8], small[3];
	int more;

	more = keys_next(&at, end, &section);
	tap_ok(more == 1 && section.kind == KEYS_NODE && section.body_len == 9, "node_comes_first");
	more = keys_next(&at, end, &section);
	tap_ok(more == 1 && section.kind == KEYS_NAMES && section.body_len == 2, "names_have_a_body");
	tap_ok(keys_word(&section, word, sizeof(word)) == 1 && !strcmp(word, "a.b") &&
	       keys_word(&section, word, sizeof(word)) == 1 && !strcmp(word, "*.c") &&
	       keys_word(&section, word, sizeof(word)) == 0, "words_one_by_one");
	more = keys_next(&at, end, &section);
	tap_ok(more == 1 && section.kind == KEYS_TICKET && !keys_ticket(&section, key) &&
	       key[1] == 0x11 && key[79] == 0xff, "ticket_key");
	more = keys_next(&at, end, &section);
	tap_ok(more == 1 && section.kind == KEYS_HTTP && !section.body_len, "challenge");
	tap_ok(keys_word(&section, small, 1) == -EBADMSG, "word_without_room");
	tap_ok(keys_next(&at, end, &section) == 0, "end");
}

static int first(const char *text)
{
	const char *at = text;
	struct keys_section section;

	return keys_next(&at, text + strlen(text), &section);
}

static void test_malformed(void)
{
	struct keys_section section = { .arguments = TICKET, .arguments_len = 2 * KEYS_TICKET_LEN - 1 };
	char upper[] = TICKET;
	uint8_t key[KEYS_TICKET_LEN];

	tap_ok(first("@frobnicate x\n") == -EBADMSG, "unknown_word_is_refused");
	tap_ok(first("@names a.b") == -EBADMSG, "line_without_end_is_refused");
	tap_ok(first("@namesx a\n") == -EBADMSG, "longer_word_is_refused");
	tap_ok(first("@names\n") == -EBADMSG, "no_arguments_are_refused");
	tap_ok(keys_ticket(&section, key) == -EBADMSG, "short_ticket_key_is_refused");
	upper[20] = 'G';
	section = (struct keys_section){ .arguments = upper, .arguments_len = 2 * KEYS_TICKET_LEN };
	tap_ok(keys_ticket(&section, key) == -EBADMSG, "ticket_key_that_is_no_number_is_refused");
}

static const char *fault_of(const char *a, const char *b, const char *c)
{
	struct front_keyring *keyring;
	const char *fault = NULL;
	char text[8192];

	snprintf(text, sizeof(text), "%s%s%s", a, b, c);
	keyring = front_keyring_create(text, strlen(text), NULL, &fault);
	front_keyring_destroy(keyring);
	return keyring ? NULL : fault;
}

static void test_keyring(void)
{
	char *node = make_pem(), *other = make_pem(), text[16384];
	struct front_keyring *keyring, *next;
	const struct front_pair *pair;
	const char *fault;

	tap_ok(!fault_of(node, "", ""), "plain_pem_is_enough");
	tap_ok(fault_of("", "", "") != NULL, "nothing_is_not");
	tap_ok(fault_of(node, "@names x.y\n", "rubbish\n") != NULL, "rubbish_is_refused");
	tap_ok(fault_of("@names x.y\n", node, "") != NULL, "no_certificate_of_the_node_is_refused");
	tap_ok(fault_of(node, "@http only two\n", "") != NULL, "short_challenge_is_refused");
	snprintf(text, sizeof(text), "%s@names A.example *.w.example\n%s@http h.example tok text\n@alpn c.example\n%s",
		 node, other, node);
	keyring = front_keyring_create(text, strlen(text), NULL, &fault);
	tap_ok(keyring != NULL, "whole_text_is_taken");
	pair = front_keyring_find(keyring, "a.EXAMPLE.", 10);
	tap_ok(pair && pair != front_keyring_node(keyring), "name_in_any_case");
	tap_ok(front_keyring_find(keyring, "x.w.example", 11) == pair, "wildcard");
	tap_ok(!front_keyring_find(keyring, "y.x.w.example", 13) &&
	       !front_keyring_find(keyring, "w.example", 9), "wildcard_is_one_label");
	tap_ok(!front_keyring_find(keyring, "c.example", 9) &&
	       front_keyring_alpn(keyring, "c.example", 9), "challenge_is_for_nobody_else");
	tap_ok(front_keyring_http(keyring, "h.example", "tok", 3) &&
	       !front_keyring_http(keyring, "h.example", "to", 2) &&
	       !front_keyring_http(keyring, "a.example", "tok", 3), "challenge_by_host_and_token");
	next = front_keyring_create(text, strlen(text), keyring, &fault);
	tap_ok(next && front_keyring_find(next, "a.example", 9) == pair, "known_pair_is_taken_over");
	tap_ok(next && !memcmp(front_keyring_ticket(next, 0), front_keyring_ticket(keyring, 0),
			       KEYS_TICKET_LEN) && !front_keyring_ticket(next, 1),
	       "own_ticket_key_is_kept");
	front_keyring_destroy(keyring);
	tap_ok(X509_check_private_key(front_keyring_find(next, "a.example", 9)->leaf,
				      front_keyring_find(next, "a.example", 9)->key) == 1,
	       "and_outlives_where_it_is_from");
	front_keyring_destroy(next);
	free(node);
	free(other);
}

/* Every prefix of a text, and every byte of it changed: no crash, no read outside. */
static void test_fuzz(void)
{
	static const char text[] = "pem\n@names a.b *.c\nx\n@ticket 0011\n@http h t v\n@alpn z\npem\n";
	size_t len = sizeof(text) - 1, sections = 0;
	struct keys_section section;

	for (size_t i = 0; i < len; i++) {
		for (int c = 0; c < 256; c++) {
			char *copy = memcpy(malloc(len), text, len);
			const char *at = copy;
			char word[KEYS_NAME_MAX];

			copy[i] = (char)c;
			while (keys_next(&at, copy + i + 1, &section) > 0) {
				sections++;
				while (keys_word(&section, word, sizeof(word)) > 0)
					;
			}
			free(copy);
		}
	}
	tap_ok(sections > len, "changed_and_cut_texts");
}

int main(void)
{
	tap_plan(28);
	test_sections();
	test_malformed();
	test_keyring();
	test_fuzz();
	return tap_done();
}
