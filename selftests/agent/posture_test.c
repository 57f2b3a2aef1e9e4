// SPDX-License-Identifier: Apache-2.0
/* Posture over a tree of made-up files: each layer in both states, and unknown without one. */
#include "tap.h"
#include "control/posture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/hoody-posture.XXXXXX";
static struct posture posture;

/* Writes @text to @path below the root; its folders are made. */
static void put(const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *at = strchr(full + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(full, 0755);
		*at = '/';
	}
	file = fopen(full, "we");
	if (!file || fputs(text, file) < 0 || fclose(file))
		exit(1);
}

static const struct posture_layer *layer(const char *name)
{
	static const struct posture_layer none = { .name = "none", .verdict = 99 };

	for (size_t i = 0; i < posture.count; i++)
		if (!strcmp(posture.layers[i].name, name))
			return &posture.layers[i];
	return &none;
}

static void is(const char *name, enum posture_verdict verdict, const char *value)
{
	const struct posture_layer *got = layer(name);

	tap_ok(got->verdict == verdict && strstr(got->value, value), "%s_%s: %s", name,
	       posture_verdicts[verdict], got->value);
}

static void process(const char *status, const char *uid_map, const char *label)
{
	put("/proc/7/status", status);
	put("/proc/7/uid_map", uid_map);
	put("/proc/7/attr/current", label);
	put("/proc/7/ksm_stat", strstr(label, "unconfined") ? "ksm_merge_any: yes\n" : "ksm_merge_any: no\n");
	posture = (struct posture){ .root = root };
	posture_process(&posture, 7);
}

static void test_process(void)
{
	process("Name:\tx\nNSpid:\t7\t1\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\n"
		"Seccomp_filters:\t3\n", "         0     100000      65536\n", "lxc-container-default (enforce)\n");
	is("user_namespace", POSTURE_HOLDS, "id 0 is 100000 of the host");
	is("pid_namespace", POSTURE_HOLDS, "7 1");
	is("capabilities", POSTURE_HOLDS, "in a user namespace only");
	is("seccomp_floor", POSTURE_HOLDS, "3 filters");
	is("no_new_privileges", POSTURE_HOLDS, "1");
	is("mandatory_access_control", POSTURE_HOLDS, "lxc-container-default");
	is("memory_not_merged", POSTURE_HOLDS, "no");
	tap_ok(!strcmp(layer("seccomp_floor")->source, "/proc/7/status Seccomp"), "evidence_names_the_field");

	process("Name:\tx\nNSpid:\t7\nCapBnd:\t0000000000210000\nNoNewPrivs:\t0\nSeccomp:\t0\n",
		"         0          0 4294967295\n", "unconfined\n");
	is("user_namespace", POSTURE_FAILS, "id 0 is 0 of the host");
	is("pid_namespace", POSTURE_FAILS, "7");
	is("capabilities", POSTURE_FAILS, "with sys_module, sys_admin");
	is("seccomp_floor", POSTURE_FAILS, "0, 0 filters");
	is("no_new_privileges", POSTURE_FAILS, "0");
	is("mandatory_access_control", POSTURE_FAILS, "unconfined");
	is("memory_not_merged", POSTURE_FAILS, "yes");

	process("Name:\tx\nNSpid:\t7\t1\nCapBnd:\t0000000000000400\n", "0 0 1\n", "x\n");
	is("capabilities", POSTURE_HOLDS, "400");
	is("seccomp_floor", POSTURE_UNKNOWN, "no such field");
	posture = (struct posture){ .root = root };
	posture_process(&posture, 8);
	is("process", POSTURE_UNKNOWN, "cannot be read");
}

static void test_cgroup(void)
{
	put("/cg/web/memory.max", "1048576\n");
	put("/cg/web/pids.max", "max\n");
	put("/cg/web/cgroup.procs", "");
	put("/cg/web/init.scope/cgroup.procs", "6\n7\n");
	put("/proc/6/status", "NSpid:\t6\t4\n");
	put("/proc/7/status", "NSpid:\t7\t1\n");
	posture = (struct posture){ .root = root };
	posture_cgroup(&posture, "/cg/web");
	is("memory_limit", POSTURE_HOLDS, "1048576");
	is("process_limit", POSTURE_FAILS, "max");
	tap_ok(posture_find_init(&posture, "/cg/web") == 7, "init_is_found_below");
	tap_ok(posture_find_init(&posture, "/cg/none") == 0, "no_cgroup_no_init");
	posture = (struct posture){ .root = root };
	posture_cgroup(&posture, "/cg/none");
	is("memory_limit", POSTURE_UNKNOWN, "cannot be read");
}

static void host(void)
{
	posture = (struct posture){ .root = root };
	posture_host(&posture, root);
}

static void test_host(void)
{
	char number[64], path[128];
	struct stat st;

	host();
	is("kernel_lockdown", POSTURE_UNKNOWN, "cannot be read");
	is("kexec_off", POSTURE_UNKNOWN, "cannot be read");
	is("disk_encryption", POSTURE_UNKNOWN, "no block device");
	put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	put("/sys/module/module/parameters/sig_enforce", "Y\n");
	put("/proc/sys/kernel/kexec_load_disabled", "1\n");
	put("/sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
	put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	stat(root, &st);
	snprintf(number, sizeof(number), "%u:%u", (unsigned int)(st.st_dev >> 8 & 0xfff),
		 (unsigned int)((st.st_dev & 0xff) | (st.st_dev >> 12 & 0xfff00)));
	snprintf(path, sizeof(path), "/sys/dev/block/%s/slaves/dm-1/x", number);
	put(path, "");
	put("/sys/class/block/dm-1/dev", "253:1\n");
	put("/sys/dev/block/253:1/dm/uuid", "CRYPT-LUKS2-aaaa-root\n");
	host();
	is("kernel_lockdown", POSTURE_HOLDS, "[integrity]");
	is("only_signed_modules", POSTURE_HOLDS, "Y");
	is("kexec_off", POSTURE_HOLDS, "1");
	is("processor_mitigations", POSTURE_HOLDS, "1 known");
	is("swap_encryption", POSTURE_HOLDS, "no swap");
	is("disk_encryption", POSTURE_HOLDS, "CRYPT-LUKS2");

	put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
	put("/sys/module/module/parameters/sig_enforce", "N\n");
	put("/proc/sys/kernel/kexec_load_disabled", "0\n");
	put("/sys/devices/system/cpu/vulnerabilities/spectre_v2", "Vulnerable: eIBRS\n");
	put("/sys/dev/block/253:1/dm/uuid", "LVM-aaaa\n");
	put("/proc/swaps", "Filename\tType\n/dev/sda2 partition 1 0 -2\n");
	put("/sys/class/block/sda2/dev", "8:2\n");
	put("/sys/dev/block/8:2/size", "1\n");
	host();
	is("kernel_lockdown", POSTURE_FAILS, "[none]");
	is("only_signed_modules", POSTURE_FAILS, "N");
	is("kexec_off", POSTURE_FAILS, "0");
	is("processor_mitigations", POSTURE_FAILS, "spectre_v2");
	is("disk_encryption", POSTURE_FAILS, "nothing below it");
	is("swap_encryption", POSTURE_FAILS, "/dev/sda2 is not encrypted");
	put("/proc/swaps", "Filename\tType\n/swap file 1 0 -2\n");
	host();
	is("swap_encryption", POSTURE_UNKNOWN, "is not told");
	put("/proc/swaps", "Filename\tType\n/dev/zram0 partition 1 0 -2\n");
	host();
	is("swap_encryption", POSTURE_HOLDS, "");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int main(void)
{
	if (!mkdtemp(root))
		return 1;
	tap_plan(18 + 5 + 3 + 6 + 6 + 2);
	test_process();
	test_cgroup();
	test_host();
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
