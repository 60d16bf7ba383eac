/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where libssh touches private keys and signatures, where it loses a part of what the client said, where it has
 * only one thing to say to it, and where it says that too soon. It calls public functions for that, four of them of
 * OpenSSL; this program defines them itself, and the dynamic linker prefers its definitions. So host keys can stay in
 * the broker and user signatures can be judged there, with the distribution's own unpatched libssh. If the
 * interposition ever failed, nobody could log in: there is no private key here to sign with, and nothing here says
 * that a login is good.
 */
#ifndef SP_HOOKS_H
#define SP_HOOKS_H

#include <libssh/server.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc.h"
#include "tty_modes.h"

/* A signature that libssh wanted verified; the broker does that. */
struct hooks_signature {
	uint8_t value[IPC_SIG_MAX]; /* raw or DER */
	size_t len;
	bool rsa_sha512; /* for ssh-rsa keys: rsa-sha2-512, else -256 */
	uint8_t sk_flags;
	uint32_t sk_counter;
};

/*
 * Sign with the broker's key: algorithm, transcript[len] in; signature into sig[*sig_len], whose
 * length is changed. false: no signature, the key exchange fails.
 */
typedef bool hooks_sign_fn(void *arg, const char *algorithm, const void *transcript, size_t len,
    uint8_t *sig, size_t *sig_len);

/* From now on the hooks are active. Before: OpenSSL's own functions run. */
void hooks_enable(hooks_sign_fn *sign, void *arg);

/* Whether the linker really chose our functions; else why[cap] names the one that it did not. */
bool hooks_in_place(char *why, size_t cap);

/* The seed by which an Ed25519 dummy key is recognised, and the public half it stands for. */
void hooks_add_ed25519(const uint8_t seed[32], const uint8_t public_half[32]);

/*
 * The algorithms that a request to log in with a key may name, with commas in between; the caller keeps the text. libssh
 * drops a request that it cannot read, and the client waits for its answer for ever. So one for another algorithm, or by a
 * method other than "none" and "publickey", gets to it as one by a method that it does not know: that it does tell of.
 */
void hooks_accept_keys(const char *algorithms);

/* How many requests to log in libssh has read. One of which it never tells was broken. */
uint64_t hooks_login_requests(void);

/* Take the oldest signature not taken yet. false: none. */
bool hooks_take_signature(struct hooks_signature *ret);

/*
 * Whether the client's text was longer: it had a NUL inside, which RFC 4251 section 5 allows and no C string
 * can hold. text: a string of a message that libssh has taken apart, or NULL. Only the last HOOKS_CUT_MAX are
 * remembered; of one that hides behind so many others the cut text is judged, logged and run.
 */
bool hooks_text_was_cut(const char *text);
#define HOOKS_CUT_MAX 64

/*
 * The modes of the terminal that a pty-req asks for, which libssh takes apart and gives nobody. term: the name in that very
 * message, by which it is known, as no other text is in that memory while the message is there; NULL is fine. Returns the
 * length of the list, of the form in tty_modes.h, and forgets it. Of pty-reqs that a client has sent and nobody has dealt
 * with, the last HOOKS_MODES_MAX are remembered: those before them have none.
 */
size_t hooks_take_modes(const char *term, uint8_t ret[TTY_MODES_MAX]);
#define HOOKS_MODES_MAX 64

/*
 * For each message that opens a session, in their order: whether it came before the client's no-more-sessions@openssh.com,
 * if there was one, of which libssh 0.10 tells nobody. It was read long before the messages that came with it are dealt with.
 */
bool hooks_session_allowed(void);

/*
 * Refuse an open of a channel, as ssh_message_reply_default() does, which knows one reason and no words. reason: of
 * RFC 4254 section 5.1, SSH2_OPEN_... in libssh/ssh2.h; text: what the client shows with it. m stays the caller's. SSH_OK or
 * SSH_ERROR.
 */
int hooks_refuse_channel(ssh_message m, uint32_t reason, const char *text);

/*
 * Reply to m, a global request, if the client wants it: success, with the port that a tcpip-forward for any port has got, or
 * failure. The client knows replies apart by their order alone (RFC 4254 section 4). Those that libssh gives by itself, to
 * requests that came behind m, wait here for this one, and leave with it. So all that libssh tells of are to be replied to
 * by this, once each, in their order. m stays the caller's.
 */
void hooks_reply(ssh_message m, bool success, uint16_t port);
/* How many wait now. Who lets a client wait does not read from it without bound. */
unsigned hooks_withheld_replies(void);
/* Whether there were ever more than HOOKS_REPLIES_MAX requests without their reply: then some never get theirs. */
bool hooks_lost_replies(void);
#define HOOKS_REPLIES_MAX 4096

#endif
