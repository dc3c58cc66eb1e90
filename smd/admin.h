/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manager's answers on the admin bus (ARCH-7): rows of proto/admin.proto
 * from what the manager and the control endpoint hold.
 *
 * Must not know of sockets or clocks.
 */
#ifndef TURNOUT_SMD_ADMIN_H
#define TURNOUT_SMD_ADMIN_H

#include "lib/bus.h"
#include "lib/settings.h"
#include "smd/manager.h"

/* Filled in by who owns it, but for `rows` and `items`. */
struct admin {
	struct manager *manager;
	const struct endpoint *endpoint; /* NULL: no counters of it */
	const struct bus_server *bus;    /* likewise */
	const char *name;                /* the manager's, as agents know it */
	uint64_t started_ms;
	void *rows, *items; /* of the reply being made */
	struct settings settings;
};

/* The two of lib/bus.h, with the time. */
const char *admin_answer(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply, uint64_t now_ms);
void admin_release(struct admin *a);
/* Points into the notice. */
void admin_notice(const struct manager_notice *notice, Turnout__Notice *out);

#endif
