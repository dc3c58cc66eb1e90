/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files that make rows for listings share: admin.c (the reply, most
 * listings), admin_flow.c and admin_trace.c.
 */
#ifndef TURNOUT_FAD_ADMIN_PRIV_H
#define TURNOUT_FAD_ADMIN_PRIV_H

#include "fad/admin.h"

/* A text of the reply, freed with it; "" when out of memory, which fails the reply. */
char *admin_text(struct admin *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A row of the reply, to be initialised by the caller.  NULL: out of memory. */
void *admin_row(struct admin *a, size_t size);
#define ADMIN_ROW(a, lower) admin_row(a, sizeof(Turnout__##lower))

char *admin_manager_text(struct admin *a, const struct manager *m);
char *admin_endpoint_text(struct admin *a, const struct addr *addr, uint16_t port);
char *admin_proto_text(struct admin *a, uint8_t proto);
char *admin_actions_text(struct admin *a, const struct affinity *affinity);
char *admin_key_text(struct admin *a, const struct flow_key *k);
/* "10.0.0.0/8, 10.0.0.1-10.0.0.9, port 1024-2047": one side of a wildcard with its ranges. */
char *admin_side_text(struct admin *a, const struct wildcard *w, bool source);
uint32_t admin_seconds_left(uint64_t expires_ms, uint64_t now_ms);
/* Ranks below all others have no number of 32 bits. */
uint32_t admin_rank_number(affinity_rank rank);

/* admin_flow.c.  False: out of memory. */
bool admin_flow_row(struct admin *a, const struct admin_view *v, const struct flow *f);
/* admin_trace.c */
void admin_trace_rows(struct admin *a, const struct admin_view *v);

#endif
