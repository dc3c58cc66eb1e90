/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FRRouting as seen from beside it: is it there, and which kernel routes has
 * it taken up?  The second is asked at zebra's vty socket, reading only: a
 * command and a NUL go out; text, three NULs and a return code come back.
 *
 * I/O; must not know of agents, nor of what is wanted.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_FRR_IO_H
#define TURNOUT_ROUTED_GLUE_FRR_IO_H

#include <systemd/sd-event.h>

#include "routed-glue/frr_table.h"

/*
 * Does zebra listen in this run directory?  EXITCODE_OK, also, after one line in the log, when this user may not look;
 * or EXITCODE_FRR after one line.
 */
int frr_present(const char *dir);

/* Join the group that may ask, where that is allowed: before capabilities are dropped. */
void frr_join_group(void);

struct frr;

/*
 * table: complete and sorted, borrowed during the call; NULL: no answer, and
 * error is the negative errno.
 */
typedef void (*frr_on_table)(void *ctx, const struct frr_table *table, int error);

/* dir and interface are borrowed.  Nothing is asked yet.  Returns 0 or a negative errno. */
int frr_open(struct frr **frr, sd_event *loop, const char *dir, const char *interface, frr_on_table on_table,
	     void *ctx);
void frr_close(struct frr *frr);

/* Ask; the answer comes by on_table, once, unless one is awaited already. */
void frr_ask(struct frr *frr);

#endif
