/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent's answers on the admin bus: what it knows, as rows of
 * proto/admin.proto, page by page.
 *
 * Pure: everything that has to be asked of the kernel is in the view that the
 * caller fills.  Must not know sockets.  ARCH-7, FA-4.
 */
#ifndef TURNOUT_FAD_ADMIN_H
#define TURNOUT_FAD_ADMIN_H

#include "fad/engine.h"
#include "fad/port_io.h"
#include "fad/tap.h"
#include "lib/endpoint_io.h"
#include "proto/admin.pb-c.h"

/* Rows a page, when the request gives no limit; and the most it may ask for. */
#define ADMIN_PAGE     1000
#define ADMIN_PAGE_MAX 10000

struct admin_trace; /* fad/admin_trace.h */

struct admin_interface {
	const char *name;
	const char *state; /* "up", "down", "absent", "detached" */
	uint32_t ifindex;
	const char *datapath; /* "tc", "ring", or that and why */
	uint64_t punted, passed, planned;
};

/* What there is to show.  Everything is borrowed. */
struct admin_view {
	const struct engine *engine;
	uint64_t now_ms, started_ms;
	const char *name;
	uint64_t identity, incarnation;
	struct addr addr; /* control endpoint */
	uint16_t port;
	const struct admin_interface *interfaces;
	size_t interface_count;
	const uint64_t *classifier; /* CLASSIFIER_COUNTERS of them */
	const struct port_counters *punt_port;
	const struct endpoint_counter *messages;
	size_t message_count;
	const Turnout__CounterRow *bus;
	size_t bus_count;
	const struct tap *tap;           /* NULL: there is none */
	const struct admin_trace *trace; /* of a trace request */
	uint64_t withdrawn;              /* not 0: the agent is stopping, its set is empty and this the set's version */
};

struct admin; /* the rows of one reply, and where long listings were left */

struct admin *admin_new(void);
void admin_free(struct admin *a);

/* Answer a request; see bus_handler in lib/bus.h.  What reply points to is
 * valid until admin_release(). */
const char *admin_answer(struct admin *a, const struct admin_view *v, const Turnout__Request *request,
			 Turnout__Reply *reply);
void admin_release(struct admin *a);

/* "203.0.113.10/32"; returns buf. */
#define ADMIN_PREFIX_LEN (ADDR_STRLEN + 4)
const char *admin_prefix(const struct addr *a, uint8_t plen, char buf[ADMIN_PREFIX_LEN]);

#endif
