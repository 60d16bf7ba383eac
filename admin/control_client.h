/* SPDX-License-Identifier: Apache-2.0 */
/* One question to the broker's control socket. */
#ifndef SP_CONTROL_CLIENT_H
#define SP_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "attr.h"

/*
 * Ask the broker behind path. request is consumed. The answer, an object, is the caller's; NULL after
 * saying on standard error what went wrong, which is also what an answer with "error" comes to.
 */
SP_MUST_CHECK json_t *control_ask(const char *path, json_t *request);

/* The same, without a word: NULL with errno when nobody answers as a broker does. */
SP_MUST_CHECK json_t *control_try(const char *path, json_t *request);

/*
 * The control socket of a broker with the configuration in file, in out[cap]. Whether the rest of it is right is
 * the broker's to say. False after saying on standard error what is wrong.
 */
SP_MUST_CHECK bool control_socket_of(const char *file, char *out, size_t cap);

#endif
