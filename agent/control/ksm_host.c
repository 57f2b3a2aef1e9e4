// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's scanner (ksmd) and its settings in /sys/kernel/mm/ksm, see ksm.h.
 *
 *	given back --- somebody takes part --> engaged
 *	     ^                                    |
 *	     +---- nobody does, one scan later ---+
 *
 * What the host had is written to a file before the first setting is touched,
 * beside the control socket: on a file system that, like the settings, does not
 * outlive the boot. An agent that finds the file takes what is in it for the
 * host's, because what is set then is what its predecessor left.
 *
 * The pace: ksmd looks at pages_to_scan pages, sleeps 20 ms and begins again. Its
 * processor time is measured from one step to the next, and pages_to_scan is
 * corrected by the quotient of budget and use, at most fourfold.
 */
#include "control/ksm.h"
#include "lib/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SYS		"/sys/kernel/mm/ksm/"
#define FILE_NAME	"ksm-host-settings"
#define SLEEP_MS	"20"
#define PAGES_MIN	32
#define PAGES_MAX	100000
#define PAGES_FIRST	500
#define VALUE_MAX	32

/* In the order in which they are set; given back in this order too: run is last. */
static const struct setting {
	const char	*name;
	const char	*ours;		/* NULL: the governor's */
	bool		optional;	/* newer kernels */
} settings[] = {
	{ "advisor_mode", "none", true },	/* else it sets the pace itself */
	{ "sleep_millisecs", SLEEP_MS, false },
	{ "pages_to_scan", NULL, false },
	/* Zero pages are counted apart only where they are merged apart. */
	{ "use_zero_pages", "1", true },
	{ "smart_scan", "1", true },
	{ "run", "1", false },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

struct ksm_governor {
	char		path[PATH_MAX];
	bool		engaged;
	char		before[SETTINGS][VALUE_MAX];	/* "": the kernel has none */
	uint64_t	pages;
	pid_t		ksmd;
	uint64_t	ticks, ticks_first, at_ms;
	uint64_t	last_scan;	/* full_scans when the last container went */
	bool		leaving;
};

static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	len = read(fd, text, size - 1);
	close(fd);
	if (len < 0)
		return -EIO;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

static int read_setting(const char *name, char *text, size_t size)
{
	char path[128], *open_bracket;
	int ret;

	snprintf(path, sizeof(path), SYS "%s", name);
	ret = read_text(path, text, size);
	/* A choice is shown as "[none] scan-time". */
	open_bracket = ret ? NULL : strchr(text, '[');
	if (open_bracket) {
		memmove(text, open_bracket + 1, strlen(open_bracket));
		text[strcspn(text, "]")] = '\0';
	}
	return ret;
}

static uint64_t read_number(const char *name)
{
	char text[VALUE_MAX];

	return read_setting(name, text, sizeof(text)) ? 0 : strtoull(text, NULL, 10);
}

static int write_setting(const char *name, const char *text)
{
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), SYS "%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

/* The file's lines are "name value". */
static bool file_read(struct ksm_governor *governor)
{
	char name[VALUE_MAX], value[VALUE_MAX];
	FILE *file = fopen(governor->path, "re");
	size_t found = 0;

	if (!file)
		return false;
	while (fscanf(file, "%31s %31s", name, value) == 2) {
		for (size_t i = 0; i < SETTINGS; i++) {
			if (!strcmp(settings[i].name, name)) {
				memcpy(governor->before[i], value, VALUE_MAX);
				found++;
			}
		}
	}
	fclose(file);
	return found > 0;
}

static int file_write(const struct ksm_governor *governor)
{
	char temporary[PATH_MAX + 8];
	FILE *file;
	int ret = 0;

	snprintf(temporary, sizeof(temporary), "%s.new", governor->path);
	file = fopen(temporary, "we");
	if (!file)
		return -errno;
	for (size_t i = 0; i < SETTINGS; i++) {
		if (governor->before[i][0])
			fprintf(file, "%s %s\n", settings[i].name, governor->before[i]);
	}
	if (fclose(file))
		ret = -errno;
	if (!ret && rename(temporary, governor->path))
		ret = -errno;
	return ret;
}

static void settings_read(struct ksm_governor *governor)
{
	for (size_t i = 0; i < SETTINGS; i++)
		read_setting(settings[i].name, governor->before[i], VALUE_MAX);
}

static void give_back(struct ksm_governor *governor)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		int ret = governor->before[i][0] ?
				  write_setting(settings[i].name, governor->before[i]) : 0;

		if (ret)
			log_warning("memory merging: a setting of the host is not given back: "
				    "name=%s value=%s error=\"%s\"",
				    settings[i].name, governor->before[i], strerror(-ret));
	}
	unlink(governor->path);
	governor->engaged = false;
	governor->leaving = false;
	log_info("memory merging: the scanner has the host's settings again");
}

static void set_pages(struct ksm_governor *governor, uint64_t pages)
{
	char text[VALUE_MAX];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)pages);
	if (!write_setting("pages_to_scan", text))
		governor->pages = pages;
}

/* The kernel thread "ksmd": 0 where it is not to be seen. */
static pid_t find_ksmd(void)
{
	char path[300], text[64];
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	pid_t found = 0;

	while (proc && !found && (entry = readdir(proc))) {
		pid_t pid = atoi(entry->d_name);

		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (pid <= 0 || read_text(path, text, sizeof(text)) || strcmp(text, "ksmd"))
			continue;
		/* No process of a container that calls itself so: a kernel thread has no memory. */
		snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
		if (!read_text(path, text, sizeof(text)) && !text[0])
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Processor time of ksmd in clock ticks; 0 where it is not to be seen. */
static uint64_t ksmd_ticks(const struct ksm_governor *governor)
{
	unsigned long long user, kernel;
	char path[64], text[512], *end;

	snprintf(path, sizeof(path), "/proc/%d/stat", governor->ksmd);
	if (!governor->ksmd || read_text(path, text, sizeof(text)))
		return 0;
	end = strrchr(text, ')');	/* proc_pid_stat(5): fields 14 and 15 */
	if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			   &user, &kernel) != 2)
		return 0;
	return user + kernel;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ull + now.tv_nsec / 1000000;
}

static int engage(struct ksm_governor *governor, struct ksm_host *host)
{
	int ret;

	if (!file_read(governor)) {
		settings_read(governor);
		ret = file_write(governor);
		if (ret) {
			snprintf(host->fault, sizeof(host->fault), "%.100s: %.50s", governor->path,
				 strerror(-ret));
			return ret;
		}
	}
	governor->engaged = true;
	for (size_t i = 0; i < SETTINGS; i++) {
		ret = settings[i].ours ? write_setting(settings[i].name, settings[i].ours) : 0;
		if (!ret || (settings[i].optional && ret == -ENOENT))
			continue;
		/* use_zero_pages of old kernels: -EBUSY while pages are merged. */
		if (settings[i].optional)
			continue;
		snprintf(host->fault, sizeof(host->fault), SYS "%s: %s", settings[i].name,
			 strerror(-ret));
		give_back(governor);
		return ret;
	}
	set_pages(governor, PAGES_FIRST);
	governor->ksmd = find_ksmd();
	governor->ticks = governor->ticks_first = ksmd_ticks(governor);
	governor->at_ms = now_ms();
	host->fault[0] = '\0';
	log_info("memory merging: the scanner is ours: ksmd=%d pages_to_scan=%d", governor->ksmd,
		 PAGES_FIRST);
	return 0;
}

static void correct_pace(struct ksm_governor *governor, unsigned int budget, struct ksm_host *host)
{
	uint64_t ticks = ksmd_ticks(governor), now = now_ms(), pages = governor->pages;
	double per_second = sysconf(_SC_CLK_TCK), factor = 4;

	if (!governor->ksmd) {
		snprintf(host->fault, sizeof(host->fault),
			 "ksmd is not to be seen in /proc: it is kept at its slowest");
		set_pages(governor, PAGES_MIN);
		return;
	}
	/* Shorter steps measure too little: a clock tick is 10 ms. */
	if (now < governor->at_ms + 1000)
		return;
	host->cpu_percent = (ticks - governor->ticks) / per_second * 1e5 / (now - governor->at_ms);
	host->cpu_seconds = (ticks - governor->ticks_first) / per_second;
	if (host->cpu_percent > budget / 4.0)
		factor = budget / host->cpu_percent;
	if (factor < 0.25)
		factor = 0.25;
	pages = pages * factor;
	pages = pages < PAGES_MIN ? PAGES_MIN : pages > PAGES_MAX ? PAGES_MAX : pages;
	if (pages != governor->pages)
		set_pages(governor, pages);
	governor->ticks = ticks;
	governor->at_ms = now;
}

struct ksm_governor *ksm_governor_create(const char *directory)
{
	struct ksm_governor *governor = calloc(1, sizeof(*governor));

	if (!governor)
		return NULL;
	snprintf(governor->path, sizeof(governor->path), "%.4000s/" FILE_NAME, directory);
	/* A predecessor that was killed: what it left is given back, or taken on. */
	governor->engaged = file_read(governor);
	governor->ksmd = governor->engaged ? find_ksmd() : 0;
	governor->ticks = governor->ticks_first = ksmd_ticks(governor);
	governor->at_ms = now_ms();
	governor->pages = read_number("pages_to_scan");
	return governor;
}

void ksm_host_read(struct ksm_host *host)
{
	host->full_scans = read_number("full_scans");
	host->pages_shared = read_number("pages_shared");
	host->pages_sharing = read_number("pages_sharing");
	host->zero_pages = read_number("ksm_zero_pages");
}

void ksm_governor_step(struct ksm_governor *governor, bool active, unsigned int budget,
		       struct ksm_host *host)
{
	host->available = !access(SYS "run", F_OK);
	if (!host->available) {
		snprintf(host->fault, sizeof(host->fault),
			 "this kernel cannot merge memory (CONFIG_KSM)");
		return;
	}
	ksm_host_read(host);
	if (active) {
		governor->leaving = false;
		if (governor->engaged || !engage(governor, host))
			correct_pace(governor, budget, host);
	} else if (governor->engaged) {
		/* One more round, in which ksmd drops what it kept of those that left. */
		if (!governor->leaving)
			governor->last_scan = host->full_scans;
		governor->leaving = true;
		if (host->full_scans > governor->last_scan || !host->pages_shared)
			give_back(governor);
	}
	host->engaged = governor->engaged;
	host->pages_to_scan = read_number("pages_to_scan");
}

void ksm_governor_destroy(struct ksm_governor *governor)
{
	if (!governor)
		return;
	if (governor->engaged)
		give_back(governor);
	free(governor);
}
