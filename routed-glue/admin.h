/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routed-glue's answers on the admin bus: routes, counters, version.
 *
 * Pure; the one file that makes protobuf rows here.  Must not know of sockets or netlink.  ARCH-7.
 */
#ifndef TURNOUT_ROUTED_GLUE_ADMIN_H
#define TURNOUT_ROUTED_GLUE_ADMIN_H

#include "lib/counter.h"
#include "lib/settings.h"
#include "routed-glue/config.h"
#include "routed-glue/glue.h"

/* Set up by the caller, who owns what is pointed to. */
struct admin {
	struct glue *glue;
	const struct glue_config *conf;
	uint64_t started_ms;
	/* Up to date before each request: */
	uint64_t now_ms;
	uint64_t dropped;                /* packets in the device */
	const Turnout__CounterRow *more; /* the bus's own counters */
	size_t more_count;
	/* Private: what a reply points to. */
	Turnout__VersionRow version;
	void *rows;
	void *pointers;
	size_t row_count;
	struct settings settings;
};

/* To be called as bus_handler and bus_release say. */
const char *admin_answer(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply);
void admin_release(struct admin *a);

#endif
