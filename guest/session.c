/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest: sessions. /proc is the kernel's word, but the names in it are the tenant's: a process may
 * be called ") Z 1 1 1". Signals go out with the container user's own rights.
 */
#include "session.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"

/* Enough for what stands before the session's number, the longest name included. */
#define STAT_MAX 256

/* "PID (name) STATE PPID PGRP SESSION ...": does a living process say this session? */
static bool
stat_is_in(const char *stat, pid_t session)
{
	const char *name_end = strrchr(stat, ')');
	const char *next;
	long sid = 0;

	if (name_end == NULL || strlen(name_end) < 4 || name_end[2] == 'Z' || name_end[2] == 'X')
		return false;
	next = name_end + 3;
	for (int field = 0; field < 3; field++) {
		char *end;

		sid = strtol(next, &end, 10);
		next = end;
	}
	return sid == session;
}

static bool
process_is_in(const char *pid, pid_t session)
{
	SP_CLEANUP_FD int fd = -1;
	char path[64];
	char stat[STAT_MAX];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, stat, sizeof(stat) - 1);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	return stat_is_in(stat, session);
}

/* False when nobody is there, or nobody who may be signalled. */
static bool
send_both(pid_t pid, int number, int then)
{
	bool there = kill(pid, number) == 0;

	if (then != 0)
		(void)kill(pid, then);
	return there;
}

unsigned
session_signal(pid_t session, int number, int then)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;
	unsigned n = 0;
	unsigned seen = 0;

	while (proc != NULL && (e = readdir(proc)) != NULL) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		seen++;
		if (process_is_in(e->d_name, session)) {
			(void)send_both((pid_t)strtol(e->d_name, NULL, 10), number, then);
			n++;
		}
	}
	if (proc != NULL)
		(void)closedir(proc);
	/* Not even this process in it: /proc is not mounted. The leader's group is better than nothing. */
	if (seen == 0)
		return send_both(-session, number, then) ? 1 : 0;
	return n;
}
