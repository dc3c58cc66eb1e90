/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manager's life, its time, its agents and its servers' health; see
 * manager.h.  Must not know sockets or clocks.
 */
#include "smd/manager.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smd/filter.h"
#include "smd/manager_priv.h"

#define TICK_BUSY_MS     20u
#define TICK_IDLE_MS     100u
#define EXPIRE_AGENTS_MS 2000u
#define SHOW_AGAIN_MS    1000u /* an agent may make us show everything again so often */
#define LOG_LINES        5u    /* a second */
#define HEX_LEN          20u   /* 0x and 16 digits */

struct manager *manager_new(const struct smd_conf *conf, const uint64_t seed[2], const struct manager_out *out,
			    void *ctx, uint64_t now_ms)
{
	struct manager *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->conf = conf;
	m->out = out;
	m->ctx = ctx;
	m->started_ms = now_ms;
	m->services = services_new(conf, 0);
	m->flows = flows_new(conf->limits.flows, seed, now_ms);
	m->agents = agents_new((uint16_t)conf->limits.agents);
	if (!m->services || !m->flows || !m->agents || !announce_init(m, now_ms)) {
		manager_free(m);
		return NULL;
	}
	manager_own_address(m, &conf->control.address);
	for (size_t i = 0; i < m->services->group_count; i++) {
		struct group *g = &m->services->groups[i];

		if (group_evaluate(g)) /* nothing of it is checked */
			announce_group(m, g, now_ms);
	}
	return m;
}

void manager_free(struct manager *m)
{
	if (!m)
		return;
	services_free(m->services);
	flows_free(m->flows);
	agents_free(m->agents);
	free(m->announcements);
	free(m);
}

void manager_own_address(struct manager *m, const struct addr *addr)
{
	for (size_t i = 0; i < m->own_count; i++)
		if (addr_equal(&m->own[i], addr))
			return;
	if (m->own_count < MANAGER_OWN_ADDRESSES)
		m->own[m->own_count++] = *addr;
	else
		m->counters[MANAGER_OWN_FULL]++;
}

/* ---- saying ---- */

void manager_notify(struct manager *m, enum log_level level, const char *kind, const char *subject, const char *format,
		    ...)
{
	struct manager_notice n = {.severity = level, .kind = kind, .subject = subject};
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_write(level, "%s %s: %s", kind, subject, text);
	n.text = text;
	if (m->out->notice)
		m->out->notice(m->ctx, &n);
}

/* ---- health ---- */

void manager_say_group(struct manager *m, const struct group *g)
{
	const char *name = g->conf->name;

	if (g->empty)
		manager_notify(
			m, LOG_LEVEL_WARNING, "service", name, "IPv%u: announced, but no server is up: %s", g->family,
			g->conf->when_empty == WHEN_EMPTY_REJECT ? "new flows are rejected" : "new flows are dropped");
	else if (g->state == GROUP_ANNOUNCED)
		manager_notify(m, LOG_LEVEL_INFO, "service", name, "IPv%u: announced; %u of %zu servers can be used",
			       g->family, balancer_usable(g->balancer), g->backend_count);
	else if (g->state == GROUP_WITHDRAWN)
		manager_notify(m, LOG_LEVEL_WARNING, "service", name, "IPv%u: withdrawn, no server is up", g->family);
}

/* A server of a service. */
static void say_server(struct manager *m, enum log_level level, const struct backend *b, const char *text)
{
	char subject[160];

	snprintf(subject, sizeof(subject), "%s/%s", b->group->conf->name, b->conf->name);
	manager_notify(m, level, "server", subject, "%s", text);
}

static void say_check(struct manager *m, const struct check *k)
{
	for (size_t i = 0; i < m->services->backend_count; i++) {
		const struct backend *b = &m->services->backends[i];
		char where[ENDPOINT_STRLEN], text[192];

		if (b->check != k)
			continue;
		/* Once, though the server may have an address of each family. */
		snprintf(text, sizeof(text), "%s: %s, %s", health_state_name(k->health.state),
			 endpoint_print(&k->addr, k->port, where), k->text);
		say_server(m, k->health.state == HEALTH_UP ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, b, text);
		return;
	}
}

/* Flows that can leave their servers now are looked for. */
static void sweep(struct manager *m)
{
	m->sweeping = true;
	m->sweep_slot = 0;
}

void manager_check_result(struct manager *m, size_t check, bool good, const char *text, uint64_t now_ms)
{
	struct check *k = &m->services->checks[check];

	snprintf(k->text, sizeof(k->text), "%s", text);
	if (!health_result(&k->health, (uint16_t)k->conf->rise, (uint16_t)k->conf->fall, good))
		return;
	say_check(m, k);
	for (size_t i = 0; i < m->services->group_count; i++) {
		struct group *g = &m->services->groups[i];

		if (&g->conf->check != k->conf)
			continue;
		if (!group_evaluate(g)) {
			announce_partitions(m, g, now_ms);
			continue;
		}
		manager_say_group(m, g);
		announce_group(m, g, now_ms);
	}
	if (k->health.state == HEALTH_DOWN)
		sweep(m);
}

/* ---- an operator's will ---- */

static bool is_named(const struct backend *b, const char *service, const char *server)
{
	struct addr at = service_key_addr(&b->key), asked;

	if (b->removed || (service && service[0] && strcmp(service, b->group->conf->name) != 0))
		return false;
	return !strcmp(server, b->conf->name) || (addr_parse(server, &asked) && addr_equal(&asked, &at));
}

/* In one service: the server's addresses of both families. */
static void set_will(struct manager *m, const struct backend *named, enum server_will will, uint64_t now_ms)
{
	for (size_t i = 0; i < m->services->group_count; i++) {
		struct group *g = &m->services->groups[i];

		if (g->conf != named->group->conf)
			continue;
		for (size_t j = 0; j < g->backend_count; j++)
			if (g->backends[j].conf == named->conf)
				g->backends[j].will = (uint8_t)will;
		if (!group_evaluate(g)) {
			announce_partitions(m, g, now_ms);
			continue;
		}
		manager_say_group(m, g);
		announce_group(m, g, now_ms);
	}
}

size_t manager_server_set(struct manager *m, const char *service, const char *server, enum server_will will,
			  manager_row row, void *ctx, uint64_t now_ms)
{
	static const char *const said[] = {
		[SERVER_ENABLED] = "enabled by the operator",
		[SERVER_DRAINING] = "drained by the operator: no new flows",
		[SERVER_DISABLED] = "disabled by the operator",
	};
	const struct server_conf *last = NULL;
	size_t n = 0;

	for (size_t i = 0; i < m->services->backend_count; i++) {
		const struct backend *b = &m->services->backends[i];
		const char *before = backend_state_name(b);
		bool changed = b->will != will;

		if (!is_named(b, service, server) || b->conf == last)
			continue;
		if (changed) {
			set_will(m, b, will, now_ms);
			say_server(m, LOG_LEVEL_INFO, b, said[will]);
		}
		row(ctx, b, before);
		last = b->conf;
		n++;
	}
	if (n && will != SERVER_ENABLED)
		sweep(m);
	return n;
}

/* ---- agents ---- */

/* The agent, known from now on; NULL: there is no place for it. */
static struct agent *agent_of(struct manager *m, const struct endpoint_peer *from, uint64_t now_ms)
{
	bool made;
	char name[WIRE_MAX_NAME + 1];
	struct agent *a = agents_heard(m->agents, from, now_ms, &made);

	if (!a)
		manager_count(m, MANAGER_AGENTS_FULL);
	else if (made)
		announce_show(m, a, now_ms);
	else if (a->said_silent)
		manager_notify(m, LOG_LEVEL_INFO, "agent", agent_name(a, name), "heard again");
	if (a)
		a->said_silent = false;
	return a;
}

void manager_peer_known(struct manager *m, const struct endpoint_peer *peer, uint64_t now_ms)
{
	struct agent *a = agent_of(m, peer, now_ms);

	if (!a)
		return;
	/* It restarted, perhaps as another version: what it refused it may take now. */
	a->denied = 0;
	a->no_room_until_ms = a->no_room_ms = 0;
	announce_show(m, a, now_ms);
}

void manager_peer_asks(struct manager *m, const struct endpoint_peer *peer, uint64_t now_ms)
{
	struct agent *a = agent_of(m, peer, now_ms);

	if (a)
		announce_show(m, a, now_ms);
}

/* What of our needs an agent cannot do, in words. */
static const char *missing(uint32_t cannot, char *text, size_t size)
{
	static const struct {
		enum wire_segment type;
		const char *name;
	} names[] = {{WIRE_SEG_NAT, "NAT"},
		     {WIRE_SEG_INTEREST, "interest criteria"},
		     {WIRE_SEG_TUNNEL, "tunnels"},
		     {WIRE_SEG_RANGES, "ranges"}};
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && used < size; i++)
		if (cannot & wire_bit(names[i].type))
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", names[i].name);
	return text;
}

static void say_abilities(struct manager *m, struct agent *a)
{
	uint32_t cannot = agent_cannot(a) & (m->needed | m->wished);
	char buf[WIRE_MAX_NAME + 1], text[64];
	const char *name = agent_name(a, buf);

	if (cannot & m->needed)
		manager_notify(m, LOG_LEVEL_ERROR, "agent", name,
			       "cannot serve: it lacks %s; it gets no flows and no filter rules that need that",
			       missing(cannot & m->needed, text, sizeof(text)));
	else if (cannot & wire_bit(WIRE_SEG_ADVERTISE))
		manager_notify(m, LOG_LEVEL_WARNING, "agent", name,
			       "does not advertise: it serves the flows that reach it, but the VIPs have to be routed "
			       "to it by other means");
	else if (cannot)
		manager_notify(m, LOG_LEVEL_WARNING, "agent", name,
			       "does not reject: what is to be rejected it drops without a word");
	else
		manager_notify(m, LOG_LEVEL_INFO, "agent", name, "does all that is needed");
}

static void hello(struct manager *m, struct agent *a, const struct wire_msg *msg, uint64_t now_ms)
{
	bool first = !a->name[0];
	char where[ENDPOINT_STRLEN], name[WIRE_MAX_NAME + 1];

	manager_count(m, MANAGER_HELLOS);
	if (agent_hello(a, msg, MANAGER_ABILITIES)) {
		say_abilities(m, a);
		announce_show(m, a, now_ms);
	}
	if (first)
		manager_notify(m, LOG_LEVEL_INFO, "agent", agent_name(a, name), "known, at %s",
			       endpoint_print(&a->peer.addr, a->peer.port, where));
}

/* ---- denies (ACT-9) ---- */

static void unsupported(struct manager *m, struct agent *a, const struct wire_msg *msg, uint64_t now_ms)
{
	uint32_t before = agent_cannot(a);

	for (int i = 0; i < msg->list.count; i++)
		a->denied |= wire_bit(msg->list.types[i]) & MANAGER_ABILITIES;
	if (agent_cannot(a) == before) /* it hears in the group what is not meant for it */
		return;
	say_abilities(m, a);
	announce_show(m, a, now_ms);
}

static void say_deny(struct manager *m, struct agent *a, const struct wire_msg *msg, uint64_t now_ms)
{
	const char *what = wire_has(msg, WIRE_SEG_FIXED) ? "fixed" : "wildcard";
	char name[WIRE_MAX_NAME + 1], more[48] = "";
	uint32_t missed;

	if (!log_allowed(&a->log, now_ms, LOG_LINES, &missed))
		return;
	if (missed)
		snprintf(more, sizeof(more), "; %u more lines like this one left out", missed);
	manager_notify(m, LOG_LEVEL_WARNING, "agent", agent_name(a, name), "denies a %s update: %s (code %u)%s", what,
		       msg->error.text[0] ? msg->error.text : "no reason given", msg->error.code, more);
}

static void deny(struct manager *m, struct agent *a, const struct wire_msg *msg, uint64_t now_ms)
{
	unsigned code = wire_has(msg, WIRE_SEG_ERROR) ? msg->error.code : WIRE_ERROR_UNSUPPORTED;

	manager_count(m, MANAGER_DENIES);
	a->denies++;
	switch (code) {
	case WIRE_ERROR_UNSUPPORTED:
		manager_count(m, MANAGER_DENY_UNSUPPORTED);
		unsupported(m, a, msg, now_ms);
		return;
	case WIRE_ERROR_NOT_COVERED:
		manager_count(m, MANAGER_DENY_NOT_COVERED);
		if (a->show_next == AGENT_SHOWN && now_ms - a->shown_ms >= SHOW_AGAIN_MS)
			announce_show(m, a, now_ms);
		break;
	case WIRE_ERROR_NO_ROOM:
		manager_count(m, MANAGER_DENY_NO_ROOM);
		if (wire_has(msg, WIRE_SEG_FIXED))
			agent_no_room(a, now_ms);
		break;
	case WIRE_ERROR_FORBIDDEN:
		manager_count(m, MANAGER_DENY_FORBIDDEN);
		break;
	default:
		manager_count(m, MANAGER_DENY_OTHER);
		break;
	}
	say_deny(m, a, msg, now_ms);
}

/* ---- messages ---- */

/* Does this wildcard ask for packets of a service of ours, as our own does? */
static bool is_ours(const struct manager *m, const struct wire_msg *msg)
{
	const struct wire_wildcard *w = &msg->wildcard;
	struct flow_key key = {.family = w->family, .proto = w->proto, .dport = w->dport, .src = {0}, .dst = {0}};
	const struct vip *v;

	if (msg->h.type != WIRE_WILDCARD_UPDATE || !wire_has(msg, WIRE_SEG_INTEREST))
		return false;
	memcpy(key.dst, w->dst, sizeof(key.dst));
	v = services_vip(m->services, &key);
	return v && msg->precedence.lower_first && msg->precedence.value == v->group->conf->precedence;
}

/* Another manager for our services: before us, or behind us (PREC-4, PREC-9). */
static void note_partner(struct manager *m, const struct endpoint_peer *from, const struct wire_msg *msg,
			 uint64_t now_ms)
{
	uint32_t backup = wire_has(msg, WIRE_SEG_BACKUP) ? msg->backup : 0;
	bool better = backup < m->conf->backup || (backup == m->conf->backup && from->identity < m->conf->identity);
	uint64_t *until_ms = better ? &m->better_until_ms : &m->worse_until_ms;
	uint64_t lasts_ms = now_ms + (uint64_t)msg->wildcard.ttl * 1000;
	char subject[HEX_LEN];

	if (!msg->wildcard.ttl || *until_ms < lasts_ms)
		*until_ms = lasts_ms;
	if (!better || m->better == from->identity || !msg->wildcard.ttl)
		return;
	m->better = from->identity;
	snprintf(subject, sizeof(subject), "0x%llx", (unsigned long long)from->identity);
	manager_notify(m, LOG_LEVEL_INFO, "manager", subject,
		       "announces services of this one, and comes first: this one stands by");
}

static void say_alone(struct manager *m, uint64_t now_ms)
{
	char subject[HEX_LEN];

	if (!m->better || now_ms < m->better_until_ms)
		return;
	snprintf(subject, sizeof(subject), "0x%llx", (unsigned long long)m->better);
	m->better = 0;
	manager_notify(m, LOG_LEVEL_WARNING, "manager", subject,
		       "does not announce the services any more: this one has taken over");
}

/* The filter between whose rules an agent puts this wildcard of another manager (PREC-4); NULL: there is none. */
static const struct filter_conf *mixes(const struct manager *m, const struct wire_msg *msg)
{
	uint32_t backup = wire_has(msg, WIRE_SEG_BACKUP) ? msg->backup : 0;

	/* A backup of ours is behind all rules, or before them. */
	if (!msg->precedence.lower_first || !msg->wildcard.ttl || backup / FILTER_BACKUP_STEP != m->conf->backup)
		return NULL;
	for (size_t i = 0; i < m->conf->filters.count; i++)
		if (smd_config_filter(m->conf, i)->precedence == msg->precedence.value)
			return smd_config_filter(m->conf, i);
	return NULL;
}

/* Once of each manager. */
static void say_mixing(struct manager *m, const struct endpoint_peer *from, const struct filter_conf *f)
{
	char subject[HEX_LEN];

	for (uint32_t i = 0; i < m->mixing_count; i++)
		if (m->mixing[i] == from->identity)
			return;
	if (m->mixing_count == MANAGER_MIXING)
		return;
	m->mixing[m->mixing_count++] = from->identity;
	snprintf(subject, sizeof(subject), "0x%llx", (unsigned long long)from->identity);
	manager_notify(m, LOG_LEVEL_WARNING, "manager", subject,
		       "announces at precedence %u, too, that of filter '%s': agents let one wildcard of a precedence "
		       "act on a packet, and that may not be the rule's; give one of the two another precedence",
		       f->precedence, f->name);
}

static void other_manager(struct manager *m, const struct endpoint_peer *from, const struct wire_msg *msg,
			  uint64_t now_ms)
{
	struct agent *a = agents_find(m->agents, from->identity);
	const struct filter_conf *f = msg->h.type == WIRE_WILDCARD_UPDATE ? mixes(m, msg) : NULL;

	manager_count(m, MANAGER_OTHER_MANAGER);
	if (a && !a->name[0]) /* taken for an agent because it asked who we are */
		agents_forget(m->agents, a);
	if (is_ours(m, msg))
		note_partner(m, from, msg, now_ms);
	if (f)
		say_mixing(m, from, f);
}

void manager_undecodable(struct manager *m)
{
	manager_count(m, MANAGER_UNDECODABLE);
}

void manager_message(struct manager *m, const struct endpoint_peer *from, const struct wire_msg *msg, uint64_t now_ms)
{
	struct agent *a;

	switch (msg->h.type) {
	case WIRE_WILDCARD_UPDATE:
	case WIRE_FIXED_UPDATE:
		other_manager(m, from, msg, now_ms);
		return;
	case WIRE_HELLO:
	case WIRE_DENY:
	case WIRE_MATCH_WILDCARD:
	case WIRE_MATCH_FIXED:
	case WIRE_REFRESH:
		break;
	default:
		manager_count(m, MANAGER_UNEXPECTED);
		return;
	}
	a = agent_of(m, from, now_ms);
	if (!a)
		return;
	if (msg->h.type == WIRE_HELLO) {
		hello(m, a, msg, now_ms);
		return;
	}
	if (msg->h.type == WIRE_DENY) {
		deny(m, a, msg, now_ms);
		return;
	}
	if (msg->h.type == WIRE_REFRESH) {
		manager_count(m, MANAGER_REFRESHES);
		a->refreshes++;
	} else if (wire_has(msg, WIRE_SEG_IP_PACKET)) {
		manager_count(m, MANAGER_MATCHES);
		a->punts++;
	}
	decide_question(m, a, msg, now_ms);
}

/* ---- time ---- */

static void say_silent(struct manager *m, uint64_t now_ms)
{
	char name[WIRE_MAX_NAME + 1];
	uint32_t i = 0;

	for (struct agent *a; (a = agents_next(m->agents, &i));)
		if (agent_silent(a, now_ms) && !a->said_silent) {
			a->said_silent = true;
			manager_notify(m, LOG_LEVEL_WARNING, "agent", agent_name(a, name), "silent for %u s",
				       (unsigned)((now_ms - a->heard_ms) / 1000));
		}
}

uint64_t manager_tick(struct manager *m, uint64_t now_ms)
{
	bool more = announce_tick(m, now_ms);

	m->counters[MANAGER_EXPIRED] += flows_expire(m->flows, now_ms, decide_gone, m);
	if (now_ms >= m->expire_agents_ms) {
		say_silent(m, now_ms);
		agents_expire(m->agents, now_ms);
		m->expire_agents_ms = now_ms + EXPIRE_AGENTS_MS;
	}
	say_alone(m, now_ms);
	if (m->sweeping)
		m->sweeping = decide_sweep(m);
	return more || m->sweeping ? TICK_BUSY_MS : TICK_IDLE_MS;
}

/* ---- listings ---- */

const struct smd_conf *manager_conf(const struct manager *m)
{
	return m->conf;
}

uint32_t manager_needs(const struct manager *m)
{
	return m->needed;
}

struct manager_wildcard manager_wildcard(const struct manager *m, uint32_t n)
{
	return announce_row(m, n);
}

const struct services *manager_services(const struct manager *m)
{
	return m->services;
}

const struct agents *manager_agents(const struct manager *m)
{
	return m->agents;
}

struct flows *manager_flows(const struct manager *m)
{
	return m->flows;
}

const uint64_t *manager_counters(const struct manager *m)
{
	return m->counters;
}
