/* SPDX-License-Identifier: Apache-2.0 */
/* Promises that hold or end the process: for fuzz targets, and what they share with unit tests. */
#ifndef SP_FUZZ_CHECK_H
#define SP_FUZZ_CHECK_H

#include <stddef.h>

/* A promise of the code under test. */
#define FUZZ_CHECK(promise) ((promise) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #promise))
_Noreturn void fuzz_broken(const char *file, int line, const char *promise);
/* The test itself cannot go on; errno says why. */
_Noreturn void fuzz_unable(const char *what);

/* The lowest descriptor that is free: the same before and after a case that leaks none. */
int fuzz_next_fd(void);

/* A file of tests/data, from malloc, ended with NUL. */
char *fuzz_read_data(const char *name, size_t *ret_len);

#endif
