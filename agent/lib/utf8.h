/* SPDX-License-Identifier: Apache-2.0 */
/* Text of others, and text that was cut, as UTF-8 (RFC 3629). Pure functions. */
#ifndef HOODY_LIB_UTF8_H
#define HOODY_LIB_UTF8_H

/*
 * utf8_repair(): in place of each byte of @text (up to its NUL) that is no part of a
 * whole character stands a '?' afterwards. The length stays; what is well-formed is
 * left as it is.
 */
void utf8_repair(char *text);

#endif /* HOODY_LIB_UTF8_H */
