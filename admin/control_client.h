/* SPDX-License-Identifier: Apache-2.0 */
/* One question to the broker's control socket. */
#ifndef SP_CONTROL_CLIENT_H
#define SP_CONTROL_CLIENT_H

#include <jansson.h>

#include "attr.h"

/*
 * Ask the broker behind path. request is consumed. The answer, an object, is the caller's; NULL after
 * saying on standard error what went wrong, which is also what an answer with "error" comes to.
 */
SP_MUST_CHECK json_t *control_ask(const char *path, json_t *request);

/* The same, without a word: NULL with errno when nobody answers as a broker does. */
SP_MUST_CHECK json_t *control_try(const char *path, json_t *request);

#endif
