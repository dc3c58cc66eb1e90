/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's inside, shared by its files only: engine.c (life, time,
 * listings), engine_shed.c (too many questions), engine_packet.c (packets), engine_send.c (those that are adjusted or
 * wrapped), engine_message.c (messages).
 */
#ifndef TURNOUT_FAD_ENGINE_PRIV_H
#define TURNOUT_FAD_ENGINE_PRIV_H

#include "fad/engine.h"
#include "fad/firsttab.h"
#include "fad/share.h"
#include "fad/tailtab.h"

#define ENGINE_MAX_MANAGERS      1024
#define ENGINE_MAX_FORWARD_STATS 65536
#define ENGINE_FIRST_DATA_FLOWS  65536
#define ENGINE_PUNT_TIMEOUT_MS   250
#define ENGINE_PUNT_TRIES        3
#define ENGINE_PUNT_BURST_NS     100000000 /* of questions ahead of the rate */
#define ENGINE_PUNT_SPARE_NS     50000000  /* more of them, for sources that ask little */
#define ENGINE_PUNT_SHARES       64        /* of the rate one is a source's own */
#define ENGINE_PUNT_OPEN_MS      20        /* of the rate's questions may be open */
#define ENGINE_PUNT_OPEN_LEAST   32
#define ENGINE_SILENT_AFTER      3    /* questions in a row without an answer, ... */
#define ENGINE_SILENT_MS         750  /* ... in no less time than this */
#define ENGINE_PROBE_MS          1000 /* between questions to a silent manager */
#define ENGINE_COOKIE_LIFE_MS    10000
#define ENGINE_ERROR_PLACES      4096

/* ICMP errors, or resets, made in this second, in all and by a hash of whom they go to. */
struct error_limit {
	uint64_t window_ms;
	uint32_t sent;
	uint8_t places[ENGINE_ERROR_PLACES];
};

struct engine {
	struct engine_conf conf;
	const struct engine_out *out;
	void *ctx;
	const struct engine_tap *tap; /* NULL: nobody looks on */
	struct wildtab *wild;
	struct fixtab *fixed;
	struct hold *hold;
	struct firsttab *first;
	struct fragtab *fragments;
	struct tailtab *tails;
	struct manager *managers;
	struct advert *adverts;
	uint64_t adverts_version;
	uint32_t advert_plens[2][129]; /* prefixes advertised, by family (IPv4 first) and length */
	struct forward_stat *forwards;
	struct plantab *plans; /* NULL: every packet comes up */
	struct loose *loose;   /* flows without a fixed affinity that are placed there */
	uint64_t generation;   /* of composed plans; changes with the set of wildcards */
	uint32_t unanswered;   /* wildcards with questions that were not answered in time since the last that was */
	uint64_t next_sweep_ms;
	uint64_t ticked_ms;            /* when time was last told */
	struct deny_limit undecodable; /* denies to managers not known yet */
	struct error_limit errors, resets;
	struct share_table shares;
	uint32_t *open;         /* questions not answered at the last tick, and new ones, by number of the wildcard */
	uint64_t shed_look_ms;  /* until then no more of this: */
	uint32_t shed_looks;    /* wildcards that may yet be looked at */
	uint64_t shed_until_ms; /* no wildcard's is later, and what was shed is counted; 0: all is counted */
	uint64_t counters[ENGINE_COUNTER_COUNT];
	struct engine_marks marks;
	uint8_t scratch[65536];  /* one segment on its way into a message */
	uint8_t returned[65536]; /* a packet that came back in a message */
	uint8_t piece[65536];    /* a piece of a packet on its way out, perhaps wrapped */
	uint16_t wrapped;        /* outer IPv4 identification */
};

static inline void engine_count(struct engine *e, enum engine_counter c)
{
	e->counters[c]++;
}

static inline void engine_tell(const struct engine *e, const struct engine_news *news)
{
	if (e->out->news)
		e->out->news(e->ctx, news);
}

static inline void engine_show(const struct engine *e, enum engine_counter why, const uint8_t *data, uint32_t len,
			       uint32_t ifindex)
{
	if (__builtin_expect(e->tap != NULL, 0))
		e->tap->packet(e->tap->ctx, why, data, len, ifindex);
}

/* The one way to drop a packet. */
static inline void engine_lose(struct engine *e, enum engine_counter why, const struct packet *p)
{
	engine_count(e, why);
	engine_show(e, why, p->data, p->len, p->ifindex);
}

/* Where a packet on its way through the precedences comes from. */
enum passage_kind {
	PASSAGE_FRESH,    /* an interface */
	PASSAGE_RETURNED, /* a manager */
	PASSAGE_WAITED,   /* the hold, where the hold bit of rank `resume` kept it (ACT-7) */
	PASSAGE_OVERDUE,  /* likewise, and nobody answered in time */
	PASSAGE_REST,     /* the hold, of a super-packet that rank `resume` punted by its first segment (MSG-11) */
};

/*
 * `answer`, when not NULL, is the affinity of a fixed update that carries the
 * packet: it acts at its own rank whether stored or not (FIX-8).  Ranks up to
 * `resume` act on the packet but do not report it again (PREC-7).
 */
struct passage {
	enum passage_kind kind;
	struct affinity *answer;
	affinity_rank resume;
	uint64_t told; /* PASSAGE_REST: the lineage of the wildcard that has reported it; else ENGINE_TOLD_FIXED */
	bool held;     /* it waited for a manager's word (FA-9) */
	affinity_rank asked; /* of the one who was asked, of a held packet */
};

#define ENGINE_TOLD_FIXED UINT64_MAX

/* What one interest criterion says about a packet with these bits (ACT-6, ACT-7). */
struct verdict {
	bool notice; /* with a match message, else in an IP packet only message */
	bool take;   /* the packet itself goes */
	bool copy;   /* a copy goes */
	bool hold;   /* the original waits for a fixed affinity */
	bool probe;  /* a copy goes to somebody silent, and the original on */
	uint16_t reasons;
};

/* Has this agent seen data of this flow and affinity, since that asked for the first?  (ACT-6) */
bool engine_data_seen(const struct engine *e, const struct plan_step *s, const struct flow_key *k);

static inline struct verdict engine_judge(const struct wire_interest *c, uint16_t bits)
{
	/* Who gets the packet itself needs no copy: two answers would make two packets of it. */
	bool take = (bits & c->data & ~c->copy) != 0;
	uint16_t copy = take ? 0 : bits & c->copy;

	return (struct verdict){
		.notice = (bits & c->interest) != 0,
		.take = take,
		.copy = copy != 0,
		.hold = (copy & c->hold) != 0,
		.reasons = bits & c->interest,
	};
}

/* engine_silence.c */
/* A question to the manager has had no answer in time; it was asked under this wildcard.  Either may have gone: NULL.
 */
void engine_unanswered(struct engine *e, struct manager *manager, struct wildcard *w, uint64_t asked_ms,
		       uint64_t now_ms);
/* The manager has said something about the flow: it answers, under all its wildcards that cover it. */
void engine_answered(struct engine *e, struct manager *manager, const struct flow_key *k);

/* One takes the place of an older one, or goes. */
void engine_silence_inherit(struct engine *e, struct wildcard *w, const struct wildcard *older);
void engine_silence_forget(struct engine *e, const struct wildcard *w);

static inline bool engine_is_silent(const struct wildcard *w)
{
	return w->silence.since_ms != 0;
}
/* As if it were not there? */
static inline bool engine_is_absent(const struct wildcard *w)
{
	return engine_is_silent(w) && (w->a.flags & WIRE_FLAG_ROUTE_SILENT);
}

/* Those that would have acted on a packet were they not absent, best rank first. */
struct engine_absent {
	size_t count;
	struct wildcard *wild[PLAN_MAX_STEPS];
};

/* engine_packet.c */
/*
 * Compose what all precedences say about a key into one plan (PREC-8).  guarded: of what FA-8 protects, so that only
 * managers that asked for that have a say.  *absent, if not NULL, gets whom silence left out.  False: there are more
 * precedences than a plan has steps; the rest is left out.
 */
bool engine_compose(const struct engine *e, const struct flow_key *k, bool guarded, struct fixed *fixed,
		    const struct passage *way, struct flow_plan *plan, struct engine_absent *absent);
void engine_pass(struct engine *e, struct packet *p, const struct passage *way, uint64_t now_ms);
/*
 * This manager answered what it was asked at asked_ms: take what was held for the flow, pass the answer's own packet,
 * then let the held ones follow, in order.  NULL: nothing, or a packet before them is still out for another answer.
 */
struct held_packet *engine_take_held(struct engine *e, const struct flow_key *k, const struct manager *manager,
				     uint64_t asked_ms);
#define ENGINE_ASKED_UNKNOWN UINT64_MAX /* it does not say: the last question */
void engine_resume_held(struct engine *e, struct held_packet *list, uint64_t now_ms);
/* Time is up for the oldest holds. */
void engine_hold_timeouts(struct engine *e, uint64_t now_ms);
/* These packets of a flow were dealt with by its plan: count them everywhere. */
void engine_account(struct engine *e, const struct flow_plan *plan, const struct flow_key *k, uint64_t packets,
		    uint64_t bytes);
/* Packets like p still come: ask for more of what is half over (FIX-9). */
void engine_refresh(struct engine *e, const struct flow_plan *plan, const struct packet *p, uint64_t now_ms);
/* Let go and count, or lose. */
bool engine_forward(struct engine *e, const struct packet *p, const struct addr *next_hop);

/* What edits need to know of a packet. */
static inline struct plan_target engine_target(const struct packet *p)
{
	return (struct plan_target){
		.data = p->data,
		.len = p->len,
		.l4 = p->l4,
		.proto = p->key.proto,
		/* Else it is the sum of something carried inside, which no edit concerns. */
		.partial = p->offload.partial && p->offload.csum_start == p->l4,
	};
}

/* engine_send.c: edit and let go a packet whose plan is `far`, or that is cut into pieces of that many bytes. */
void engine_send_far(struct engine *e, const struct flow_plan *plan, struct packet *p, uint32_t cut_to);
/* The adjusts of a plan that count, best rank first. */
uint32_t engine_adjusts(const struct flow_plan *plan, struct plan_adjust out[PLAN_MAX_ADJUSTS]);

/* engine_fragment.c */
extern const struct fragtab_limits engine_fragment_limits;
/*
 * Give a fragment its flow's key.  True: it waits for its datagram's first one, or is gone.  *followers: those that
 * waited for this one, keys filled in; they come right after it.
 */
bool engine_fragment(struct engine *e, struct packet *p, struct held_packet **followers, uint64_t now_ms);
/* Likewise if it is known, without waiting. */
void engine_fragment_key(const struct engine *e, struct packet *p, uint64_t now_ms);
/* Time is up for the oldest. */
void engine_fragment_timeouts(struct engine *e, uint64_t now_ms);

/* engine_error.c */
/* Has anything to do with this key: an affinity, or a hold. */
bool engine_knows(const struct engine *e, const struct flow_key *k);
/* An ICMP error about a flow that is known goes that flow's way (KEY-4), unless its own source is refused (SVC-5). */
void engine_follow(const struct engine *e, struct packet *p);
/* Does the way out of this plan carry it?  If not it is gone, and its sender told where that is possible (FA-7). */
bool engine_fits(struct engine *e, const struct flow_plan *plan, const struct packet *p);
/* The kernel cuts no packet on its way to a next hop: to what size must it be cut here?  0: it fits, or must not be. */
uint32_t engine_cut_to(struct engine *e, const struct flow_plan *plan, const struct packet *p);

/* Tell its sender that it is dropped (FIX-3, SVC-5).  False: it must not or could not be told, or often enough. */
bool engine_reject(struct engine *e, enum wire_reject_kind kind, const struct packet *p);

/* engine_fast.c: plans in the kernel */
/* The set of wildcards has changed: no composed plan is good, nor is one in the kernel. */
void engine_void_plans(struct engine *e);
/* A packet of the flow went through: its plan may stand in the kernel from here on, or no more. */
void engine_fast_place(struct engine *e, struct flow *f, uint64_t now_ms);
/* The same for one that wildcards alone decide. */
void engine_fast_place_loose(struct engine *e, const struct flow_key *k, uint64_t now_ms);
/* Packets of this key are to wait here: none may pass by them. */
void engine_fast_wait(struct engine *e, const struct flow_key *k);
/* It must not: take it out, and count what went by it. */
void engine_fast_unplace(struct engine *e, struct flow *f);
/* Affinities of the flow have changed. */
void engine_fast_change(struct engine *e, struct flow *f, uint64_t now_ms);
/* Look after some of those placed: each every half second. */
void engine_fast_tick(struct engine *e, uint64_t now_ms);

/* engine_shed.c */
/* A question under w is dropped since there are too many, or its manager is silent; there is a punt-rate: let the
 * kernel drop some of the others. */
void engine_shed(struct engine *e, struct wildcard *w, uint64_t now_ms);
/* It goes, or another takes its place: the kernel lets all come up again, which may be somebody else's. */
void engine_shed_end(struct engine *e, struct wildcard *w);
/* Likewise under those that this new one may precede. */
void engine_shed_yield(struct engine *e, const struct wildcard *to);
/* Questions that are open under a wildcard. */
uint32_t *engine_open(struct engine *e, const struct wildcard *w);
/* Count them anew. */
void engine_open_count(struct engine *e);
/* Count what the kernel has dropped. */
void engine_shed_count(struct engine *e, uint64_t now_ms);
/* Under a wildcard that names its servers as sources, the far end is where packets go. */
bool engine_names_source(const struct wildcard *w);

/* engine.c */
struct manager *engine_manager(struct engine *e, const struct endpoint_peer *from, const struct wire_msg *m,
			       uint64_t now_ms); /* NULL: too many */
void engine_wildcard_drop(struct engine *e, struct wildcard *w);
void engine_fixed_drop(struct engine *e, struct fixed *x);
bool engine_advertise(struct engine *e, const struct wildcard *w); /* false: out of memory, nothing changed */
void engine_withdraw(struct engine *e, const struct wildcard *w);
/* Is it to an address that is advertised?  (ACT-3) */
bool engine_advertised(const struct engine *e, const struct flow_key *k);
void engine_count_forward(struct engine *e, const struct addr *to, uint64_t packets, uint64_t bytes);

/* ---- cookies: FA interest data that proves where a packet was punted (PREC-7, MSG-9) ---- */

struct cookie {
	affinity_rank rank; /* where it was punted */
	uint32_t ifindex;   /* where it came in */
	bool guarded;       /* it is protected (FA-8) */
	bool probe;         /* a copy went, to see whether the manager answers: the packet itself has gone on */
	uint64_t made_ms;
};
#define COOKIE_LEN 32

/* cookie.c; key: the flow the cookie is bound to. */
void cookie_make(const uint64_t secret[2], const struct flow_key *key, const struct cookie *c, uint8_t out[COOKIE_LEN]);
/* False: not ours, another flow's, or older than life_ms. */
bool cookie_check(const uint64_t secret[2], const struct flow_key *key, const uint8_t *data, size_t len,
		  uint64_t now_ms, uint64_t life_ms, struct cookie *c);

#endif
