/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The administrator's door: a Unix socket on which `sallyport sessions`, `kill`, `status` and `reload` ask.
 * One request a connection, one JSON object on one line; one JSON object as the answer. Only root, the
 * broker's own user and, when one is configured, a group are heard: the kernel says who they are.
 */
#ifndef SP_CONTROL_H
#define SP_CONTROL_H

#include <stddef.h>

#include "attr.h"

struct broker;
struct config;
struct control;
struct diag_list;

struct control_events {
	/* Load the policy again, with what is to say about it in the log and in *diags. 0: a new generation is in
	 * force. */
	int (*reload)(void *arg, struct diag_list *diags);
	void *arg;
};

/*
 * Make the socket that the configuration names, before the lock-down; what an earlier run left in its
 * place goes. 0, or -errno with a sentence in why[cap].
 */
SP_MUST_CHECK int control_open(const struct config *c, struct control **ret, char *why, size_t cap);
/* Begin to answer. 0 or -errno. */
SP_MUST_CHECK int control_run(struct control *control, struct broker *b,
    const struct control_events *events);
/* Also removes the socket. NULL is fine. */
void control_free(struct control *control);

#endif
