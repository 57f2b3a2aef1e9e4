// SPDX-License-Identifier: Apache-2.0
/*
 * Makes and removes an encrypted block device, for tests of what is said about it:
 *
 *	dm_crypt create NAME DEVICE KEY-BYTES	aes-xts-plain64; prints "MAJOR:MINOR"
 *	dm_crypt remove NAME
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The request and room for one target's specification and parameters. */
static struct {
	struct dm_ioctl		head;
	struct dm_target_spec	target;
	char			parameters[512];
} request;

static void command(const char *what, int fd, unsigned long number, const char *name)
{
	request.head.version[0] = DM_VERSION_MAJOR;
	request.head.data_size = sizeof(request);
	request.head.data_start = sizeof(request.head);
	snprintf(request.head.name, sizeof(request.head.name), "%s", name);
	if (ioctl(fd, number, &request)) {
		fprintf(stderr, "dm_crypt: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static void create(int fd, const char *name, const char *device, unsigned int key_bytes)
{
	int disk = open(device, O_RDONLY | O_CLOEXEC);
	uint64_t bytes = 0, number;
	int used;

	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &bytes)) {
		fprintf(stderr, "dm_crypt: %s: %s\n", device, strerror(errno));
		exit(1);
	}
	close(disk);
	/* By which dm-crypt's devices are known. */
	snprintf(request.head.uuid, sizeof(request.head.uuid), "CRYPT-PLAIN-%s", name);
	command("create", fd, DM_DEV_CREATE, name);
	memset(&request, 0, sizeof(request));
	request.head.target_count = 1;
	request.target.length = bytes / 512;
	snprintf(request.target.target_type, sizeof(request.target.target_type), "crypt");
	used = snprintf(request.parameters, sizeof(request.parameters), "aes-xts-plain64 ");
	/* The two halves of a key must differ. */
	for (unsigned int i = 0; i < key_bytes; i++)
		used += snprintf(request.parameters + used, sizeof(request.parameters) - used, "%02x", i);
	snprintf(request.parameters + used, sizeof(request.parameters) - used, " 0 %s 0", device);
	command("load", fd, DM_TABLE_LOAD, name);
	memset(&request, 0, sizeof(request));
	command("resume", fd, DM_DEV_SUSPEND, name);
	number = request.head.dev;
	printf("%u:%u\n", (unsigned int)(number >> 8 & 0xfff),
	       (unsigned int)((number & 0xff) | (number >> 12 & 0xfff00)));
}

int main(int argc, char **argv)
{
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);

	if (fd < 0 || argc < 3) {
		fprintf(stderr, "dm_crypt: %s\n", fd < 0 ? strerror(errno) : "create NAME DEVICE KEY-BYTES | remove NAME");
		return 1;
	}
	if (!strcmp(argv[1], "create") && argc == 5)
		create(fd, argv[2], argv[3], atoi(argv[4]) > 64 ? 64 : atoi(argv[4]));
	else
		command("remove", fd, DM_DEV_REMOVE, argv[2]);
	close(fd);
	return 0;
}
