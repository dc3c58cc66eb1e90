/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What would become of a packet?  Answered from the engine's tables by the
 * code that decides about real packets, without changing anything: no counter,
 * no state, no message.
 *
 * Must not know of what keeps packets from the engine: the classifier's
 * protected destinations (FA-8) and interfaces.  ARCH-7.
 */
#ifndef TURNOUT_FAD_ENGINE_TRACE_H
#define TURNOUT_FAD_ENGINE_TRACE_H

#include "fad/engine.h"

#define ENGINE_TRACE_MAX (WILDTAB_MAX_MATCHES + 32)

/* What part an affinity that matches has. */
enum trace_part {
	TRACE_ACTS,     /* it shapes the packet's way */
	TRACE_ASKS,     /* its manager gets the packet, which goes no further now */
	TRACE_SHADOWED, /* another one of the same precedence acts (FIX-7, PREC-9) */
	TRACE_BEYOND,   /* the packet does not get as far as this precedence */
	TRACE_LEFT_OUT, /* more precedences than a plan has steps */
	TRACE_ABSENT,   /* its manager is silent: as if it were not there */
};

struct trace_match {
	const struct affinity *a;
	const struct wildcard *wildcard; /* NULL: a fixed one */
	enum trace_part part;
};

enum trace_outcome {
	TRACE_UNMATCHED,  /* nothing matches: the kernel routes it, unchanged */
	TRACE_ADVERTISED, /* nothing matches, and it is to an advertised address: dropped (ACT-3) */
	TRACE_HELD,       /* behind others of its flow, whose question is open (FA-9) */
	TRACE_PUNTED,     /* a manager gets it */
	TRACE_COPIED,     /* a manager gets a copy, and it waits (ACT-7) */
	TRACE_SILENT,     /* a manager would get it, but is silent: dropped, but for one a second */
	TRACE_DROPPED,    /* FIX-3 */
	TRACE_FORWARDED,
};

struct engine_trace {
	struct trace_match matches[ENGINE_TRACE_MAX]; /* in the order in which they are consulted */
	size_t count;
	enum trace_outcome outcome;
	const struct affinity *decider;   /* punted, copied, held, silent, dropped: by this one; else NULL */
	const struct held_flow *held;     /* TRACE_HELD */
	struct flow_key after;            /* the packet with all edits */
	struct addr next_hop;             /* family 0: by destination */
	const struct wire_tunnel *tunnel; /* into which it goes, to next_hop's server; NULL: none */
	bool renumbered;                  /* its sequence numbers are adjusted */
};

/*
 * A packet with this key; guarded: of what FA-8 protects; tcp_flags as in struct packet; data: has it a payload?
 * Borrows from the engine's tables.
 */
void engine_trace(const struct engine *e, const struct flow_key *k, bool guarded, uint8_t tcp_flags, bool data,
		  struct engine_trace *t);

/*
 * The plan that acts on a flow with fixed affinities, for listings: composed anew when the one in use is out of date.
 * The same for a flow in the table and what a packet of it would meet now.
 */
void engine_flow_plan(const struct engine *e, const struct flow *f, struct flow_plan *plan);

#endif
