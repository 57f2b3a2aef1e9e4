/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all connections share, see tls.h: OpenSSL's settings, and its questions about
 * protocol, certificate and tickets.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front/early.h"
#include "front/keyring.h"
#include "front/quic.h"
#include "front/replay.h"
#include "front/tls13.h"
#include "front/tls_internal.h"

#define ALPN_ACME	"acme-tls/1"
#define TICKET_NAME_LEN	16
#define AES_128_GCM_SHA256	0x1301	/* RFC 8446 B.4 */

/* ---- which protocol ---- */

static int select_one(const char *alpn, const unsigned char **out, unsigned char *out_len,
		      const unsigned char *in, unsigned int in_len)
{
	size_t len = strlen(alpn);
	unsigned int at;

	for (at = 0; at < in_len; at += in[at] + 1) {
		if (in[at] == len && at + len < in_len && !memcmp(in + at + 1, alpn, len)) {
			*out = in + at + 1;
			*out_len = len;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Where QUIC has its own word for its connections, TCP has its BIO. */
static struct front_connection *connection_of(const SSL *ssl)
{
	return SSL_get_app_data(ssl) ? NULL : BIO_get_data(SSL_get_rbio(ssl));
}

/* Our preference among what the client offers; nothing in common ends it (RFC 7301 3.2). */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned int in_len, void *argument)
{
	const struct front_connection *connection = connection_of(ssl);
	const struct front_protocol *protocol;
	unsigned int i;

	if (connection && connection->challenge)
		return select_one(ALPN_ACME, out, out_len, in, in_len);
	/* QUIC carries HTTP/3 alone, and nothing else does. */
	if (!connection)
		return select_one(front_http3.alpn, out, out_len, in, in_len);
	for (i = 0; (protocol = front_protocol_at(i)); i++) {
		if (select_one(protocol->alpn, out, out_len, in, in_len) == SSL_TLSEXT_ERR_OK)
			return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- which certificate ---- */

static const struct front_tls *tls_of(const SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static int use_pair(SSL *ssl, const struct front_pair *pair)
{
	return SSL_use_cert_and_key(ssl, pair->leaf, pair->key, pair->chain, 1);
}

/* The one host name of a server_name extension (RFC 6066 3); NULL where it has none. */
static const char *server_name(SSL *ssl, size_t *len)
{
	const unsigned char *bytes;
	size_t size;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1 ||
	    size < 5 || bytes[2] != TLSEXT_NAMETYPE_host_name)
		return NULL;
	*len = (size_t)bytes[3] << 8 | bytes[4];
	return *len == size - 5 ? (const char *)bytes + 5 : NULL;
}

/*
 * A certificate authority that wants to see whether a name is ours offers one
 * protocol alone (RFC 8737 3), and gets a certificate that is for nobody else.
 */
static int on_client_hello(SSL *ssl, int *alert, void *argument)
{
	static const unsigned char offer[] = "\0\x0b\x0a" ALPN_ACME;
	struct front_connection *connection = connection_of(ssl);
	const struct front_pair *pair;
	const unsigned char *bytes;
	const char *name;
	size_t size, len;

	if (!connection ||
	    SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
				      &bytes, &size) != 1 ||
	    size != sizeof(offer) - 1 || memcmp(bytes, offer, size))
		return SSL_CLIENT_HELLO_SUCCESS;
	name = server_name(ssl, &len);
	pair = name ? front_keyring_alpn(tls_of(ssl)->keyring, name, len) : NULL;
	connection->challenge = pair && use_pair(ssl, pair) == 1;
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* The certificate of the name that the client wants; without one the node's. */
static int on_certificate(SSL *ssl, void *argument)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct front_connection *connection = connection_of(ssl);
	const struct front_pair *pair;

	if (!name || (connection && connection->challenge))
		return 1;
	pair = front_keyring_find(tls_of(ssl)->keyring, name, strlen(name));
	return pair ? use_pair(ssl, pair) : 1;
}

/* ---- session tickets ---- */

static int set_ticket_key(const struct front_tls *tls, const unsigned char *key, unsigned char *iv,
			  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(key + 48), 32),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1 &&
	       EVP_CipherInit_ex2(cipher, tls->ticket_cipher, key + 16, iv, encrypt, NULL) == 1;
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) wants it: 2 asks for a new ticket. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	const struct front_tls *tls = tls_of(ssl);
	const unsigned char *key = front_keyring_ticket(tls->keyring, 0);
	unsigned int i;

	if (encrypt) {
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tls->ticket_cipher)) != 1)
			return -1;
		memcpy(name, key, TICKET_NAME_LEN);
		return set_ticket_key(tls, key, iv, cipher, mac, 1) ? 1 : -1;
	}
	for (i = 0; (key = front_keyring_ticket(tls->keyring, i)); i++) {
		if (memcmp(name, key, TICKET_NAME_LEN))
			continue;
		if (!set_ticket_key(tls, key, iv, cipher, mac, 0))
			return -1;
		/* A ticket of TLS 1.3 is for one use, so that nobody follows a client by it. */
		return i || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
	}
	return 0;
}

/* Goes nowhere but into the connection itself. */
static void on_secret(const SSL *ssl, const char *line)
{
	struct front_connection *connection = connection_of(ssl);

	if (connection && connection->tls13)
		front_tls13_learn(connection->tls13, line);
}

static struct front_thread *thread_of(const SSL *ssl)
{
	const ngtcp2_crypto_conn_ref *ref = SSL_get_app_data(ssl);
	const struct quic_connection *connection;

	if (!ref)
		return connection_of(ssl)->thread;
	connection = ref->user_data;
	return connection->quic->thread;
}

/* A ticket that allows early data says whose it is (front/replay.h). */
static int on_new_ticket(SSL *ssl, void *argument)
{
	if (!front_early_offered(ssl))
		return 1;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl),
					       replay_table_name(thread_of(ssl)->board->replays),
					       REPLAY_NAME_LEN);
}

/* Puts the TLS 1.3 suites that are @first, or those that are not, behind @len bytes of @list. */
static size_t list_suites(SSL_CTX *context, bool first, char *list, size_t size, size_t len)
{
	STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(context);
	const SSL_CIPHER *cipher;
	int i;

	for (i = 0; i < sk_SSL_CIPHER_num(all) && len < size; i++) {
		cipher = sk_SSL_CIPHER_value(all, i);
		if (!strcmp(SSL_CIPHER_get_version(cipher), "TLSv1.3") &&
		    first == (SSL_CIPHER_get_protocol_id(cipher) == AES_128_GCM_SHA256))
			len += snprintf(list + len, size - len, ":%s", SSL_CIPHER_get_name(cipher));
	}
	return len;
}

/*
 * AES-128-GCM with SHA-256 ahead of the other suites of TLS 1.3 that OpenSSL, as the host
 * has it configured, allows: an eighth of a handshake is that hash, and processors have
 * instructions for SHA-256 and none for SHA-384 (docs/adr/0012). 0 or -ENOMEM.
 */
static int prefer_suites(SSL_CTX *context)
{
	char list[256] = "";
	size_t len;

	len = list_suites(context, true, list, sizeof(list), 0);
	len = list_suites(context, false, list, sizeof(list), len);
	/* More than TLS 1.3 has, or none: as it was. */
	if (!len || len >= sizeof(list))
		return 0;
	return SSL_CTX_set_ciphersuites(context, list + 1) == 1 ? 0 : -ENOMEM;
}

/* ---- the whole ---- */

static int configure(SSL_CTX *context)
{
	static const unsigned char session_context[] = "hoody";

	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
			    /* OpenSSL's own needs its cache of sessions; front/replay.h does not. */
			    SSL_OP_NO_ANTI_REPLAY |
			    /* HTTP says itself where it ends. */
			    SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
			 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	/* Sessions live in tickets only: no cache, no lock between threads. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context) - 1);
	SSL_CTX_set_num_tickets(context, 1);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
	SSL_CTX_set_session_ticket_cb(context, on_new_ticket, NULL, NULL);
	SSL_CTX_set_client_hello_cb(context, on_client_hello, NULL);
	SSL_CTX_set_cert_cb(context, on_certificate, NULL);
	SSL_CTX_set_alpn_select_cb(context, select_alpn, NULL);
	SSL_CTX_set_keylog_callback(context, on_secret);
	return prefer_suites(context);
}

struct front_tls *front_tls_create(const char *text, size_t len, const struct front_tls *previous,
				   const char **fault)
{
	struct front_tls *tls = calloc(1, sizeof(*tls));
	const struct front_pair *node;

	*fault = "no memory";
	if (!tls)
		return NULL;
	tls->users = 1;
	tls->bio = front_tls_bio_method();
	tls->context = SSL_CTX_new(TLS_server_method());
	tls->ciphers = front_tls13_ciphers_create();
	tls->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (!tls->bio || !tls->context || !tls->ciphers || !tls->ticket_cipher)
		goto err;
	tls->keyring = front_keyring_create(text, len, previous ? previous->keyring : NULL, fault);
	if (!tls->keyring)
		goto err;
	node = front_keyring_node(tls->keyring);
	*fault = "the certificate cannot be used for TLS";
	if (SSL_CTX_use_cert_and_key(tls->context, node->leaf, node->key, node->chain, 1) != 1)
		goto err;
	SSL_CTX_set_app_data(tls->context, tls);
	*fault = "no memory";
	if (configure(tls->context))
		goto err;
	ERR_clear_error();
	return tls;

err:
	ERR_clear_error();
	front_tls_put(tls);
	return NULL;
}

const struct front_keyring *front_tls_keyring(const struct front_tls *tls)
{
	return tls->keyring;
}

struct front_tls *front_tls_get(struct front_tls *tls)
{
	if (tls)
		__atomic_add_fetch(&tls->users, 1, __ATOMIC_RELAXED);
	return tls;
}

void front_tls_put(struct front_tls *tls)
{
	if (!tls || __atomic_sub_fetch(&tls->users, 1, __ATOMIC_ACQ_REL))
		return;
	SSL_CTX_free(tls->context);
	BIO_meth_free(tls->bio);
	front_tls13_ciphers_destroy(tls->ciphers);
	EVP_CIPHER_free(tls->ticket_cipher);
	front_keyring_destroy(tls->keyring);
	free(tls);
}
