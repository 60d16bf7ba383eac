/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker: connections into the container that the client asks for, and out of it to the client. They are
 * channels like those of programs (channel.h), or listeners in a channel's place; here is how they begin and
 * what the guest says of them. Both sides are as hostile as there.
 */
#ifndef SP_FORWARD_H
#define SP_FORWARD_H

#include <libssh/server.h>
#include <stdbool.h>

#include "channel.h"
#include "guest_msg.h"

struct connection;

/* direct-tcpip: the client wants a connection to a port in the container. Takes m, and the slot. */
void forward_open_direct(struct channel *ch, ssh_message m);

/* tcpip-forward: the client wants connections to a port in the container. Takes m, or replies and leaves it
 * to the caller to free: then false. As with forward_x11(), nothing else is being asked for. */
bool forward_listen(struct connection *c, ssh_message m);

/* cancel-tcpip-forward; replied to here. */
void forward_cancel(struct connection *c, ssh_message m);

/* Have the client's agent listened for, if it was asked for and is not yet, and nothing else is being asked for. */
void forward_agent(struct connection *c);

/* x11-req: the client wants to show what this channel's program draws. Takes m, or false. */
bool forward_x11(struct channel *program, ssh_message m);

/* The display that the program can draw at, for the order that starts it; false: there is none. */
bool forward_display(const struct channel *program, struct ipc_display *ret);

/* The program is over, and nobody draws there any more. */
void forward_end_x11(const struct channel *program);

/* The broker's answer, of the right kind. */
void forward_answered(struct channel *ch, struct ask_event *e);

/* What the guest said; false: it makes no sense. Takes what it likes of fds. */
bool forward_guest_said(struct channel *ch, const struct guest_ctl *m, int *fds, unsigned n_fds);

/* Ask the client to take a connection, or whether it has. */
void forward_go_on(struct channel *ch);

/* What sshd says with an open that fails, or is refused, for no reason that it would tell. */
#define FORWARD_OPEN_FAILED "open failed"

/* It comes to nothing, or a listener has ended. why: for the log; a client whose open it was hears no more than that
 * it failed. */
void forward_failed(struct channel *ch, const char *why);

#endif
