/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manager's meaning: what is announced, and what is decided about each
 * flow.  Owns the services, the flow store, the agents known, the wildcards,
 * and all counters but the endpoint's.
 *
 * Announced, for each VIP: a forward wildcard (anyone to VIP and port), which
 * advertises the VIP.  For each server: a reverse wildcard (server and port to
 * anyone).  Both punt every packet that has no fixed affinity.  They go to the
 * group every third of their TTL, evenly spread over that time (rules of
 * filters all at once), and to one agent when it becomes known, asks, or turns
 * out not to have them.  A new or withdrawn one is sent twice, since nobody
 * acknowledges.
 *
 *            first result of every server's check, one good
 *   waiting --------------------------------------------------> announced
 *      | all bad                     a server is up  +------------>|
 *      v                                             |             |
 *   withdrawn <--------------------------------------+-------------+
 *                                       no server is up
 *
 * A service whose servers are all down withdraws its VIPs, so that routing
 * leads clients to another site if there is one.  Its reverse wildcards stay:
 * they announce nothing, and live flows can still be refreshed.
 *
 * A first packet is decided once and remembered, with its reverse key, for
 * longer than any agent can hold an affinity; whoever asks gets the same
 * answer.  A manager that forgot (it restarted) learns flows again from what
 * agents return (smd/memo.h), or decides again, alike, by consistent hashing.
 *
 * Pure: messages go out through struct manager_out, time is a parameter.
 *
 * Serves SM-1 to SM-3, SM-5 to SM-7, SM-9, SM-12, SVC-1, SVC-2, FIX-9, ACT-9, MSG-10.
 */
#ifndef TURNOUT_SMD_MANAGER_H
#define TURNOUT_SMD_MANAGER_H

#include "smd/agents.h"
#include "smd/config.h"
#include "smd/flows.h"
#include "smd/services.h"

/* group, name, help: one row each; the enum is MANAGER_<first in capitals>. */
#define MANAGER_COUNTERS(X)                                                                                            \
	X(MATCHES, "messages", "matches", "packets that agents asked about")                                           \
	X(REFRESHES, "messages", "refreshes", "flows that agents asked to keep")                                       \
	X(NOTICES, "messages", "notices", "beginnings and ends of connections that agents reported")                   \
	X(HELLOS, "messages", "hellos", "agents saying that they are there")                                           \
	X(DENIES, "messages", "denies", "updates that agents refused")                                                 \
	X(WILDCARDS, "messages", "wildcard-updates", "sent, to the group or to one agent")                             \
	X(ANSWERS, "messages", "fixed-updates", "sent in answer to a match or a refresh")                              \
	X(DELETIONS, "messages", "deletions", "fixed affinities deleted at an agent")                                  \
	X(UNSENT, "message-drops", "unsent", "could not be handed to the control socket")                              \
	X(UNEXPECTED, "message-drops", "unexpected", "a message type that a manager does not take")                    \
	X(OTHER_MANAGER, "message-drops", "other-manager", "updates of other managers, heard in the group")            \
	X(UNDECODABLE, "message-drops", "required-unknown", "a required segment of unknown type")                      \
	X(AGENTS_FULL, "message-drops", "agents-full", "from an agent beyond limits.agents")                           \
	X(NOT_OURS, "message-drops", "not-ours", "about a flow of no service here")                                    \
	X(NOTICE, "message-drops", "notice", "a match without a packet, about no known connection")                    \
	X(DECIDED, "decisions", "new", "flows for which a server was chosen")                                          \
	X(REPEATED, "decisions", "repeated", "known flows asked about again: the same answer")                         \
	X(DERIVED, "decisions", "derived", "reverse flows whose forward flow follows from the hash")                   \
	X(LEARNT, "decisions", "learnt", "flows learnt from what an agent holds")                                      \
	X(PASSED, "decisions", "passed", "flows from a server that belong to no VIP: left unchanged")                  \
	X(MOVED, "decisions", "moved", "flows given another server, their affinities deleted first")                   \
	X(OTHER_PRECEDENCE, "decisions", "other-precedence", "left to the wildcard of the flow's own service")         \
	X(NO_SERVER, "decisions", "no-server", "no server of the service is usable: dropped")                          \
	X(NO_FIT, "decisions", "no-fit", "the client's port is in use at every server: dropped")                       \
	X(FLOWS_FULL, "decisions", "flows-full", "beyond limits.flows: dropped")                                       \
	X(UNABLE, "decisions", "unable", "the agent lacks an action that the flow needs: dropped")                     \
	X(POSTPONED, "decisions", "postponed", "left unanswered at start until more is known: asked again")            \
	X(OWN_FULL, "checks", "own-addresses-full",                                                                    \
	  "probes from addresses beyond those remembered: replies to them are not told from clients'")                 \
	X(CLOSED, "flows", "closed", "connections that ended, by FIN in both directions or RST")                       \
	X(RELOADED, "reloads", "done", "another configuration was taken over")                                         \
	X(RELOAD_REFUSED, "reloads", "refused", "another configuration was bad, or needs a restart")                   \
	X(EXPIRED, "flows", "expired", "forgotten for lack of traffic")                                                \
	X(DENY_UNSUPPORTED, "denies", "unsupported", "the agent lacks an action")                                      \
	X(DENY_NOT_COVERED, "denies", "not-covered", "the agent lacks our wildcards: shown again")                     \
	X(DENY_NO_ROOM, "denies", "no-room", "the agent's table is full: left alone for a while")                      \
	X(DENY_FORBIDDEN, "denies", "forbidden", "the agent's operator does not permit it")                            \
	X(DENY_OTHER, "denies", "other", "any other reason")

enum manager_counter {
#define X(id, group, name, help) MANAGER_##id,
	MANAGER_COUNTERS(X)
#undef X
		MANAGER_COUNTER_COUNT
};

/* In the words of message Notice in proto/admin.proto. */
struct manager_notice {
	enum log_level severity;
	const char *kind, *subject, *text;
};

/* Called synchronously; header and security are filled in there.  False: could not. */
struct manager_out {
	bool (*send)(void *ctx, const struct endpoint_peer *to, struct wire_msg *m);
	bool (*send_all)(void *ctx, struct wire_msg *m);
	/* To agents that the configuration names by address, whether they were heard of or not; optional. */
	bool (*send_named)(void *ctx, struct wire_msg *m);
	/* Something that an operator may want to see at once; optional.  The texts live until it returns. */
	void (*notice)(void *ctx, const struct manager_notice *notice);
};

struct manager;

/* conf is borrowed.  seed: 128 random bits.  NULL: no memory. */
struct manager *manager_new(const struct smd_conf *conf, const uint64_t seed[2], const struct manager_out *out,
			    void *ctx, uint64_t now_ms);
void manager_free(struct manager *m); /* says nothing to anybody */

/* An authenticated, fresh message. */
void manager_message(struct manager *m, const struct endpoint_peer *from, const struct wire_msg *msg, uint64_t now_ms);
/* One that was refused for required segments of unknown type. */
void manager_undecodable(struct manager *m);
/* The peer is there in a new incarnation, or has lost what it knew of us. */
void manager_peer_known(struct manager *m, const struct endpoint_peer *peer, uint64_t now_ms);
void manager_peer_asks(struct manager *m, const struct endpoint_peer *peer, uint64_t now_ms);
/* Check number `check` of manager_services() has a result; text: in words. */
void manager_check_result(struct manager *m, size_t check, bool good, const char *text, uint64_t now_ms);
/* Health probes leave from this address: replies to it are never balanced (SM-12). */
void manager_own_address(struct manager *m, const struct addr *addr);
/*
 * Go on with another configuration (smd/reload.c): what it does not change
 * stays as it is.  conf is borrowed from then on, and the one before no longer
 * needed.  Check numbers are new.  False: nothing has changed, why says why.
 */
bool manager_reload(struct manager *m, const struct smd_conf *conf, char *why, size_t size, uint64_t now_ms);
/* The new configuration could not be read, or manager_reload() returned false. */
void manager_reload_refused(struct manager *m, const char *why);
/*
 * An operator's will about a server, by its name or one of its addresses; in
 * one service, or all (service NULL or empty).  row is called once for each
 * service, with one of its backends and the state before.  Returns how many.
 */
typedef void (*manager_row)(void *ctx, const struct backend *b, const char *before);
size_t manager_server_set(struct manager *m, const char *service, const char *server, enum server_will will,
			  manager_row row, void *ctx, uint64_t now_ms);
/* Do what is due.  Returns in how many milliseconds to call again. */
uint64_t manager_tick(struct manager *m, uint64_t now_ms);
/* Withdraw some of what is announced; call again, after a pause, while it returns true. */
bool manager_withdraw(struct manager *m);

/* ---- for listings; valid until the next call above ---- */

const struct smd_conf *manager_conf(const struct manager *m);
/* wire_bit()s of what agents must be able to do. */
uint32_t manager_needs(const struct manager *m);
/* One of what is announced, by number from 0. */
struct manager_wildcard {
	const struct wire_wildcard *match; /* NULL: there is no such number */
	const struct wire_range *ranges;   /* of destination ports */
	uint8_t range_count;
	bool wanted, advertise, punts, rejects;
	const struct wire_nat *nat; /* of a partition; else NULL */
	uint32_t precedence, backup, ttl_s;
	const struct service_conf *service; /* whose it is; or */
	const struct filter_conf *filter;
	uint32_t rule; /* from 1 */
};
struct manager_wildcard manager_wildcard(const struct manager *m, uint32_t n);
const struct services *manager_services(const struct manager *m);
const struct agents *manager_agents(const struct manager *m);
struct flows *manager_flows(const struct manager *m);
const uint64_t *manager_counters(const struct manager *m); /* MANAGER_COUNTER_COUNT of them */

#endif
