/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the headers of newer kernels ask of a checker and Debian 13's sparse does
 * not know yet; included before everything else where sparse reads the module.
 * The kernel would rather skip the check.
 */
#define __typeof_unqual__	__typeof__	/* qualifiers only matter to the compiler */
#define __builtin_strlen(x)	(sizeof(x) - 1)	/* of literals, in MODULE_INFO()'s assertion */
