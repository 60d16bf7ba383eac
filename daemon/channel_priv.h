/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a channel have of each other. */
#ifndef SP_CHANNEL_PRIV_H
#define SP_CHANNEL_PRIV_H

#include <libssh/libssh.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "guest_msg.h"

#define CHANNEL_DRAIN_MS 100 /* silence after which a terminal that others hold open is closed */
/* The same where the guest does that: silence after which it is not waited for any more, nor the engine. */
#define CHANNEL_DRAIN_ENGINE_MS 10000

/* ---- channel.c ---- */

/* The program is over, or never began: say how, then drain. exit: the guest's word of it, or NULL: with code. */
void channel_finish(struct channel *ch, const struct guest_ctl *exit, unsigned code);

/* What is in the streams has time from now on. */
void channel_drain(struct channel *ch);

/* The same with a sentence for the user. */
void channel_fail(struct channel *ch, const char *text, unsigned code);

/* Have the guest send the program, which runs, the signals that the client has sent. */
void channel_send_signals(struct channel *ch);

/* ---- channel_streams.c ---- */

/* What the program reads from; -1: nothing any more. */
int channel_input_fd(const struct channel *ch);

void channel_held_clear(struct held *h);

/* libssh's callback for data of the client. */
int channel_on_data(ssh_session session, ssh_channel ssh, void *data, uint32_t len, int is_stderr,
    void *arg);

/* Move what libssh and we hold to the program, as far as it takes it. */
void channel_pump_input(struct channel *ch);

/* Whether the streams have to be looked at although nothing came: others may hold them open. */
bool channel_wants_drain(const struct channel *ch);

/* ---- channel_requests.c ---- */

/* Tell the terminal, if it is there yet, which size the client has. */
void channel_apply_size(const struct channel *ch);

/* ---- channel_guest.c ---- */

/* Whether the guest is listened to: on behalf of a listener when there is room for one that it accepts. */
bool channel_hears_guest(const struct channel *ch);

/* Whether the guest's next word is how the program ended. */
bool channel_runs_program(const struct channel *ch);

/* Act on what it has said. */
void channel_read_guest(struct channel *ch);

#endif
