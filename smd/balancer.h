/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Choosing a server for a flow, among the servers of one address family of
 * one service (SVC-1).
 *
 *  - maglev: the flow's key, hashed with a fixed key, decides.  Every manager
 *    and every restart with the same usable servers decides alike (SM-2).
 *  - round-robin: in turn, smoothly by weight; the turn is this manager's own.
 *  - least-connections: the one with the fewest connections for its weight; of
 *    several the flow's key decides, alike everywhere (SM-7).
 *
 * Pure; must not know of messages, of the flow store, or why a server is
 * usable.
 */
#ifndef TURNOUT_SMD_BALANCER_H
#define TURNOUT_SMD_BALANCER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"

enum balancer_method { BALANCER_MAGLEV, BALANCER_ROUND_ROBIN, BALANCER_LEAST_CONNECTIONS };
const char *balancer_method_name(enum balancer_method method); /* as in the configuration */

#define BALANCER_NONE  UINT16_MAX       /* no server is usable */
#define BALANCER_UNFIT (UINT16_MAX - 1) /* some are, but the caller refused them all */

struct balancer;

/* No servers yet.  NULL: no memory. */
struct balancer *balancer_new(enum balancer_method method);
void balancer_free(struct balancer *b);

/* Add a server, not usable yet; returns its index (0, 1, ...), or BALANCER_NONE
 * when there is no room or memory.  name is borrowed and must outlive b. */
uint16_t balancer_add(struct balancer *b, const char *name, uint32_t weight);
/* The tables are computed again at the next choice. */
void balancer_set_usable(struct balancer *b, uint16_t server, bool usable);
unsigned balancer_usable(const struct balancer *b);
/* A server has so many connections more, or fewer; for least-connections. */
void balancer_load(struct balancer *b, uint16_t server, int change);
/* Go on where an older one was: server i's turn comes when that of from[i] of the old one did (BALANCER_NONE: a new
 * one). */
void balancer_continue(struct balancer *b, const struct balancer *old, const uint16_t *from);

/*
 * The first server in this flow's order of preference that `fits`; the caller
 * refuses a server on which the flow's reverse key is taken (SM-12).
 * key is the forward key, client to VIP.  Returns an index or one of the above.
 */
typedef bool (*balancer_fits)(void *ctx, uint16_t server);
uint16_t balancer_choose(struct balancer *b, const struct flow_key *key, balancer_fits fits, void *ctx);

/* The server that the key alone leads to, whatever fits: BALANCER_NONE when
 * there is none or the method has no such thing (all but maglev). */
uint16_t balancer_leads_to(struct balancer *b, const struct flow_key *key);

#endif
