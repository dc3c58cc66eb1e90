/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The classifier's user side: load, attach at tc ingress, keep its maps.
 *
 * I/O; knows keys, masks and prefixes, must not know what an affinity does.
 * Every setter is idempotent; a failed one is logged, counted and reported.
 */
#ifndef TURNOUT_FAD_CLASSIFIER_IO_H
#define TURNOUT_FAD_CLASSIFIER_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "fad/classifier.h"
#include "fad/plantab.h"
#include "lib/addr.h"

struct classifier;

struct classifier_limits {
	uint32_t fixed, wildcards;
	uint32_t plans; /* slots of each family in the kernel's table, a power of two; 0: no table */
};

/* Load the programs.  0 or an enum exitcode after one clear log line. */
int classifier_open(struct classifier **c, uint32_t punt_ifindex, const struct classifier_limits *limits);
/* detach: remove filters from all interfaces and the port. */
void classifier_close(struct classifier *c, bool detach);

/* Attach at tc ingress of a data interface, replacing a former agent's filter. */
int classifier_attach(struct classifier *c, const char *name, uint32_t ifindex, bool drop_unmatched);
/* Are plans carried out for what comes in there?  Of an interface attached; no at first. */
int classifier_interface_plans(struct classifier *c, uint32_t ifindex, bool carry_out);
/* The memory that the kernel reads plans from, until the classifier is closed.  False: there is none. */
bool classifier_plans(struct classifier *c, struct plantab_memory *out);
/* Has the interface a filter that a former agent left? */
bool classifier_former(uint32_t ifindex);
/* Detach from an interface that left the configuration. */
void classifier_detach(struct classifier *c, uint32_t ifindex);
/* Attach the forwarder at the ingress of the punt port's kernel end. */
int classifier_attach_port(struct classifier *c, uint32_t kernel_ifindex);

/*
 * ARCH-3: when the agent is dead, what would have come up to it goes to this next hop instead, the neighbour by another
 * router with an agent: as soon as the heartbeat is stale, until it is for_ms old.  One for each family.
 */
void classifier_fallback(struct classifier *c, const struct addr *next_hop, uint32_t for_ms);

/*
 * FA-6: without the agent what is under a shape with CLASSIFIER_SHAPE_DROP_GONE is dropped, each key up to its own
 * CLOCK_MONOTONIC, told by classifier_wildcard_gone(), and none later than this.
 */
void classifier_gone_until(struct classifier *c, uint64_t until_ms);

/* Show what is dropped to whoever looks on, at the punt port: so much at most until told again.  False: to nobody. */
void classifier_show_drops(struct classifier *c, bool show);

/* Every 100 ms, and at start: the agent lives. */
void classifier_heartbeat(struct classifier *c);
/* It goes, and says so: from now on packets go to the fallback, or pass, without the second that a crash costs. */
void classifier_silence(struct classifier *c);

/* A masked wildcard key under a shape number chosen by the caller (0 to 63, of a shape for fragments 64 to 127), who
 * counts references. */
bool classifier_shape(struct classifier *c, uint16_t number, const struct classifier_shape *shape); /* NULL: free it */
bool classifier_wildcard_add(struct classifier *c, const struct classifier_key *key);
bool classifier_wildcard_gone(struct classifier *c, const struct classifier_key *key, uint64_t until_ms);
bool classifier_wildcard_del(struct classifier *c, const struct classifier_key *key);
/*
 * FA-5: let no more packets come up under this key than that, until limit->until_ns; NULL: as it is.  Returns how many
 * did not come up since it was asked last.  At most CLASSIFIER_SHEDS keys at a time: of others all come up.
 */
uint64_t classifier_shed(struct classifier *c, const struct classifier_key *key, const struct classifier_shed *limit);
bool classifier_fixed_add(struct classifier *c, const struct flow_key *key);
bool classifier_fixed_del(struct classifier *c, const struct flow_key *key);

/* Prefixes advertised (ACT-3). */
bool classifier_advertised_add(struct classifier *c, const struct addr *a, uint8_t plen);
bool classifier_advertised_del(struct classifier *c, const struct addr *a, uint8_t plen);

/* FA-8: own unicast addresses, and control endpoints whose messages are never matched; these as long as they were added
 * more often than deleted. */
bool classifier_own_add(struct classifier *c, const struct addr *a);
bool classifier_own_del(struct classifier *c, const struct addr *a);
bool classifier_peer_add(struct classifier *c, const struct addr *a, uint16_t port);
bool classifier_peer_del(struct classifier *c, const struct addr *a, uint16_t port);
/* Does all that keep packets of this key, TCP or UDP, from coming up?  Without a system call. */
bool classifier_guards(const struct classifier *c, const struct flow_key *key);
/* Is it listed there?  For who asks, not for packets. */
bool classifier_is_own(struct classifier *c, const struct addr *a);
bool classifier_is_peer(struct classifier *c, const struct addr *a, uint16_t port);
/* Honour wildcards over protected packets too (the operator's permission and an explicit flag). */
void classifier_permit_protected(struct classifier *c, bool permit);

/* The index by which port_send() names this next hop; 0 when the table is full. Reference-counted. */
uint32_t classifier_forward_get(struct classifier *c, const struct addr *next_hop);
void classifier_forward_put(struct classifier *c, uint32_t index);

/* Sum over CPUs. */
void classifier_counters(struct classifier *c, uint64_t out[CLASSIFIER_COUNTERS]);
/* The same for one interface; what counts is left 0 in *out. */
void classifier_interface_counters(struct classifier *c, uint32_t ifindex, struct classifier_interface *out);

#endif
