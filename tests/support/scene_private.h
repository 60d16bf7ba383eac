/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the scene know of each other. */
#ifndef SP_SCENE_PRIVATE_H
#define SP_SCENE_PRIVATE_H

#include "scene.h"

#define SCENE_KEY_LINE 128

struct audit;

extern struct scene *scene_now;

/* The broker's code is entered (true) or left, as scene_begin_around() says. */
void scene_enter(bool broker);

/* scene_records.c: keys of the users, and one of them as in a policy. */
void scene_make_users(void);
void scene_key_line(enum scene_user user, char line[SCENE_KEY_LINE]);

/* scene_books.c: read what the broker has said to this worker. */
void scene_hear(struct scene_worker *w);

/* scene_engine.c */
void scene_engine_begin(void);
bool scene_engine_is_empty(void);

/* scene_audit.c: a log of its own for each scene. */
struct audit *scene_audit_begin(void);
/* A program is started, or a connection made, now: that it is allowed has to be in the log. */
enum scene_effect {
	SCENE_PROGRAM,
	SCENE_FORWARD,
	SCENE_LISTENER,
};
void scene_audit_took_effect(enum scene_effect effect);
/* It was still to come when its container ended: whoever waits for it may be given the same in another one. */
void scene_audit_had_none(enum scene_effect effect);
void scene_audit_end(struct scene *s);

#endif
