/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's coverage (kcov, Documentation/dev-tools/kcov.rst) of what the calling
 * thread does, as libFuzzer's extra counters. Only the module is built for it, so that
 * nothing else shows.
 */
#ifndef HOODY_FUZZ_COVER_H
#define HOODY_FUZZ_COVER_H

/* Exits with the reason where there is no coverage to be had. */
void cover_open(void);

/* Around what goes into the kernel. */
void cover_begin(void);
void cover_end(void);

/* Different places of the module that were reached so far. */
unsigned int cover_places(void);

#endif /* HOODY_FUZZ_COVER_H */
