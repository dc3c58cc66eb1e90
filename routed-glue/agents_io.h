/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agents on the admin bus: their events and snapshots go to the glue's
 * reasoning, and its questions back to them.
 *
 * I/O; must not know of routes or the kernel.  ACT-3.
 */
#ifndef TURNOUT_ROUTED_GLUE_AGENTS_IO_H
#define TURNOUT_ROUTED_GLUE_AGENTS_IO_H

#include <systemd/sd-event.h>

#include "routed-glue/config.h"
#include "routed-glue/glue.h"

struct agents;

/*
 * Follow every configured agent, running or not, and ask each for its set.
 * heard: something was told to the glue; call glue_step().  conf and glue are
 * borrowed.  Returns 0 or a negative errno; *failed is the name of the agent then.
 */
int agents_open(struct agents **agents, sd_event *loop, const char *run_dir, const struct glue_config *conf,
		struct glue *glue, void (*heard)(void *ctx), void *ctx, const char **failed);
void agents_close(struct agents *agents);

/* As a precaution, ask all that may be asked for their whole set again. */
void agents_refresh(struct agents *agents);

#endif
