// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1 connections of clients, with apps that answer anything: see lib/front.h for
 * the parts of an input. The first byte: an ordinary port, or one that redirects.
 */
#include "lib/front.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_front_setup();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	const bool redirects = fuzz_byte(&input) & 1;

	fuzz_front_run(&front_http1, input, redirects);
	return 0;
}
