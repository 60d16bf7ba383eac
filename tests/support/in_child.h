/* SPDX-License-Identifier: Apache-2.0 */
/* Cases that change the process they run in: each in a child of its own. */
#ifndef SP_IN_CHILD_H
#define SP_IN_CHILD_H

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

/* In the child: say what does not hold, and end with 1. */
#define CHILD_CHECK(x)                                                                    \
	do {                                                                              \
		if (!(x)) {                                                               \
			fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #x, errno); \
			_exit(1);                                                         \
		}                                                                         \
	} while (0)

/* Run fn in a child; the wait status, 0 when it returned. */
static inline int
in_child(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* A test: its state points to such an fn, which needs root. */
static inline void
in_child_as_root(void **state)
{
	void (*fn)(void) = *(void (**)(void)) * state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(in_child(fn), 0);
}

#endif
