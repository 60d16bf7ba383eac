/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first process of a container whose programs the engine starts beside it (stream.h): there is no
 * broker to be heard, only orphans to be reaped and an end to be made.
 */
#ifndef SP_HOLD_H
#define SP_HOLD_H

#include "attr.h"

/*
 * Until TERM, INT or HUP; then everybody is asked to go, and made to after so many milliseconds (what
 * follows GUEST_HOLD_OPTION). Ends the process with 0; returns only when it cannot do its work.
 */
void hold_run(const char *grace);

#endif
