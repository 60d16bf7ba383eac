/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user that the broker runs as, when root asks in its place: the broker may be unable to read what root can, and what
 * belongs to the broker is not root's. For -t and -D only.
 */
#ifndef SP_BROKER_USER_H
#define SP_BROKER_USER_H

#include <stdbool.h>
#include <sys/types.h>

struct config;
struct diag_list;

/* Its state is its own; without any, it is who asks. */
uid_t broker_user_of(const struct config *c);
/* Its name, or "uid N"; until the next call. */
const char *broker_user_name(const struct config *c);
/* Whether who asks is neither that user nor root: what this one may not read or do says nothing of the broker. */
bool broker_user_is_other(const struct config *c);

/* Have complaints about files name who this process is. Done again whenever that changes, below. */
void broker_user_name_reader(void);

/*
 * Look at files as that user, with its groups and the one that the engine's socket is open to, which its unit has to
 * give it. False: it is us, or we cannot become another; nothing has changed.
 */
bool broker_user_become(const struct config *c);
/* Root again, after this was true. */
void broker_user_leave(void);

/*
 * Whether the configuration at path, which root has loaded, can be loaded by that user, and by the user of the packaged
 * spawner beside a broker that is not root; else *diags has why not. Warnings are not said again.
 */
bool broker_users_can_load(const struct config *c, const char *path, struct diag_list *diags);

#endif
