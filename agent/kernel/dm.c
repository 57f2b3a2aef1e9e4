// SPDX-License-Identifier: Apache-2.0
/* dm-crypt's tables, see dm.h. The interface is that of <linux/dm-ioctl.h>. */
#include "kernel/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONTROL		"/dev/mapper/control"
#define TABLE_MAX	16384

/*
 * Bits of the key of @field, which is ":BYTES:TYPE:DESCRIPTION" or the key itself in
 * hexadecimal digits; 0 where it is neither.
 */
static unsigned int key_bits(const char *field, size_t len)
{
	char *end;
	unsigned long bytes;

	if (field[0] != ':')
		return strspn(field, "0123456789abcdefABCDEF") >= len ? len * 4 : 0;
	bytes = strtoul(field + 1, &end, 10);
	return *end == ':' && bytes <= 512 ? bytes * 8 : 0;
}

/*
 * Bits of AES in "aes-MODE-IV" or "capi:MODE(aes)-IV" with a key of @bits. XTS has
 * two keys of one size. 0: another cipher, or one with further keys in it.
 */
static unsigned int aes_bits(const char *spec, unsigned int bits)
{
	if (!strncmp(spec, "aes-xts-", 8) || !strncmp(spec, "capi:xts(aes)-", 14))
		bits /= 2;
	else if (strncmp(spec, "aes-cbc-", 8) && strncmp(spec, "capi:cbc(aes)-", 14))
		return 0;
	return bits == 128 || bits == 192 || bits == 256 ? bits : 0;
}

int knl_dm_parse(const char *parameters, struct knl_dm_cipher *cipher)
{
	size_t spec = strcspn(parameters, " "), key;
	const char *field = parameters + spec + 1;

	memset(cipher, 0, sizeof(*cipher));
	if (!spec || spec >= sizeof(cipher->text) - 16 || parameters[spec] != ' ')
		return -EINVAL;
	key = strcspn(field, " ");
	if (!key || field[key] != ' ')
		return -EINVAL;
	memcpy(cipher->text, parameters, spec);
	cipher->aes_bits = aes_bits(cipher->text, key_bits(field, key));
	if (cipher->aes_bits)
		snprintf(cipher->text + spec, sizeof(cipher->text) - spec, ", AES-%u", cipher->aes_bits);
	else
		snprintf(cipher->text + spec, sizeof(cipher->text) - spec, ", not AES-256");
	return 0;
}

/* Every target of the table that the kernel has written behind @head. */
static int table_read(const struct dm_ioctl *head, struct knl_dm_cipher *cipher)
{
	const char *base = (const char *)head + head->data_start;
	size_t room = head->data_size - head->data_start, at = 0;
	int ret = -ENODEV;

	for (uint32_t i = 0; i < head->target_count; i++) {
		const struct dm_target_spec *target = (const void *)(base + at);
		struct knl_dm_cipher one;

		if (at + sizeof(*target) >= room)
			return -EINVAL;
		if (strcmp(target->target_type, "crypt"))
			return -ENODEV;
		ret = knl_dm_parse((const char *)(target + 1), &one);
		if (ret)
			return ret;
		if (!i || one.aes_bits < cipher->aes_bits)
			*cipher = one;
		/* From the beginning of the first, and not from that of this one. */
		at = target->next;
	}
	return ret;
}

int knl_dm_cipher(unsigned int major, unsigned int minor, struct knl_dm_cipher *cipher)
{
	struct dm_ioctl *head;
	int fd, ret;

	fd = open(CONTROL, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* One byte more, so that the last string ends. */
	head = calloc(1, TABLE_MAX + 1);
	if (!head) {
		close(fd);
		return -ENOMEM;
	}
	head->version[0] = DM_VERSION_MAJOR;
	head->data_size = TABLE_MAX;
	head->data_start = sizeof(*head);
	head->flags = DM_STATUS_TABLE_FLAG | DM_SECURE_DATA_FLAG;
	/* As the kernel writes large device numbers. */
	head->dev = (minor & 0xff) | (uint64_t)major << 8 | (uint64_t)(minor & ~0xffu) << 12;
	if (ioctl(fd, DM_TABLE_STATUS, head))
		ret = -errno;
	else if (head->flags & DM_BUFFER_FULL_FLAG)
		ret = -E2BIG;
	else
		ret = table_read(head, cipher);
	explicit_bzero(head, TABLE_MAX);
	free(head);
	close(fd);
	return ret;
}
