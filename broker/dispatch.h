/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker may ask, in which state, how often: one table, in dispatch.c. */
#ifndef SP_DISPATCH_H
#define SP_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"

struct peer;
struct wire_reader;

#define ANSWER_E_PEER_FAULT 1 /* malformed, not allowed now, or beyond a bound: the peer is ended */

/*
 * Judge and carry out one record. 0; ANSWER_E_PEER_FAULT with the reason in *ret_fault (static
 * text); or -errno for a failure of our own, which ends the peer as well.
 */
SP_MUST_CHECK int dispatch(struct peer *p, const uint8_t *record, size_t len, const char **ret_fault);

/* For the test that walks every pair and compares with common/PROTOCOL.md: states that allow id. */
unsigned dispatch_states(uint32_t id);
bool dispatch_once(uint32_t id);

#endif
