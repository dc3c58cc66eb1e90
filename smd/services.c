/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configured services as tables; see services.h.  Must not know of
 * messages, flows, or how a check is made.
 */
#include "smd/services.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t families[] = {4, 6};

const char *group_state_name(enum group_state state)
{
	switch (state) {
	case GROUP_ANNOUNCED:
		return "announced";
	case GROUP_WITHDRAWN:
		return "withdrawn";
	case GROUP_WAITING:
		break;
	}
	return "waiting";
}

/* ---- making ---- */

static const struct addr *vip_addr(const struct service_conf *c, size_t i)
{
	return &((const struct addr *)c->vips.items)[i];
}

static struct service_key make_key(uint8_t family, const uint8_t addr[16], int proto, uint16_t port)
{
	struct service_key k = {.family = family, .proto = (uint8_t)proto, .port = port, .addr = {0}};

	memcpy(k.addr, addr, sizeof(k.addr));
	return k;
}

/* Where this address of the server is checked: an address given for it, of its family if there is one. */
static const struct addr *check_addr(const struct server_conf *s, const struct addr *own)
{
	const struct addr *a = smd_config_address(&s->check_addresses, own->family);

	if (a)
		return a;
	return s->check_addresses.count ? s->check_addresses.items : own;
}

/* The check of this server at this address: one made before, or a new one. */
static struct check *get_check(struct services *s, const struct service_conf *c, const struct server_conf *server,
			       const struct addr *own, size_t first_of_server)
{
	const struct addr *addr = check_addr(server, own);
	struct check *k;

	if (smd_config_check_type(c) == CHECK_NONE)
		return NULL;
	for (size_t i = first_of_server; i < s->check_count; i++)
		if (addr_equal(&s->checks[i].addr, addr))
			return &s->checks[i];
	k = &s->checks[s->check_count++];
	k->addr = *addr;
	k->port = c->check.port ? c->check.port : server->port ? server->port : c->port;
	k->conf = &c->check;
	snprintf(k->text, sizeof(k->text), "not checked yet");
	return k;
}

/* Find it by where it is, behind others at the same place. */
static void file_backend(struct services *s, struct backend *b)
{
	struct backend **table = group_translates(b->group) ? &s->by_backend : &s->by_dispatched, *head;

	HASH_FIND(hh, *table, &b->key, sizeof(b->key), head);
	if (!head) {
		HASH_ADD(hh, *table, key, sizeof(b->key), b);
		return;
	}
	while (head->next_same)
		head = head->next_same;
	head->next_same = b;
}

struct backend *services_add_removed(struct services *s, struct group *g, const struct backend *was)
{
	struct server_conf *conf = &s->removed[s->removed_count];
	struct backend *b = &s->backends[s->backend_count];

	if (s->removed_count == s->removed_room)
		return NULL;
	conf->name = strdup(was->conf->name);
	if (!conf->name)
		return NULL;
	conf->weight = was->conf->weight;
	s->removed_count++;
	s->backend_count++;
	b->key = was->key;
	b->group = g;
	b->conf = conf;
	b->index = BALANCER_NONE;
	b->removed = true;
	file_backend(s, b);
	return b;
}

static bool add_backend(struct services *s, struct group *g, const struct server_conf *server, const struct addr *addr)
{
	struct backend *b = &s->backends[s->backend_count++];

	b->key = make_key(addr->family, addr->b, g->conf->protocol, server->port ? server->port : g->conf->port);
	b->group = g;
	b->conf = server;
	b->index = balancer_add(g->balancer, server->name, server->weight);
	if (b->index == BALANCER_NONE)
		return false;
	balancer_set_usable(g->balancer, b->index, true);
	g->backend_count++;
	file_backend(s, b);
	return true;
}

static bool add_group(struct services *s, const struct service_conf *c, uint8_t family)
{
	struct group *g = &s->groups[s->group_count++];

	g->conf = c;
	g->family = family;
	g->ttl_s = (c->affinity_ttl + 999) / 1000;
	g->vips = &s->vips[s->vip_count];
	g->backends = &s->backends[s->backend_count];
	g->balancer = balancer_new(c->method);
	if (!g->balancer)
		return false;
	for (size_t i = 0; i < c->vips.count; i++) {
		struct vip *v = &s->vips[s->vip_count];

		if (vip_addr(c, i)->family != family)
			continue;
		v->key = make_key(family, vip_addr(c, i)->b, c->protocol, c->port);
		v->group = g;
		HASH_ADD(hh, s->by_vip, key, sizeof(v->key), v);
		s->vip_count++;
		g->vip_count++;
	}
	for (size_t i = 0; i < c->servers.count; i++) {
		const struct server_conf *server = smd_config_server(c, i);
		const struct addr *a = smd_config_address(&server->addresses, family);

		if (a && !add_backend(s, g, server, a))
			return false;
	}
	return true;
}

/* A server's addresses may be checked at one place: then its backends of all families share the check. */
static void add_checks(struct services *s, size_t first_group, const struct service_conf *c)
{
	for (size_t i = 0; i < c->servers.count; i++) {
		const struct server_conf *server = smd_config_server(c, i);
		size_t first = s->check_count;

		for (size_t g = first_group; g < s->group_count; g++)
			for (size_t j = 0; j < s->groups[g].backend_count; j++) {
				struct backend *b = &s->groups[g].backends[j];
				struct addr own = service_key_addr(&b->key);

				if (b->conf == server)
					b->check = get_check(s, c, server, &own, first);
			}
	}
}

static bool allocate(struct services *s, const struct smd_conf *conf, size_t removed)
{
	size_t vips = 0, backends = 0;

	for (size_t i = 0; i < conf->services.count; i++) {
		const struct service_conf *c = smd_config_service(conf, i);

		vips += c->vips.count;
		backends += 2 * c->servers.count;
	}
	s->groups = calloc(2 * conf->services.count + 1, sizeof(*s->groups));
	s->vips = calloc(vips + 1, sizeof(*s->vips));
	s->backends = calloc(backends + removed + 1, sizeof(*s->backends));
	s->checks = calloc(backends + 1, sizeof(*s->checks));
	s->removed = calloc(removed + 1, sizeof(*s->removed));
	s->removed_room = removed;
	return s->groups && s->vips && s->backends && s->checks && s->removed;
}

struct services *services_new(const struct smd_conf *conf, size_t removed)
{
	struct services *s = calloc(1, sizeof(*s));
	bool ok = s && allocate(s, conf, removed);

	for (size_t i = 0; ok && i < conf->services.count; i++) {
		const struct service_conf *c = smd_config_service(conf, i);
		size_t first = s->group_count;

		for (size_t f = 0; ok && f < sizeof(families); f++)
			if (smd_config_address(&c->vips, families[f]))
				ok = add_group(s, c, families[f]);
		if (ok)
			add_checks(s, first, c);
	}
	if (!ok) {
		services_free(s);
		return NULL;
	}
	return s;
}

void services_free(struct services *s)
{
	if (!s)
		return;
	HASH_CLEAR(hh, s->by_vip);
	HASH_CLEAR(hh, s->by_backend);
	HASH_CLEAR(hh, s->by_dispatched);
	for (size_t i = 0; i < s->group_count; i++)
		balancer_free(s->groups[i].balancer);
	free(s->groups);
	free(s->vips);
	free(s->backends);
	free(s->checks);
	for (size_t i = 0; i < s->removed_count; i++)
		free(s->removed[i].name);
	free(s->removed);
	free(s);
}

/* ---- looking up ---- */

struct vip *services_vip(const struct services *s, const struct flow_key *forward)
{
	struct service_key k = make_key(forward->family, forward->dst, forward->proto, forward->dport);
	struct vip *v;

	HASH_FIND(hh, s->by_vip, &k, sizeof(k), v);
	return v;
}

struct backend *services_backend_at(const struct services *s, const struct service_key *key)
{
	struct backend *b;

	HASH_FIND(hh, s->by_backend, key, sizeof(*key), b);
	return b;
}

struct backend *services_backend(const struct services *s, const struct flow_key *reverse)
{
	struct service_key k = make_key(reverse->family, reverse->src, reverse->proto, reverse->sport);

	return services_backend_at(s, &k);
}

struct backend *group_backend(const struct services *s, const struct group *g, const struct addr *addr, uint16_t port)
{
	struct service_key k = make_key(addr->family, addr->b, g->conf->protocol, port);
	struct backend *b;

	HASH_FIND(hh, group_translates(g) ? s->by_backend : s->by_dispatched, &k, sizeof(k), b);
	while (b && b->group != g)
		b = b->next_same;
	return b;
}

struct backend *services_backend_of(const struct services *s, const char *service, const struct service_key *key)
{
	struct backend *const tables[] = {s->by_backend, s->by_dispatched};

	for (size_t i = 0; i < 2; i++) {
		struct backend *b;

		HASH_FIND(hh, tables[i], key, sizeof(*key), b);
		while (b && strcmp(b->group->conf->name, service) != 0)
			b = b->next_same;
		if (b)
			return b;
	}
	return NULL;
}

/* ---- health ---- */

enum health_state backend_health(const struct backend *b)
{
	return b->check ? b->check->health.state : HEALTH_UP;
}

const char *backend_state_name(const struct backend *b)
{
	if (b->removed)
		return "removed";
	switch ((enum server_will)b->will) {
	case SERVER_DRAINING:
		return "draining";
	case SERVER_DISABLED:
		return "disabled";
	case SERVER_ENABLED:
		break;
	}
	return health_state_name(backend_health(b));
}

bool backend_lost(const struct backend *b)
{
	return b->will == SERVER_DISABLED || backend_health(b) == HEALTH_DOWN;
}

bool backend_takes_new(const struct backend *b)
{
	return !b->removed && b->will == SERVER_ENABLED && backend_health(b) != HEALTH_DOWN;
}

void backend_connections(struct backend *b, int change)
{
	b->connections += (uint64_t)(int64_t)change;
	if (b->index != BALANCER_NONE)
		balancer_load(b->group->balancer, b->index, change);
}

bool group_evaluate(struct group *g)
{
	enum group_state before = g->state;
	bool was_empty = g->empty;
	size_t up = 0, unknown = 0;

	for (size_t i = 0; i < g->backend_count; i++) {
		const struct backend *b = &g->backends[i];
		enum health_state h = backend_health(b);
		bool known = h == HEALTH_UP || before == GROUP_WAITING;

		balancer_set_usable(g->balancer, b->index, backend_takes_new(b) && known);
		up += h == HEALTH_UP && !backend_lost(b);
		unknown += h == HEALTH_UNKNOWN && !backend_lost(b);
	}
	if (before == GROUP_WAITING ? !unknown : up || !unknown) {
		g->empty = !up && g->conf->when_empty != WHEN_EMPTY_WITHDRAW;
		g->state = up || g->empty ? GROUP_ANNOUNCED : GROUP_WITHDRAWN;
	}
	return g->state != before || g->empty != was_empty;
}
