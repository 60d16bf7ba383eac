/* SPDX-License-Identifier: Apache-2.0 */
/* Worker: signal names. Names from the client are hostile; only known ones mean anything. */
#include "ssh_signal.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "attr.h"

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "ABRT", SIGABRT },
	{ "ALRM", SIGALRM },
	{ "FPE", SIGFPE },
	{ "HUP", SIGHUP },
	{ "ILL", SIGILL },
	{ "INT", SIGINT },
	{ "KILL", SIGKILL },
	{ "PIPE", SIGPIPE },
	{ "QUIT", SIGQUIT },
	{ "SEGV", SIGSEGV },
	{ "TERM", SIGTERM },
	{ "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
};

int
ssh_signal_number(const char *name)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(signals); i++) {
		if (strcmp(signals[i].name, name) == 0)
			return signals[i].number;
	}
	return 0;
}

const char *
ssh_signal_name(unsigned number)
{
	for (size_t i = 0; i < SP_ARRAY_LEN(signals); i++) {
		if ((unsigned)signals[i].number == number)
			return signals[i].name;
	}
	return "SIG@openssh.com"; /* what sshd sends for all others */
}
