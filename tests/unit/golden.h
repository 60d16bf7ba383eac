/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with the exact messages that they must give: NAME.json beside NAME.err. With
 * SP_UPDATE_GOLDEN=1 in the environment the .err files are written instead; read the difference.
 */
#ifndef SP_GOLDEN_H
#define SP_GOLDEN_H

#include <stddef.h>

#include "diag.h"

/* Judge one file; path is relative to the directory that is walked, which is the working one. */
typedef int golden_fn(const char *path, const char *text, size_t len, struct diag_list *diags);

/*
 * Run judge over every NAME.json of the directory and compare its outcome with expected and its
 * messages with NAME.err; no such file: no message may come. Returns how many there were. Fails the
 * running test at the end, after every file was looked at.
 */
unsigned golden_walk(const char *directory, int expected, golden_fn *judge);

/* The whole file, from malloc, ended with NUL. */
char *golden_read(const char *path, size_t *ret_len);

#endif
