/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind_source_check() without waiting for it. A directory may be on a file system that does not answer: one of a
 * server that is away, which whoever asks hangs on. So a side process asks, with a child of its own for each
 * directory, and the broker goes on; who wants that directory is told so after a while.
 */
#ifndef SP_BIND_CHECK_H
#define SP_BIND_CHECK_H

#include <stdint.h>
#include <sys/types.h>

#include "attr.h"

struct bind_check;
struct bind_checker;
struct config;
struct event_base;
struct policy_bind;

#define BIND_CHECK_E_HANGS 3 /* beside those of bind_source.h: there is no answer in time */

/*
 * Fork the side process, which looks as the caller's user does. 0 with the connection to it in
 * *ret_fd, owned by the caller, and its pid; or -errno. config: as bind_source_check().
 */
SP_MUST_CHECK int bind_checker_start(const struct config *config, int *ret_fd, pid_t *ret_pid);

/*
 * The broker's side. fd: from bind_checker_start(), taken. timeout_ms: for an answer. gone(arg): the process has ended,
 * there will be no answers; called from the loop, once. 0 or -errno.
 */
SP_MUST_CHECK int bind_checker_new(struct event_base *base, int fd, uint32_t timeout_ms,
    void (*gone)(void *arg), void *arg, struct bind_checker **ret);
/* Nobody who asked hears anything any more. NULL is fine. */
void bind_checker_free(struct bind_checker *checker);

/* outcome, why: as of bind_source_check(), and BIND_CHECK_E_HANGS. */
typedef void bind_check_fn(void *arg, int outcome, const char *why);

/*
 * Ask, however many there are: those that the side process has no room for wait for their turn, within the same
 * timeout_ms. done is called once, from the loop and never from in here; *ret is not valid after that. The bind is copied.
 * 0; or -errno: done is not called.
 */
SP_MUST_CHECK int bind_check(struct bind_checker *checker, const struct policy_bind *bind,
    bind_check_fn *done, void *arg, struct bind_check **ret);
/* done is not called any more, and who waited for a turn has none; check is not valid after that. NULL is fine. */
void bind_check_cancel(struct bind_check *check);

#endif
