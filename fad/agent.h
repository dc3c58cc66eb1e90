/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The running agent: the engine wired to the world.  main.c opens and closes
 * the parts, agent_io.c carries packets, messages and time between them,
 * agent_links_io.c keeps the classifier where the interfaces are.
 *
 * Must not know what affinities do.
 */
#ifndef TURNOUT_FAD_AGENT_H
#define TURNOUT_FAD_AGENT_H

#include <net/if.h>

#include "fad/admin.h"
#include "fad/admin_trace.h"
#include "fad/classifier_io.h"
#include "fad/config.h"
#include "fad/mtu_io.h"
#include "fad/netlink_io.h"
#include "fad/port_io.h"
#include "fad/tap.h"
#include "lib/bus.h"
#include "lib/settings.h"

#define AGENT_FORWARD_BUCKETS 1024
#define AGENT_ROUTES          4096

/* A configured data interface. */
struct agent_interface {
	const char *name; /* the configuration's */
	bool drop_unmatched;
	bool present, up, ethernet;
	bool attached;
	const char *datapath; /* which, and why */
	uint32_t ifindex;     /* while present */
};

struct agent_forward; /* a next hop in use, agent_io.c */

/* What the kernel said about its way to an address: one a place in a hash table, the latest stays. */
struct agent_route {
	uint64_t asked_ms; /* 0: never */
	struct addr to;
	bool found;
	struct engine_route route;
};

struct agent {
	sd_event *loop;
	struct fad_conf conf;
	const char *conf_path;
	char name[WIRE_MAX_NAME + 1]; /* as configured, or the host's */
	uint64_t identity;
	uint64_t started_ms;

	int lock;           /* of the run directory; -1: none */
	int namespace_lock; /* of the network namespace; -1: none */
	struct port *port;
	struct classifier *classifier;
	struct netlink *netlink;
	struct mtu *mtu;
	struct endpoint *endpoint;
	struct engine *engine;
	struct plantab *plans;  /* in the kernel; NULL: every packet comes up */
	struct bus_server *bus; /* NULL before it is open and after it is closed */
	struct admin *admin;

	struct agent_interface *interfaces;
	size_t interface_count;
	bool links_known; /* what comes now is news */
	bool taking_over; /* from a former agent's filters: see agent_take_over() */

	uint64_t hash_key[2]; /* random: of the two tables that follow */
	struct agent_forward *forwards[AGENT_FORWARD_BUCKETS];
	struct agent_route routes[AGENT_ROUTES];
	sd_event_source *tick;
	uint64_t ticks;

	bool stopping;      /* told to end, agent_stop_io.c */
	uint64_t withdrawn; /* then, unless routes are held: the version of the empty set */
	sd_event_source *end;

	struct tap *tap;        /* who looks on */
	struct engine_tap look; /* what the engine has of it */
	/* Of the reply being made. */
	Turnout__CaptureLease lease;
	struct settings settings;
};

/* agent_io.c */
extern const struct engine_out agent_engine_out;
extern const struct endpoint_handler agent_endpoint_handler;
extern const struct port_handler agent_port_handler;
/* Handlers of lib/bus.h; ctx: struct agent. */
const char *agent_request(void *ctx, const Turnout__Request *request, Turnout__Reply *reply);
void agent_release(void *ctx, Turnout__Reply *reply);
/* Hello to everybody, and from then on all that time brings.  A negative errno on failure. */
int agent_start(struct agent *a);
/*
 * If a former agent was killed, its filters still send up what its affinities match.  The kernel would route that
 * untranslated, and clients would reset their connections: so before its filters are replaced, wait until the managers
 * have said again what they want, for a moment at most.  What comes up meanwhile is dropped, and sent again by TCP.
 */
void agent_take_over(struct agent *a);
/* Own control endpoints and groups are never matched (FA-8). */
void agent_protect_control(struct agent *a);
void agent_forget_forwards(struct agent *a);

/* agent_route_io.c: as in struct engine_out; ctx: struct agent. */
bool agent_route(void *ctx, const struct addr *to, struct engine_route *out);
uint32_t agent_least_mtu(void *ctx);

/* agent_stop_io.c */
/* Told to end: routes are withdrawn, or held (FA-6), and the loop ends when that was heard. */
void agent_stop(void *ctx);
/* Do routes stay, and so what the kernel has of us, for the next agent to take over? */
bool agent_leaves(const struct agent *a);
/* Do the filters stay, for the next agent to take over, or for what still comes to go to the fallback? */
bool agent_leaves_filters(const struct agent *a);

/* agent_reload_io.c: the configuration file may have changed; ctx: struct agent. */
void agent_reload(void *ctx);

/* agent_tap_io.c */
bool agent_tap_new(struct agent *a); /* false: out of memory */
const char *agent_capture(struct agent *a, const Turnout__Capture *request, Turnout__Reply *reply);
const char *agent_settings(struct agent *a, Turnout__Reply *reply);

/* agent_notice_io.c: for whoever watches.  severity: "info", "warning", "error". */
void agent_notice(struct agent *a, const char *severity, const char *kind, const char *subject, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
void agent_engine_news(void *ctx, const struct engine_news *news);

/*
 * agent_trace_io.c: what would become of a packet.  NULL, or what is wrong with the question.  names: room for the
 * names that *t refers to.
 */
const char *agent_trace(struct agent *a, const Turnout__Trace *request, struct admin_trace *t, char *names,
			size_t size);

/* agent_links_io.c */
extern const struct netlink_handler agent_netlink_handler;
bool agent_links_new(struct agent *a); /* false: out of memory */
/* After netlink_open(): are all interfaces there?  An enum exitcode, after one line for each that is not. */
int agent_links_check(struct agent *a);
/* Has one of them a filter that a former agent left? */
bool agent_links_former(const struct agent *a);
/* As in struct engine_out; ctx: struct agent. */
bool agent_refuses(void *ctx, uint32_t ifindex);
/* Attach to all.  An enum exitcode, after one line. */
int agent_links_attach(struct agent *a);
/* Try again what could not be attached. */
void agent_links_retry(struct agent *a);
/* Packets go the kernel's way from here on. */
void agent_links_detach(struct agent *a);

#endif
