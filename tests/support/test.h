/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka wants these headers before its own; tests include this one instead. */
#ifndef SP_TEST_H
#define SP_TEST_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Open descriptors of this process, to prove that a case closes what it opened. */
static inline unsigned
count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	assert_int_equal(closedir(dir), 0);
	return n - 3; /* ".", ".." and the directory itself */
}

#endif
