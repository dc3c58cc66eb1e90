/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configured services as tables to look up in: virtual addresses, servers,
 * and the checks that say which servers can be used.
 *
 *   group    one address family of one service: a balancer, some VIPs, some backends
 *   vip      one virtual address and port
 *   backend  one address of one server in one group
 *   check    one address and port to be checked; the backends of a server may share one
 *
 * Everything is made once and never moves; pointers stay good.  Another
 * configuration means other tables (smd/reload.c).  The configuration is
 * borrowed and must outlive them.
 *
 * Pure; must not know of messages, flows, or how a check is made.
 */
#ifndef TURNOUT_SMD_SERVICES_H
#define TURNOUT_SMD_SERVICES_H

#include <uthash.h>

#include "smd/balancer.h"
#include "smd/config.h"
#include "smd/health.h"

/* Where something listens.  No padding; unused bytes zero. */
struct service_key {
	uint8_t family, proto;
	uint16_t port;
	uint8_t addr[16];
};
_Static_assert(sizeof(struct service_key) == 20, "service_key has no padding");

enum group_state {
	GROUP_WAITING,   /* its servers are being checked for the first time */
	GROUP_ANNOUNCED, /* at least one server is up, or clients are to be told that none is */
	GROUP_WITHDRAWN, /* none is: another site may serve */
};
const char *group_state_name(enum group_state state);

struct vip {
	struct service_key key;
	struct group *group;
	uint64_t flows, decisions;
	UT_hash_handle hh;
};

struct check {
	struct addr addr;
	uint16_t port;
	const struct check_conf *conf;
	struct health health;
	char text[64]; /* the last result in words */
};

/* An operator's will. */
enum server_will { SERVER_ENABLED, SERVER_DRAINING, SERVER_DISABLED };

struct backend {
	struct service_key key;
	struct group *group;
	const struct server_conf *conf;
	uint16_t index;      /* in the group's balancer; BALANCER_NONE: removed */
	bool removed;        /* no longer configured: there until its flows have ended */
	uint8_t will;        /* enum server_will */
	struct check *check; /* NULL: not checked, always up */
	uint64_t flows, decisions;
	uint64_t connections;      /* of the flows those that have not ended (SM-7) */
	struct backend *next_same; /* another group's at the same key */
	UT_hash_handle hh;         /* the first of them */
};

struct group {
	const struct service_conf *conf;
	uint8_t family;
	bool empty; /* announced, though no server is up (when-empty) */
	enum group_state state;
	struct balancer *balancer;
	struct vip *vips;
	struct backend *backends;
	size_t vip_count, backend_count;
	uint32_t ttl_s; /* of its fixed affinities */
};

struct services {
	struct group *groups;
	struct vip *vips;
	struct backend *backends;
	struct check *checks;
	size_t group_count, vip_count, backend_count, check_count;
	struct vip *by_vip;         /* uthash heads */
	struct backend *by_backend; /* of services that translate: their servers' packets are ours */
	struct backend *by_dispatched;
	struct server_conf *removed; /* own copies, for removed backends */
	size_t removed_count, removed_room;
};

/* removed: room for so many removed servers.  NULL: no memory. */
struct services *services_new(const struct smd_conf *conf, size_t removed);
void services_free(struct services *s);

/*
 * A backend that the configuration no longer has, but whose flows go on in this
 * group: like `was`, which may be of other tables.  It is behind all others, in
 * nobody's balancer.  NULL: no room, or no memory.
 */
struct backend *services_add_removed(struct services *s, struct group *g, const struct backend *was);

/* The VIP a packet with this destination is for, NULL if none of ours. */
struct vip *services_vip(const struct services *s, const struct flow_key *forward);
/* Are its packets translated, or dispatched unchanged? */
static inline bool group_translates(const struct group *g)
{
	return g->conf->mode == MODE_NAT;
}

/* The backends of translated services a packet with this source is from (then ->next_same), NULL if none of ours. */
struct backend *services_backend(const struct services *s, const struct flow_key *reverse);
/* The first of those backends at this key, NULL if there is none. */
struct backend *services_backend_at(const struct services *s, const struct service_key *key);
/* The backend at this key of the service with this name, translated or dispatched. */
struct backend *services_backend_of(const struct services *s, const char *service, const struct service_key *key);
/* This group's backend at that address and port. */
struct backend *group_backend(const struct services *s, const struct group *g, const struct addr *addr, uint16_t port);

enum health_state backend_health(const struct backend *b);
/* "up", "down", "unknown", "draining", "disabled", "removed" */
const char *backend_state_name(const struct backend *b);
/* Is there no use in sending it anything?  Then flows that start anew leave it. */
bool backend_lost(const struct backend *b);
/* May it be given new flows? */
bool backend_takes_new(const struct backend *b);
/* It has so many connections more, or fewer. */
void backend_connections(struct backend *b, int change);
static inline struct addr service_key_addr(const struct service_key *k)
{
	return addr_make(k->family, k->addr);
}
/*
 * A server that nothing speaks against may be chosen: usable in the balancer.
 * While the group waits, that is also one that was not checked yet.
 * Set the group's state by its servers'; draining ones count, as their flows
 * need the VIP.  Returns whether the state changed.
 */
bool group_evaluate(struct group *g);

#endif
