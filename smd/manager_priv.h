/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manager's inside, shared by its files only: manager.c (life, time,
 * agents, health), announce.c (wildcards), decide.c (flows), reload.c (another
 * configuration).
 */
#ifndef TURNOUT_SMD_MANAGER_PRIV_H
#define TURNOUT_SMD_MANAGER_PRIV_H

#include "smd/manager.h"
#include "smd/memo.h"

#define MANAGER_OWN_ADDRESSES 32
#define MANAGER_MIXING        8

/* What an agent may lack, and still do something for us. */
#define MANAGER_OPTIONAL (wire_bit(WIRE_SEG_ADVERTISE) | wire_bit(WIRE_SEG_REJECT))
/* All that any configuration may need. */
#define MANAGER_ABILITIES                                                                                              \
	(MANAGER_OPTIONAL | wire_bit(WIRE_SEG_NAT) | wire_bit(WIRE_SEG_INTEREST) | wire_bit(WIRE_SEG_TUNNEL) |         \
	 wire_bit(WIRE_SEG_RANGES))

enum announcement_kind {
	ANNOUNCEMENT_FORWARD,   /* client to VIP */
	ANNOUNCEMENT_REVERSE,   /* server to client */
	ANNOUNCEMENT_RULE,      /* of a filter: needs no asking */
	ANNOUNCEMENT_PARTITION, /* some clients to one server, or back, when nobody is there to ask (SM-13) */
};

/* One wildcard of ours. */
struct announcement {
	struct wire_wildcard match; /* TTL 0 here */
	struct wire_range ranges[CONFIG_MAX_PORTS];
	uint8_t range_count;
	uint8_t kind; /* enum announcement_kind */
	uint32_t precedence, backup;
	uint32_t needs;                   /* wire_bit()s of what an agent must be able to do to take it */
	uint32_t wishes;                  /* likewise of what it carries, and is left out for who cannot (ACT-9) */
	const struct group *group;        /* forward and partition: whose VIP it is; else NULL */
	const struct backend *server;     /* of a reverse partition; NULL: forward */
	uint32_t part, parts;             /* of a forward partition: which of how many */
	uint32_t ttl_s;                   /* of a partition; 0: as all others */
	struct wire_nat nat;              /* of a partition */
	uint64_t told_ms;                 /* when a partition was last sent to the group */
	const struct service_conf *conf;  /* forward and reverse; NULL when no longer configured */
	const struct filter_conf *filter; /* of a rule; likewise */
	uint32_t rule;                    /* from 1 */
	bool wanted;
	uint8_t urgent;  /* times still to be sent to the group soon */
	uint64_t due_ms; /* when next, if urgent */
};

struct manager {
	const struct smd_conf *conf;
	const struct manager_out *out;
	void *ctx;
	struct services *services;
	struct flows *flows;
	struct agents *agents;
	struct announcement *announcements;
	uint32_t announcement_count;
	uint32_t rule_count; /* of them rules of filters: they are the first */
	uint32_t urgent;     /* announcements with urgent > 0 */
	uint32_t needed;     /* wire_bit()s: the needs of all of them */
	uint32_t wished;     /* likewise what an agent may lack, and does less without */
	uint32_t told_ttl_s; /* of the wildcards; with another one all are sent anew, since agents count by the old one
			      */
	uint32_t cycle_next; /* announcement to refresh next */
	uint64_t call_ms;    /* when agents that the configuration names are called next */
	uint64_t cycle_ms;   /* when the cycle began */
	uint32_t withdraw_next;
	uint32_t sweep_slot; /* flow store place where the search for stranded flows goes on */
	bool sweeping;
	uint64_t expire_agents_ms;
	uint64_t started_ms;
	/* Until then what other managers announce of our services lasts: one that comes before us, or behind us. */
	uint64_t better_until_ms, worse_until_ms;
	uint64_t better;                 /* its identity; 0: none is there */
	uint64_t mixing[MANAGER_MIXING]; /* managers of which it was said that their wildcards come between our rules */
	uint32_t mixing_count;
	struct addr own[MANAGER_OWN_ADDRESSES];
	size_t own_count;
	struct log_limit log;
	uint64_t counters[MANAGER_COUNTER_COUNT];
};

static inline void manager_count(struct manager *m, enum manager_counter c)
{
	m->counters[c]++;
}

static inline bool manager_send(struct manager *m, struct agent *a, struct wire_msg *msg)
{
	bool ok = m->out->send(m->ctx, &a->peer, msg);

	if (!ok)
		manager_count(m, MANAGER_UNSENT);
	return ok;
}

/* ---- manager.c ---- */

/* In the log, and to whoever watches.  kind, subject: as in message Notice of proto/admin.proto. */
void manager_notify(struct manager *m, enum log_level level, const char *kind, const char *subject, const char *format,
		    ...) __attribute__((format(printf, 5, 6)));
/* The state of a group has changed. */
void manager_say_group(struct manager *m, const struct group *g);

/* ---- announce.c ---- */

bool announce_init(struct manager *m, uint64_t now_ms); /* false: no memory */
/* wire_bit()s of what an agent must be able to do for it. */
uint32_t announce_needs(const struct service_conf *s);
/* A group's state changed: announce or withdraw its VIPs. */
void announce_group(struct manager *m, const struct group *g, uint64_t now_ms);
/* A group's servers may have changed: give its partitions to those that are usable. */
void announce_partitions(struct manager *m, const struct group *g, uint64_t now_ms);
/* For listings. */
struct manager_wildcard announce_row(const struct manager *m, uint32_t n);
/* Show an agent all that is wanted, from the start, soon. */
void announce_show(struct manager *m, struct agent *a, uint64_t now_ms);
/* Send what is due.  True: there is more to send soon. */
bool announce_tick(struct manager *m, uint64_t now_ms);
/* A removed server has no flows left: withdraw its wildcard, unless another needs it. */
void announce_removed(struct manager *m, const struct backend *b);

/* The wildcards of other services than m's, to take their place. */
struct announcements {
	struct announcement *all;
	uint32_t count;
	uint32_t rule_count; /* they are the first */
};
bool announce_prepare(const struct manager *m, const struct smd_conf *conf, const struct services *s,
		      struct announcements *as); /* false: no memory */
/* Now m has those services: only what differs from what was announced is sent at once. */
void announce_replace(struct manager *m, struct announcements *as, uint64_t now_ms);

/* ---- decide.c ---- */

/* A match or a refresh. */
void decide_question(struct manager *m, struct agent *a, const struct wire_msg *msg, uint64_t now_ms);
/* Delete a flow's affinities at the agents that may hold them (SM-6). */
void decide_withdraw(struct manager *m, const struct flow *f);
/* The same, and forget it. */
void decide_forget(struct manager *m, struct flow *f);
/* The store forgets a flow. */
void decide_gone(void *ctx, struct flow *f);
/*
 * Servers went down: let go of their flows that were never answered, whose SYN is about to be repeated, and of
 * datagram flows, which know no reconnecting (SM-6).  Some at a time; false: done.
 */
bool decide_sweep(struct manager *m);

#endif
