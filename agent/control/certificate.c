// SPDX-License-Identifier: Apache-2.0
/* Loading the certificate, see certificate.h. */
#include "control/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES	(256 * 1024)	/* a chain is rarely more than 10 KiB */

struct bytes {
	char	*data;
	size_t	len;
};

struct reporter {
	config_report	*report;
	void		*context;
};

__attribute__((format(printf, 2, 3))) static void say(const struct reporter *to,
						      const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	to->report(to->context, text);
}

/* The innermost reason that OpenSSL gives, for the end of a message. */
static const char *openssl_fault(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	ERR_clear_error();
	return reason ? reason : "it holds no such PEM block";
}

static int read_whole(const char *path, struct bytes *bytes, const char *key,
		      const struct reporter *to)
{
	struct stat st;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0 || fstat(fd, &st) < 0) {
		say(to, "[tls] %s: %s cannot be read: %s", key, path, strerror(errno));
		goto err_close;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > FILE_MAX_BYTES) {
		say(to, "[tls] %s: %s is no file of 1 to %d bytes", key, path, FILE_MAX_BYTES);
		goto err_close;
	}
	if (!strcmp(key, "key") && (st.st_mode & 0007))
		say(to, "warning: [tls] key: %s can be read by everybody: chmod 0600 it", path);
	bytes->data = malloc(st.st_size + 1);
	if (!bytes->data)
		goto err_close;
	got = read(fd, bytes->data, st.st_size);
	if (got != st.st_size) {
		say(to, "[tls] %s: %s cannot be read as a whole", key, path);
		goto err_close;
	}
	bytes->len = got;
	bytes->data[got] = '\n';
	close(fd);
	return 0;

err_close:
	if (fd >= 0)
		close(fd);
	return -EINVAL;
}

static X509 *parse_certificate(const struct bytes *bytes)
{
	BIO *bio = BIO_new_mem_buf(bytes->data, (int)bytes->len);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return certificate;
}

/* A password would be asked for on a terminal that is not there. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	return -1;
}

static EVP_PKEY *parse_key(const struct bytes *bytes)
{
	BIO *bio = BIO_new_mem_buf(bytes->data, (int)bytes->len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return key;
}

static void check_names(const struct config *config, X509 *certificate, const struct reporter *to)
{
	char name[IMAGE_NAME_MAX + IMAGE_DOMAIN_MAX + 8];

	snprintf(name, sizeof(name), "a.%s.%s", config->settings.node, config->settings.base_domain);
	if (X509_check_host(certificate, name, 0, 0, NULL) != 1)
		say(to, "warning: [tls] certificate: %s is not valid for *%s, the names of this node",
		    config->certificate, name + 1);
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		say(to, "warning: [tls] certificate: %s has expired", config->certificate);
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		say(to, "warning: [tls] certificate: %s is not valid yet", config->certificate);
}

static int check_pair(const struct config *config, const struct bytes *chain,
		      const struct bytes *key_bytes, const struct reporter *to)
{
	X509 *certificate = NULL;
	EVP_PKEY *key = NULL;
	int ret = -EINVAL;

	certificate = parse_certificate(chain);
	if (!certificate) {
		say(to, "[tls] certificate: %s has no certificate in PEM: %s", config->certificate,
		    openssl_fault());
		goto out;
	}
	key = parse_key(key_bytes);
	if (!key) {
		say(to, "[tls] key: %s has no private key in PEM without a password: %s",
		    config->key, openssl_fault());
		goto out;
	}
	if (X509_check_private_key(certificate, key) != 1) {
		ERR_clear_error();
		say(to, "[tls] key: %s is not the key of the first certificate in %s", config->key,
		    config->certificate);
		goto out;
	}
	check_names(config, certificate, to);
	ret = 0;
out:
	EVP_PKEY_free(key);
	X509_free(certificate);
	return ret;
}

static int pack(const struct bytes *chain, const struct bytes *key)
{
	int fd = memfd_create("hoody-certificate", MFD_CLOEXEC | MFD_ALLOW_SEALING), ret;

	if (fd < 0)
		return -errno;
	/* Both end in a newline of their own, see read_whole(). */
	if (write(fd, chain->data, chain->len + 1) != (ssize_t)chain->len + 1 ||
	    write(fd, key->data, key->len + 1) != (ssize_t)key->len + 1) {
		ret = -EIO;
		goto err_close;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
		ret = -errno;
		goto err_close;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;

err_close:
	close(fd);
	return ret;
}

int certificate_load(const struct config *config, config_report *report, void *context)
{
	const struct reporter to = { report, context };
	struct bytes chain = { 0 }, key = { 0 };
	int ret;

	ret = read_whole(config->certificate, &chain, "certificate", &to);
	if (!ret)
		ret = read_whole(config->key, &key, "key", &to);
	if (!ret)
		ret = check_pair(config, &chain, &key, &to);
	if (!ret) {
		ret = pack(&chain, &key);
		if (ret < 0)
			say(&to, "[tls] certificate: cannot be packed for the worker: %s",
			    strerror(-ret));
	}
	if (key.data)
		OPENSSL_cleanse(key.data, key.len);
	free(key.data);
	free(chain.data);
	return ret;
}
