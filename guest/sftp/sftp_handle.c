/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SFTP server: handles. A handle is an index and a serial number, so that one that was closed names
 * nothing, also when its slot is in use again.
 */
#include "sftp_handle.h"

#include <errno.h>
#include <unistd.h>

#define NONE UINT32_MAX

void
sftp_handles_init(struct sftp_handles *hs)
{
	hs->n_touched = 0;
	hs->first_free = NONE;
	hs->serial = 0;
}

struct sftp_handle *
sftp_handle_new(struct sftp_handles *hs, int fd, DIR *dir)
{
	struct sftp_handle *h;

	if (hs->first_free != NONE) {
		h = &hs->slots[hs->first_free];
		hs->first_free = h->next_free;
	} else if (hs->n_touched < SFTP_HANDLES_MAX) {
		h = &hs->slots[hs->n_touched++];
	} else {
		return NULL;
	}
	*h = (struct sftp_handle){ .fd = fd, .dir = dir, .serial = hs->serial++, .next_free = NONE };
	return h;
}

struct sftp_handle *
sftp_handle_find(struct sftp_handles *hs, struct wire_span name)
{
	struct wire_reader r;
	uint32_t index;
	uint32_t serial;

	wire_reader_init(&r, name.data, name.len);
	index = wire_get_u32(&r);
	serial = wire_get_u32(&r);
	if (wire_finish(&r) != 0 || index >= hs->n_touched || hs->slots[index].fd < 0 ||
	    hs->slots[index].serial != serial)
		return NULL;
	return &hs->slots[index];
}

void
sftp_handle_name(const struct sftp_handles *hs, const struct sftp_handle *h,
    uint8_t out[SFTP_HANDLE_LEN])
{
	struct wire_writer w;

	wire_writer_init(&w, out, SFTP_HANDLE_LEN);
	wire_put_u32(&w, (uint32_t)(h - hs->slots));
	wire_put_u32(&w, h->serial);
}

int
sftp_handle_close(struct sftp_handles *hs, struct sftp_handle *h)
{
	int r = h->dir != NULL ? closedir(h->dir) : close(h->fd);

	h->fd = -1;
	h->dir = NULL;
	h->next_free = hs->first_free;
	hs->first_free = (uint32_t)(h - hs->slots);
	return r < 0 ? -errno : 0;
}

void
sftp_handles_close_all(struct sftp_handles *hs)
{
	for (uint32_t i = 0; i < hs->n_touched; i++) {
		/* Nobody is left to be told. */
		if (hs->slots[i].fd >= 0 && sftp_handle_close(hs, &hs->slots[i]) < 0)
			continue;
	}
}
