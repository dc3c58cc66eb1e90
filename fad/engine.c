/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's life, its time, and what the other two files share: managers,
 * advertised prefixes, statistics by forward address.
 */
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include "fad/engine.h"

#include <stdlib.h>
#include <string.h>

#include "fad/engine_priv.h"

/* Forget a manager without affinities that was silent for this long. */
#define MANAGER_SILENT_MS 60000
#define SWEEP_MS          250

static bool watch_shape(void *ctx, uint16_t number, const struct classifier_shape *shape)
{
	struct engine *e = ctx;

	return e->out->shape(e->ctx, number, shape);
}

static bool watch_key(void *ctx, const struct classifier_key *key, bool add)
{
	struct engine *e = ctx;

	return e->out->key(e->ctx, key, add);
}

/* One that later fragments have is there, and stays. */
static bool watch_flow(void *ctx, const struct flow_key *key, bool add)
{
	struct engine *e = ctx;

	return (e->tails && tailtab_holds(e->tails, key)) || e->out->flow(e->ctx, key, add);
}

/* One that is a flow's own key is there, and stays. */
static bool watch_tail(void *ctx, const struct flow_key *key, bool add)
{
	struct engine *e = ctx;

	return !fixtab_flow(e->fixed, key) && e->out->flow(e->ctx, key, add);
}

static bool watch_gone(void *ctx, const struct classifier_key *key, uint64_t until_ms)
{
	struct engine *e = ctx;

	return e->out->gone_until(e->ctx, key, until_ms);
}

static const struct wildtab_watch wild_watch = {.shape = watch_shape, .key = watch_key, .gone = watch_gone};
static const struct fixtab_watch fixed_watch = {.flow = watch_flow};
static const struct fixtab_watch tail_watch = {.flow = watch_tail};

struct engine *engine_new(const struct engine_conf *conf, const struct engine_out *out, void *ctx)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->conf = *conf;
	e->out = out;
	e->ctx = ctx;
	e->generation = 1;
	e->adverts_version = conf->adverts_version;
	/* One more than may be held: a replacement is stored before the old one goes. */
	e->wild = wildtab_new(conf->max_wildcards + 1, conf->hash_key, &wild_watch, e);
	e->open = calloc((size_t)conf->max_wildcards + 1, sizeof(*e->open));
	e->fixed = fixtab_new(conf->max_fixed, conf->hash_key, &fixed_watch, e);
	e->hold = hold_new(&conf->hold, conf->hash_key);
	e->first = firsttab_new(ENGINE_FIRST_DATA_FLOWS, conf->hash_key);
	e->fragments = fragtab_new(&engine_fragment_limits, conf->hash_key);
	e->tails = tailtab_new(CLASSIFIER_TAILS, conf->hash_key, &tail_watch, e);
	if (!e->wild || !e->open || !e->fixed || !e->hold || !e->first || !e->fragments || !e->tails) {
		engine_free(e);
		return NULL;
	}
	return e;
}

void engine_free(struct engine *e)
{
	struct manager *m;
	struct forward_stat *s;

	if (!e)
		return;
	while (e->wild && wildtab_first(e->wild))
		engine_wildcard_drop(e, wildtab_first(e->wild));
	wildtab_free(e->wild);
	free(e->open);
	tailtab_free(e->tails); /* looks into the next one, which then looks for it */
	e->tails = NULL;
	fixtab_free(e->fixed);
	hold_free(e->hold);
	firsttab_free(e->first);
	fragtab_free(e->fragments);
	m = e->managers;
	HASH_CLEAR(hh, e->managers);
	for (struct manager *next; m; m = next) {
		next = m->hh.next;
		free(m);
	}
	s = e->forwards;
	HASH_CLEAR(hh, e->forwards);
	for (struct forward_stat *next; s; s = next) {
		next = s->hh.next;
		free(s);
	}
	free(e);
}

/* ---- managers ---- */

const char *manager_name(const struct manager *m, char buf[WIRE_MAX_NAME + 1])
{
	if (m->identity.name[0])
		return m->identity.name;
	snprintf(buf, WIRE_MAX_NAME + 1, "0x%llx", (unsigned long long)m->peer.identity);
	return buf;
}

static struct manager *manager_new(struct engine *e, const struct endpoint_peer *from)
{
	struct manager *m;

	if (HASH_COUNT(e->managers) >= ENGINE_MAX_MANAGERS)
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->peer = *from;
	HASH_ADD(hh, e->managers, peer.identity, sizeof(m->peer.identity), m);
	if (!m->hh.tbl) {
		free(m);
		return NULL;
	}
	e->out->manager(e->ctx, &m->peer, true);
	return m;
}

struct manager *engine_manager(struct engine *e, const struct endpoint_peer *from, const struct wire_msg *m,
			       uint64_t now_ms)
{
	struct manager *manager;

	HASH_FIND(hh, e->managers, &from->identity, sizeof(from->identity), manager);
	if (!manager)
		manager = manager_new(e, from);
	if (!manager)
		return NULL;
	if (!addr_equal(&manager->peer.addr, &from->addr) || manager->peer.port != from->port) {
		e->out->manager(e->ctx, &manager->peer, false);
		manager->peer = *from;
		e->out->manager(e->ctx, &manager->peer, true);
	}
	manager->incarnation = m->h.incarnation;
	manager->heard_ms = now_ms;
	if (wire_has(m, WIRE_SEG_IDENTITY))
		manager->identity = m->identity;
	return manager;
}

/* One at a time: there is no hurry. */
static void forget_manager(struct engine *e, uint64_t now_ms)
{
	struct manager *m = e->managers;

	while (m && (m->wildcards || m->fixed || now_ms - m->heard_ms < MANAGER_SILENT_MS))
		m = m->hh.next;
	if (!m)
		return;
	e->out->manager(e->ctx, &m->peer, false);
	HASH_DELETE(hh, e->managers, m);
	free(m);
}

/* ---- advertised prefixes (ACT-3, FA-11) ---- */

struct prefix_key {
	struct addr addr;
	uint8_t plen;
};
_Static_assert(offsetof(struct advert, plen) == offsetof(struct prefix_key, plen), "an advert starts with its key");
#define PREFIX_KEY_LEN (offsetof(struct prefix_key, plen) + 1)

static bool advert_add(struct engine *e, const struct wire_advertise *w)
{
	struct prefix_key key = {.addr = w->addr, .plen = w->plen};
	struct advert *a;

	HASH_FIND(hh, e->adverts, &key, PREFIX_KEY_LEN, a);
	if (a) {
		a->references++;
		return true;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return false;
	a->addr = w->addr;
	a->plen = w->plen;
	a->references = 1;
	HASH_ADD_KEYPTR(hh, e->adverts, &a->addr, PREFIX_KEY_LEN, a);
	if (!a->hh.tbl) {
		free(a);
		return false;
	}
	e->adverts_version++;
	e->advert_plens[a->addr.family == 6][a->plen]++;
	e->out->advertise(e->ctx, &a->addr, a->plen, true);
	return true;
}

static void advert_del(struct engine *e, const struct wire_advertise *w)
{
	struct prefix_key key = {.addr = w->addr, .plen = w->plen};
	struct advert *a;

	HASH_FIND(hh, e->adverts, &key, PREFIX_KEY_LEN, a);
	if (!a || --a->references)
		return;
	HASH_DELETE(hh, e->adverts, a);
	e->adverts_version++;
	e->advert_plens[a->addr.family == 6][a->plen]--;
	e->out->advertise(e->ctx, &a->addr, a->plen, false);
	free(a);
}

void engine_withdraw(struct engine *e, const struct wildcard *w)
{
	for (int i = 0; i < w->advertise_count; i++)
		advert_del(e, &w->advertise[i]);
}

bool engine_advertise(struct engine *e, const struct wildcard *w)
{
	int done = 0;

	while (done < w->advertise_count && advert_add(e, &w->advertise[done]))
		done++;
	if (done == w->advertise_count)
		return true;
	while (done > 0)
		advert_del(e, &w->advertise[--done]);
	return false;
}

bool engine_advertised(const struct engine *e, const struct flow_key *k)
{
	const uint32_t *plens = e->advert_plens[k->family == 6];
	struct prefix_key key = {.addr.family = k->family};
	struct advert *a;
	uint8_t mask[16];

	for (unsigned plen = 0; plen <= addr_len(k->family) * 8; plen++) {
		if (!plens[plen])
			continue;
		addr_mask(k->family, (uint8_t)plen, mask);
		for (size_t i = 0; i < sizeof(mask); i++)
			key.addr.b[i] = k->dst[i] & mask[i];
		key.plen = (uint8_t)plen;
		HASH_FIND(hh, e->adverts, &key, PREFIX_KEY_LEN, a);
		if (a)
			return true;
	}
	return false;
}

/* ---- statistics by forward address (FIX-4) ---- */

void engine_count_forward(struct engine *e, const struct addr *to, uint64_t packets, uint64_t bytes)
{
	struct forward_stat *s;

	HASH_FIND(hh, e->forwards, to, sizeof(*to), s);
	if (!s) {
		s = HASH_COUNT(e->forwards) < ENGINE_MAX_FORWARD_STATS ? calloc(1, sizeof(*s)) : NULL;
		if (!s) {
			e->counters[ENGINE_FORWARD_NO_ROOM] += packets;
			return;
		}
		s->addr = *to;
		HASH_ADD(hh, e->forwards, addr, sizeof(s->addr), s);
		if (!s->hh.tbl) {
			free(s);
			e->counters[ENGINE_FORWARD_NO_ROOM] += packets;
			return;
		}
	}
	s->packets += packets;
	s->bytes += bytes;
}

/* ---- removal and expiry ---- */

void engine_wildcard_drop(struct engine *e, struct wildcard *w)
{
	engine_withdraw(e, w);
	engine_silence_forget(e, w);
	engine_shed_end(e, w);
	w->a.manager->wildcards--;
	wildtab_remove(e->wild, w);
	engine_void_plans(e);
}

void engine_fixed_drop(struct engine *e, struct fixed *x)
{
	engine_fast_unplace(e, x->flow);
	x->a.manager->fixed--;
	fixtab_remove(e->fixed, x);
}

static void fixed_expired(void *ctx, const struct fixed *x)
{
	struct engine *e = ctx;

	engine_fast_unplace(e, x->flow);
	x->a.manager->fixed--;
	engine_count(e, ENGINE_FIXED_EXPIRED);
}

static void expire_wildcards(struct engine *e, uint64_t now_ms)
{
	struct wildcard *w = wildtab_first(e->wild);

	while (w) {
		struct wildcard *next = w->next;

		if (w->a.expires_ms <= now_ms) {
			engine_count(e, ENGINE_WILDCARDS_EXPIRED);
			engine_tell(e, &(struct engine_news){ENGINE_NEWS_EXPIRED, w->a.manager, w, NULL});
			engine_wildcard_drop(e, w);
		}
		w = next;
	}
	if (e->out->gone_until)
		e->out->gone_until(e->ctx, NULL, wildtab_tell_gone(e->wild));
}

/* Whoever says nothing for most of its longest TTL is silent. */
static void watch_silence(struct engine *e, uint64_t now_ms)
{
	/* A silent one stays so until it is heard, also when its last wildcard has expired. */
	for (struct manager *m = e->managers; m; m = m->hh.next)
		if (!m->silent)
			m->longest_ttl_s = 0;
	for (const struct wildcard *w = wildtab_first(e->wild); w; w = w->next)
		if (w->a.ttl_s > w->a.manager->longest_ttl_s)
			w->a.manager->longest_ttl_s = w->a.ttl_s;
	for (struct manager *m = e->managers; m; m = m->hh.next) {
		bool silent = manager_is_silent(m, m->longest_ttl_s, now_ms);

		if (silent != m->silent)
			engine_tell(e, &(struct engine_news){silent ? ENGINE_NEWS_SILENT : ENGINE_NEWS_HEARD, m, NULL,
							     NULL});
		m->silent = silent;
	}
}

void engine_tick(struct engine *e, uint64_t now_ms)
{
	e->ticked_ms = now_ms;
	engine_hold_timeouts(e, now_ms);
	engine_open_count(e);
	engine_fragment_timeouts(e, now_ms);
	engine_fast_tick(e, now_ms);
	if (now_ms < e->next_sweep_ms)
		return;
	e->next_sweep_ms = now_ms + SWEEP_MS;
	watch_silence(e, now_ms);
	expire_wildcards(e, now_ms);
	fixtab_sweep(e->fixed, now_ms, fixed_expired, e);
	forget_manager(e, now_ms);
	engine_shed_count(e, now_ms);
}

void engine_look(struct engine *e, const struct engine_tap *tap)
{
	e->tap = tap;
}

/* ---- listings ---- */

const uint64_t *engine_counters(const struct engine *e)
{
	return e->counters;
}

const struct engine_marks *engine_marks(const struct engine *e)
{
	return &e->marks;
}

const struct wildtab *engine_wildcards(const struct engine *e)
{
	return e->wild;
}

const struct fixtab *engine_fixed(const struct engine *e)
{
	return e->fixed;
}

const struct hold *engine_hold(const struct engine *e)
{
	return e->hold;
}

const struct fragtab_stats *engine_fragments(const struct engine *e)
{
	return fragtab_stats(e->fragments);
}

const struct manager *engine_managers(const struct engine *e)
{
	return e->managers;
}

const struct advert *engine_adverts(const struct engine *e, uint64_t *version)
{
	*version = e->adverts_version;
	return e->adverts;
}

const struct forward_stat *engine_forwards(const struct engine *e)
{
	return e->forwards;
}
