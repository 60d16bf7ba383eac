/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocations and system calls that fail on demand. The linker sends the calls of our own code here
 * (sp_wrap_faults() in tests/CMakeLists.txt); fault_install_libraries() adds the allocations of
 * libcrypto, libevent and libcurl. Only the thread that armed a fault meets it.
 *
 *	fault_allocation(n);
 *	...
 *	if (!fault_end())
 *		it takes fewer than n allocations
 */
#ifndef SP_FAULT_H
#define SP_FAULT_H

#include <stdbool.h>

enum fault_call {
	FAULT_NONE,
	FAULT_OPEN,
	FAULT_READ,  /* read, pread */
	FAULT_WRITE, /* write, pwrite */
	FAULT_FSTAT,
	FAULT_FSYNC,
	FAULT_LINK,
	FAULT_RENAME,
	FAULT_SOCKET,
	FAULT_CONNECT,
	FAULT_SOCKETPAIR,
	FAULT_PIPE2,
	FAULT_FCNTL,
	FAULT_SEND,    /* send, sendmsg */
	FAULT_RECEIVE, /* recvmsg */
	N_FAULT_CALLS,
};

/* Instead of an errno: a byte less than asked for, at least one (read, write, send). */
#define FAULT_SHORT (-1)

/* The n-th allocation from now on fails, with ENOMEM. */
void fault_allocation(unsigned long n);
/* The n-th of these calls from now on fails with this errno, and so many more after it. */
void fault_system(enum fault_call call, unsigned long n, int error, unsigned long more);
/* Nothing fails: before the next of these calls, this is done, as somebody else could do it then. */
void fault_before(enum fault_call call, void (*deed)(void));
/* No more faults. Whether one was met. */
bool fault_end(void);

/* Run a case with each of its allocations failing, then once more in peace. Returns how many. */
unsigned long fault_walk(const char *name, void (*one)(bool faulty));
/* The same for a case that has thousands and takes its time: the later ones not one by one. */
unsigned long fault_stride(const char *name, void (*one)(bool faulty));

/* Around code of the test itself: nothing fails and nothing is counted. */
void fault_pause(void);
void fault_resume(void);

/* Before anything else of the three is used. */
void fault_install_libraries(void);

#endif
