/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agent's meaning: what happens to a packet, and what a service message
 * changes.  Owns the affinity tables, the holds, the managers known, the
 * addresses advertised and all counters.
 *
 * Pure: sockets, clocks, eBPF and netlink are behind struct engine_out and the
 * now_ms parameters.  A packet that an affinity matches comes in by
 * engine_packet() and leaves by exactly one of: out->forward, a message, the
 * hold, or a counted drop.
 *
 * Serves FA-1 to FA-4, FA-9, FIX, WILD, ACT-1 to ACT-4, ACT-6 to ACT-8, SVC-10, PREC.
 */
#ifndef TURNOUT_FAD_ENGINE_H
#define TURNOUT_FAD_ENGINE_H

#include "fad/affinity.h"
#include "fad/fixtab.h"
#include "fad/fragtab.h"
#include "fad/hold.h"
#include "fad/manager.h"
#include "fad/packet.h"
#include "fad/plantab.h"
#include "fad/wildtab.h"

/* group, name, help: one row each; the enum is ENGINE_<name in capitals>. */
#define ENGINE_COUNTERS(X)                                                                                             \
	X(PACKETS, "packets", "received", "packets that came up from the classifier")                                  \
	X(BYTES, "packets", "received-bytes", "their bytes, from the IP header on")                                    \
	X(FORWARDED, "packets", "forwarded", "sent on after a decision")                                               \
	X(FORWARDED_BYTES, "packets", "forwarded-bytes", "their bytes")                                                \
	X(WRAPPED, "packets", "wrapped", "of these, wrapped into a tunnel")                                            \
	X(UNMATCHED, "packets", "unmatched", "no affinity matched after all: routed unchanged")                        \
	X(PUNTS, "packets", "punted", "sent to a manager for a decision")                                              \
	X(PUNTS_SHARE, "packets", "punted-share", "of these, beyond limits.punt-rate, from a source that asks little") \
	X(EXCESS_ROUTED, "packets", "excess-routed",                                                                   \
	  "beyond limits.punt-rate, and routed unchanged (punt-excess: route)")                                        \
	X(SILENT_ROUTED, "packets", "silent-routed",                                                                   \
	  "went on as if the wildcard of a silent manager were not there (on-silence: route)")                         \
	X(PROBES, "packets", "silent-probes", "of a silent manager asked whether it answers again")                    \
	X(HELD, "packets", "held", "kept until a manager answers")                                                     \
	X(RELEASED, "packets", "released", "taken out of the hold")                                                    \
	X(COPIES, "packets", "copied", "copies sent to a manager")                                                     \
	X(ERRORS, "packets", "errors-made", "ICMP errors to senders of packets that are too big, or rejected")         \
	X(RESETS, "packets", "resets-made", "TCP resets to senders of packets that are rejected")                      \
	X(FRAGMENTS_MADE, "packets", "fragments-made",                                                                 \
	  "pieces of IPv4 packets that were larger than the way to their next hop carries")                            \
	X(RETURNED, "packets", "returned", "packets that came back from a manager")                                    \
	X(FRAGMENTS, "packets", "fragments", "later fragments taken for their datagram's flow")                        \
	X(FRAGMENTS_WAITED, "packets", "fragments-waited", "later fragments that came before the first, and waited")   \
	X(DROP_AFFINITY, "drops", "affinity", "an affinity says drop")                                                 \
	X(DROP_REJECTED, "drops", "rejected", "an affinity says reject; its sender was told")                          \
	X(DROP_REJECTED_UNTOLD, "drops", "rejected-untold",                                                            \
	  "the same, but its sender must not or could not be told, or often enough")                                   \
	X(DROP_MALFORMED, "drops", "malformed", "not a well-formed IP packet")                                         \
	X(DROP_HOLD_FULL, "drops", "hold-full", "no room to hold another packet of the flow, or another flow")         \
	X(DROP_HOLD_ORPHANED, "drops", "hold-orphaned", "held for a manager whose affinity went before it answered")   \
	X(DROP_HOLD_TIMEOUT, "drops", "hold-timeout", "held until the manager's time was up")                          \
	X(DROP_FRAGMENT_ORPHANED, "drops", "fragment-orphaned", "later fragment whose first did not come in time")     \
	X(DROP_FRAGMENT_NO_ROOM, "drops", "fragment-no-room", "later fragment without room to wait for the first")     \
	X(DROP_PUNT_LIMIT, "drops", "punt-limit", "more questions a second under one wildcard than limits.punt-rate")  \
	X(DROP_PUNT_OPEN, "drops", "punt-open",                                                                        \
	  "more questions open under one wildcard than its manager gets round to")                                     \
	X(DROP_SILENT, "drops", "silent", "their manager is silent, and its wildcard does not say route (on-silence)") \
	X(DROP_PROBED, "drops", "probe-answered",                                                                      \
	  "copies that asked a silent manager, back with its answer: the packets themselves had gone on")              \
	X(DROP_UNSENDABLE, "drops", "punt-unsendable", "could not be put into a message")                              \
	X(DROP_DENIED, "drops", "denied-update", "packet inside an update that was denied")                            \
	X(DROP_MISMATCH, "drops", "update-mismatch", "packet inside an update for another flow")                       \
	X(DROP_COOKIE, "drops", "cookie", "returned packet without proof that it was here")                            \
	X(DROP_ADVERTISED, "drops", "advertised", "to an advertised address, and no affinity matches")                 \
	X(DROP_UNMATCHED, "drops", "unmatched", "no affinity matches after all, where the interface drops such")       \
	X(DROP_FORWARD, "drops", "forward", "could not be handed to the kernel")                                       \
	X(DROP_TUNNEL, "drops", "tunnel", "no way to the tunnel's far end, or too large to be wrapped")                \
	X(DROP_TOO_BIG, "drops", "too-big", "larger than its way out carries; its sender was told")                    \
	X(DROP_TOO_BIG_UNTOLD, "drops", "too-big-untold",                                                              \
	  "the same, but its sender could not be told, or often enough")                                               \
	X(DROP_STARTING, "drops", "starting", "sent up by a former agent's filter before managers said what for")      \
	X(MATCHES, "messages", "matches", "interest matches sent")                                                     \
	X(REFRESHES, "messages", "refreshes", "refresh requests sent")                                                 \
	X(TIMEOUTS, "messages", "timeouts", "packets a manager was asked about, and did not answer in time")           \
	X(DENIES, "messages", "denies", "updates denied")                                                              \
	X(DENIES_LIMITED, "messages", "denies-limited", "of these, not said: one manager is told of 50 a second")      \
	X(WILDCARD_UPDATES, "messages", "wildcard-updates", "accepted")                                                \
	X(FIXED_UPDATES, "messages", "fixed-updates", "accepted")                                                      \
	X(UNEXPECTED, "message-drops", "unexpected", "a message type that an agent does not take")                     \
	X(STALE_WILDCARD, "message-drops", "unknown-wildcard", "deletion of a wildcard that is not held")              \
	X(MANAGERS_NO_ROOM, "message-drops", "too-many-managers", "of one manager more than an agent can know")        \
	X(WILDCARDS_ADDED, "wildcards", "added", "stored")                                                             \
	X(WILDCARDS_REFRESHED, "wildcards", "refreshed", "stored again, unchanged")                                    \
	X(WILDCARDS_DELETED, "wildcards", "deleted", "deleted by their manager")                                       \
	X(WILDCARDS_EXPIRED, "wildcards", "expired", "not refreshed in time")                                          \
	X(WILDCARDS_SILENT, "wildcards", "silent", "times that a wildcard's manager did not answer any more")          \
	X(WILDCARD_HITS, "wildcards", "hits", "look-ups for a packet that found one or more")                          \
	X(WILDCARD_MISSES, "wildcards", "misses", "look-ups for a packet that found none")                             \
	X(WILDCARD_NO_ROOM, "wildcards", "no-room", "updates denied because the table is full")                        \
	X(FIXED_ADDED, "affinities", "added", "stored")                                                                \
	X(FIXED_UPDATED, "affinities", "updated", "stored again")                                                      \
	X(FIXED_DELETED, "affinities", "deleted", "deleted by their manager")                                          \
	X(FIXED_EXPIRED, "affinities", "expired", "not refreshed in time")                                             \
	X(FIXED_HITS, "affinities", "hits", "packets that found a fixed affinity")                                     \
	X(FIXED_MISSES, "affinities", "misses", "packets that found none")                                             \
	X(RANKS_IGNORED, "affinities", "ranks-ignored", "flows with more precedences than a plan has steps")           \
	X(FIRST_FORGOTTEN, "affinities", "first-forgotten",                                                            \
	  "flows whose first data may be reported again: more are remembered than there is room for")                  \
	X(FIXED_NO_ROOM, "affinities", "no-room", "updates denied because the table is full")                          \
	X(FORWARD_NO_ROOM, "forwards", "no-room", "packets not counted by forward address: there are too many")

enum engine_counter {
#define X(id, group, name, help) ENGINE_##id,
	ENGINE_COUNTERS(X)
#undef X
		ENGINE_COUNTER_COUNT
};

struct engine_conf {
	uint32_t max_fixed, max_wildcards;
	struct hold_limits hold;
	uint32_t punt_rate;      /* packets a second sent to managers under one wildcard; 0: no limit (FA-5) */
	bool punt_excess_routed; /* what is beyond it is routed unchanged, else dropped */
	bool accept_uncovered;   /* FIX-6: take fixed affinities without a wildcard */
	bool permit_protected;   /* honour WIRE_FLAG_PROTECTED */
	bool authenticated;      /* messages are authenticated: a returned packet needs no cookie (MSG-9) */
	uint64_t hash_key[2];    /* random: tables */
	uint64_t cookie_key[2];  /* random: cookies */
	/* Where the version of the advertised set begins: the incarnation, so that no two runs of an agent share one.
	 */
	uint64_t adverts_version;
};

/* What an operator may want to see at once. */
struct engine_news {
	enum {
		ENGINE_NEWS_ADDED,      /* a wildcard */
		ENGINE_NEWS_DELETED,    /* a wildcard, by its manager */
		ENGINE_NEWS_EXPIRED,    /* a wildcard */
		ENGINE_NEWS_DENIED,     /* an update, for `text`; at most as many as denies are sent */
		ENGINE_NEWS_SILENT,     /* a manager */
		ENGINE_NEWS_HEARD,      /* a manager, that was silent */
		ENGINE_NEWS_UNANSWERED, /* a wildcard, by its manager; text: what it says for then, "route" or "drop" */
		ENGINE_NEWS_ANSWERED,   /* the same wildcard, again */
	} what;
	const struct manager *manager;
	const struct wildcard *wildcard; /* of those of a wildcard; else NULL */
	const char *text;                /* or NULL */
};

/* What the kernel says about its way towards an address. */
struct engine_route {
	uint32_t mtu;       /* largest IP packet: the route's, else the least of its links'; 0: not known */
	struct addr source; /* what it would send from; family 0: nothing */
};

/* What the engine asks of the world.  All are called synchronously. */
struct engine_out {
	/* Route the packet; next_hop NULL: by its destination.  False: could not (counted here). */
	bool (*forward)(void *ctx, const struct packet *p, const struct addr *next_hop);
	/* The kernel's way towards an address, as of a second ago at most.  False: there is none.  Optional. */
	bool (*route)(void *ctx, const struct addr *to, struct engine_route *out);
	/* No route has a smaller MTU than this, whatever the address, as of a second ago; 0: not known.  Optional. */
	uint32_t (*least_mtu)(void *ctx);
	/* Is what comes in there and matches no affinity to be dropped (ARCH-1)?  Optional. */
	bool (*refuses)(void *ctx, uint32_t ifindex);
	/* Send; header and security are filled in there.  False: could not. */
	bool (*send)(void *ctx, const struct endpoint_peer *to, struct wire_msg *m);
	/* The kernel's classifier: what must come up. */
	bool (*shape)(void *ctx, uint16_t number, const struct classifier_shape *shape);
	bool (*key)(void *ctx, const struct classifier_key *key, bool add);
	bool (*flow)(void *ctx, const struct flow_key *key, bool add);
	/* Is it what the kernel's classifier never lets up (FA-8), unless permitted?  Asked only where plans are
	 * placed. */
	bool (*guards)(void *ctx, const struct flow_key *key);
	/* The last of the wildcards that drop without an agent ends then (FA-6), of those under this key, or (NULL) of
	 * all; 0: there is none.  False: could not be noted.  Optional. */
	bool (*gone_until)(void *ctx, const struct classifier_key *key, uint64_t until_ms);
	/* No more than that is to come up under a key of a wildcard; NULL: as it was told.  Returns how many packets
	 * did not, since it was asked last.  Optional (FA-5). */
	uint64_t (*shed)(void *ctx, const struct classifier_key *key, const struct classifier_shed *limit);
	/* The set advertised changed by this prefix (ACT-3, FA-11). */
	void (*advertise)(void *ctx, const struct addr *prefix, uint8_t plen, bool add);
	/* A manager speaks from here (FA-8: its messages are never matched), or is forgotten. */
	void (*manager)(void *ctx, const struct endpoint_peer *peer, bool add);
	/* For whoever watches; optional. */
	void (*news)(void *ctx, const struct engine_news *news);
};

/* Somebody looking on: told of each packet dropped, punted, copied or returned.  why: the counter that counted it. */
struct engine_tap {
	void (*packet)(void *ctx, enum engine_counter why, const uint8_t *data, uint32_t len, uint32_t ifindex);
	void *ctx;
};

struct engine;

struct engine *engine_new(const struct engine_conf *conf, const struct engine_out *out, void *ctx);
void engine_free(struct engine *e); /* without messages or callbacks for what is lost but kernel keys and prefixes */

/* A packet from the classifier.  p->data may be edited. */
void engine_packet(struct engine *e, struct packet *p, uint64_t now_ms);
/* The same that could not be parsed. */
void engine_malformed(struct engine *e, enum packet_fault fault, const uint8_t *data, uint32_t len);
/* One that a former agent's filter sent up, before we know what for: dropped. */
void engine_untimely(struct engine *e, const struct packet *p);
/* An authenticated, fresh message. */
void engine_message(struct engine *e, const struct endpoint_peer *from, const struct wire_msg *m, uint64_t now_ms);
/* A message refused for required segments of unknown type: deny it (MSG-3). */
void engine_undecodable(struct engine *e, const struct endpoint_peer *from, const struct wire_msg *m,
			const struct wire_list *unknown);
/* Every 50 ms: hold timeouts, expiry. */
void engine_tick(struct engine *e, uint64_t now_ms);

/*
 * Place the plans of decided flows in this table, for the kernel to carry out; borrowed.  NULL: nowhere any more, and
 * what is there stays.
 */
void engine_use_plans(struct engine *e, struct plantab *plans);
/* What `guards` says has changed (FA-8): no plan in the kernel is good until it was asked again. */
void engine_guards_changed(struct engine *e);
/* NULL: there is no such table. */
const struct plantab_stats *engine_plans(const struct engine *e);
/* Take over now what the kernel counted. */
void engine_fold_plans(struct engine *e);

/* NULL: nobody looks on, as at the start.  *tap is borrowed. */
void engine_look(struct engine *e, const struct engine_tap *tap);

/* The segment types this agent supports, for its hello (ACT-8). */
void engine_supported(struct wire_list *list);

/* ---- for listings; all read-only, valid until the next call that takes time or a message ---- */

/* One prefix advertised, and by how many wildcards. */
struct advert {
	struct addr addr;
	uint8_t plen;
	uint32_t references;
	UT_hash_handle hh;
};

/* Traffic by forward address (FIX-4). */
struct forward_stat {
	struct addr addr;
	uint64_t packets, bytes;
	UT_hash_handle hh;
};

/* The most there ever were at once. */
struct engine_marks {
	size_t fixed, wildcards;
};

const uint64_t *engine_counters(const struct engine *e); /* ENGINE_COUNTER_COUNT of them */
const struct engine_marks *engine_marks(const struct engine *e);
const struct wildtab *engine_wildcards(const struct engine *e);
const struct fixtab *engine_fixed(const struct engine *e);
const struct hold *engine_hold(const struct engine *e);
const struct fragtab_stats *engine_fragments(const struct engine *e);
const struct manager *engine_managers(const struct engine *e);                  /* then ->hh.next */
const struct advert *engine_adverts(const struct engine *e, uint64_t *version); /* then ->hh.next */
const struct forward_stat *engine_forwards(const struct engine *e);             /* then ->hh.next */

#endif
