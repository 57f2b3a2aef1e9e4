/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids of containers, projects and realms: 24 hexadecimal digits as text, 12
 * bytes inside. Pure functions.
 */
#ifndef HOODY_LIB_ID_H
#define HOODY_LIB_ID_H

#include <stddef.h>
#include <stdint.h>

#define ID_LEN		12
#define ID_TEXT_LEN	24

/*
 * id_parse(): exactly 24 hexadecimal digits, either case; @text needs no NUL.
 * 0, or -EINVAL with @id untouched.
 */
int id_parse(const char *text, size_t len, uint8_t id[ID_LEN]);

/* Lower case and a NUL. */
void id_format(const uint8_t id[ID_LEN], char text[ID_TEXT_LEN + 1]);

/* A 64-bit hash for tables in memory; the same in every process of one build. */
uint64_t id_hash(const uint8_t id[ID_LEN]);

#endif /* HOODY_LIB_ID_H */
