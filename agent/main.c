// SPDX-License-Identifier: Apache-2.0
/*
 * hoody-agent: options, and which of the processes this one is. The work is done
 * in control/ (privileged, owns policy), front/ (the worker: all bytes of clients
 * and of what they ask containers) and relay/ (what containers with an exit open).
 */
#include "control/acme_order.h"
#include "control/config.h"
#include "control/control.h"
#include "control/resolve.h"
#include "control/upgrade.h"
#include "front/worker.h"
#include "lib/log.h"
#include "relay/relay.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static void print_help(FILE *out)
{
	fputs("usage: hoody-agent [--config FILE] [--check]\n"
	      "\n"
	      "  --config FILE  read FILE instead of " CONFIG_DEFAULT_FILE "\n"
	      "  --check        check the configuration and the certificate, and end\n"
	      "  --version      print the version, and end\n"
	      "  --help         print this, and end\n"
	      "\n"
	      "SIGHUP reloads the configuration, or the program where its file was replaced; SIGTERM ends after open requests are done.\n"
	      "See hoody-agent(8) and hoody-agent.conf(5).\n",
	      out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		/* Internal: what would take another control process over is asked so. */
		{ "check-handover", no_argument, NULL, 'o' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *config = CONFIG_DEFAULT_FILE;
	bool check = false, check_handover = false;
	int option;

	/* Internal, and alone: control starts a worker so. */
	if (argc == 2 && !strcmp(argv[1], "--worker")) {
		/* Executed through a link in /proc, it would be called "exe". */
		prctl(PR_SET_NAME, "hoody-worker", 0, 0, 0);
		log_init("worker", LOG_FORMAT_AUTO);
		return worker_run();
	}
	if (argc == 2 && !strcmp(argv[1], "--relay")) {
		prctl(PR_SET_NAME, "hoody-relay", 0, 0, 0);
		log_init("relay", LOG_FORMAT_AUTO);
		return relay_run();
	}
	if (argc == 3 && !strcmp(argv[1], "--resolve")) {
		prctl(PR_SET_NAME, "hoody-resolve", 0, 0, 0);
		return resolve_run(argv[2]);
	}
	/* As well: what uacme(1) calls for a challenge. */
	if (getenv(ACME_HOOK_WORD))
		return acme_hook_run(argc, argv);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			config = optarg;
			break;
		case 'k':
			check = true;
			break;
		case 'o':
			check_handover = true;
			break;
		case 'v':
			puts("hoody-agent " HOODY_VERSION);
			return 0;
		case 'h':
			print_help(stdout);
			return 0;
		default:
			print_help(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "hoody-agent: %s: not an option\n", argv[optind]);
		print_help(stderr);
		return 2;
	}
	if (check_handover)
		return upgrade_check(config);
	return check ? control_check(config) : control_run(config);
}
