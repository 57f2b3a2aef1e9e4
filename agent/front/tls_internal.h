/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two files of tls.h share.
 */
#ifndef HOODY_FRONT_TLS_INTERNAL_H
#define HOODY_FRONT_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "front/tls.h"

struct front_tls {
	unsigned int	users;
	SSL_CTX		*context;
	BIO_METHOD	*bio;
	struct front_keyring *keyring;
	struct front_tls13_ciphers *ciphers;
	EVP_CIPHER	*ticket_cipher;
};

/* Of a connection's socket, whose front_connection is the BIO's data. NULL: no memory. */
BIO_METHOD *front_tls_bio_method(void);

#endif /* HOODY_FRONT_TLS_INTERNAL_H */
