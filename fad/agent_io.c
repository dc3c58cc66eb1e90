/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carrying packets, messages, requests and time between the engine and the
 * punt port, the classifier, the control endpoint and the admin bus.
 *
 * Must not decide anything: the engine does.
 */
#include "fad/agent.h"

#include <stdlib.h>

#include "lib/daemon.h"
#include "lib/hash.h"
#include "lib/log.h"

#define TICK_MS          50
#define TICK_ACCURACY_US 2000
/* Every so many ticks. */
#define HEARTBEAT_TICKS 2   /* the classifier's */
#define BUS_TICKS       5   /* the admin bus's */
#define HELLO_TICKS     200 /* hello to the group */
#define FORWARD_TICKS   100 /* looking for next hops out of use */
#define FORWARD_IDLE_MS 60000
/* Taking over: shorter together than the time after which a dead agent's filters let everything pass. */
#define TAKE_OVER_MS     600 /* for the first wildcard */
#define SETTLE_MS        30  /* for those that follow it */
#define MESSAGE_COUNTERS 128

/* ---- next hops: the classifier names them by an index, which is ours as long as we hold it ---- */

struct agent_forward {
	struct addr next_hop;
	uint32_t index;
	uint64_t used_ms;
	struct agent_forward *next; /* in its bucket */
};

static struct agent_forward **forward_bucket(struct agent *a, const struct addr *next_hop)
{
	return &a->forwards[hash_bytes(a->hash_key, next_hop, sizeof(*next_hop)) % AGENT_FORWARD_BUCKETS];
}

static struct agent_forward *forward_new(struct agent *a, const struct addr *next_hop)
{
	struct agent_forward **bucket = forward_bucket(a, next_hop), *f;
	uint32_t index = classifier_forward_get(a->classifier, next_hop);

	if (index == 0)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (f == NULL) {
		classifier_forward_put(a->classifier, index);
		return NULL;
	}
	*f = (struct agent_forward){.next_hop = *next_hop, .index = index, .next = *bucket};
	*bucket = f;
	return f;
}

/* 0: there is no room for another. */
static uint32_t forward_index(struct agent *a, const struct addr *next_hop)
{
	struct agent_forward *f = *forward_bucket(a, next_hop);

	while (f != NULL && !addr_equal(&f->next_hop, next_hop))
		f = f->next;
	if (f == NULL)
		f = forward_new(a, next_hop);
	if (f == NULL)
		return 0;
	f->used_ms = daemon_now_ms();
	return f->index;
}

static void drop_forwards(struct agent *a, uint64_t unused_since_ms)
{
	for (size_t i = 0; i < AGENT_FORWARD_BUCKETS; i++) {
		struct agent_forward **at = &a->forwards[i];

		while (*at != NULL) {
			struct agent_forward *f = *at;

			if (f->used_ms > unused_since_ms) {
				at = &f->next;
				continue;
			}
			*at = f->next;
			classifier_forward_put(a->classifier, f->index);
			free(f);
		}
	}
}

void agent_forget_forwards(struct agent *a)
{
	drop_forwards(a, UINT64_MAX);
}

/* ---- what the engine asks of the world ---- */

static bool out_forward(void *ctx, const struct packet *p, const struct addr *next_hop)
{
	struct agent *a = ctx;
	uint32_t index = 0;

	if (next_hop != NULL) {
		index = forward_index(a, next_hop);
		if (index == 0)
			return false;
	}
	return port_send(a->port, p, index);
}

static bool out_send(void *ctx, const struct endpoint_peer *to, struct wire_msg *m)
{
	return endpoint_send(((struct agent *)ctx)->endpoint, to, m);
}

/* The classifier is closed before the engine when an agent leaves its filters to the next one: they stay as they are.
 */
static bool out_shape(void *ctx, uint16_t number, const struct classifier_shape *shape)
{
	struct classifier *c = ((struct agent *)ctx)->classifier;

	return c == NULL || classifier_shape(c, number, shape);
}

static bool out_key(void *ctx, const struct classifier_key *key, bool add)
{
	struct classifier *c = ((struct agent *)ctx)->classifier;

	if (c == NULL)
		return true;
	return add ? classifier_wildcard_add(c, key) : classifier_wildcard_del(c, key);
}

static bool out_flow(void *ctx, const struct flow_key *key, bool add)
{
	struct classifier *c = ((struct agent *)ctx)->classifier;

	if (c == NULL)
		return true;
	return add ? classifier_fixed_add(c, key) : classifier_fixed_del(c, key);
}

static bool out_guards(void *ctx, const struct flow_key *key)
{
	return classifier_guards(((struct agent *)ctx)->classifier, key);
}

static bool out_gone_until(void *ctx, const struct classifier_key *key, uint64_t until_ms)
{
	struct classifier *c = ((struct agent *)ctx)->classifier;

	if (c == NULL)
		return true;
	if (key != NULL)
		return classifier_wildcard_gone(c, key, until_ms);
	classifier_gone_until(c, until_ms);
	return true;
}

static uint64_t out_shed(void *ctx, const struct classifier_key *key, const struct classifier_shed *limit)
{
	struct classifier *c = ((struct agent *)ctx)->classifier;

	return c == NULL ? 0 : classifier_shed(c, key, limit);
}

static void publish_advertise(struct agent *a, char *prefix, bool add)
{
	Turnout__Advertise change = TURNOUT__ADVERTISE__INIT;
	Turnout__Event event = TURNOUT__EVENT__INIT;

	engine_adverts(a->engine, &change.version);
	change.n_add = add;
	change.n_remove = !add;
	change.add = change.remove = &prefix;
	event.what_case = TURNOUT__EVENT__WHAT_ADVERTISE;
	event.advertise = &change;
	bus_publish(a->bus, &event);
}

static void out_advertise(void *ctx, const struct addr *prefix, uint8_t plen, bool add)
{
	struct agent *a = ctx;
	char text[ADMIN_PREFIX_LEN];

	if (a->classifier == NULL)
		return;
	if (add)
		classifier_advertised_add(a->classifier, prefix, plen);
	else
		classifier_advertised_del(a->classifier, prefix, plen);
	admin_prefix(prefix, plen, text);
	log_info("%s is %s", text, add ? "advertised" : "withdrawn");
	if (a->bus != NULL && !a->stopping)
		publish_advertise(a, text, add);
}

static void out_manager(void *ctx, const struct endpoint_peer *peer, bool add)
{
	struct agent *a = ctx;
	char text[ENDPOINT_STRLEN], identity[24];

	if (a->classifier == NULL)
		return;
	if (add)
		classifier_peer_add(a->classifier, &peer->addr, peer->port);
	else
		classifier_peer_del(a->classifier, &peer->addr, peer->port);
	engine_guards_changed(a->engine);
	endpoint_print(&peer->addr, peer->port, text);
	snprintf(identity, sizeof(identity), "0x%llx", (unsigned long long)peer->identity);
	log_info("manager %s at %s: %s", identity, text, add ? "has affinities for us" : "forgotten");
	agent_notice(a, "info", "manager", identity, "at %s: %s", text, add ? "known" : "forgotten");
}

const struct engine_out agent_engine_out = {
	.forward = out_forward,
	.route = agent_route,
	.least_mtu = agent_least_mtu,
	.refuses = agent_refuses,
	.send = out_send,
	.shape = out_shape,
	.key = out_key,
	.flow = out_flow,
	.guards = out_guards,
	.shed = out_shed,
	.gone_until = out_gone_until,
	.advertise = out_advertise,
	.manager = out_manager,
	.news = agent_engine_news,
};

/* ---- messages ---- */

/* to NULL: everybody. */
static void say_hello(struct agent *a, const struct endpoint_peer *to)
{
	struct wire_msg m;

	wire_start(&m, WIRE_HELLO);
	engine_supported(&m.list);
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	if (to != NULL)
		endpoint_send(a->endpoint, to, &m);
	else
		endpoint_send_all(a->endpoint, &m);
}

static void on_message(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m)
{
	struct agent *a = ctx;

	/* Other agents' hellos are for managers; they reach us by the group. */
	if (m->h.type != WIRE_HELLO)
		engine_message(a->engine, from, m, daemon_now_ms());
}

static void on_peer(void *ctx, const struct endpoint_peer *peer)
{
	say_hello(ctx, peer);
}

static void on_undecodable(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m,
			   const struct wire_diagnosis *why)
{
	struct agent *a = ctx;

	engine_undecodable(a->engine, from, m, &why->unknown);
}

static void on_batch_end(void *ctx)
{
	struct agent *a = ctx;

	port_flush(a->port);
	endpoint_flush(a->endpoint);
}

const struct endpoint_handler agent_endpoint_handler = {
	.message = on_message,
	.peer_known = on_peer,
	.peer_asks = on_peer,
	.undecodable = on_undecodable,
	.batch_end = on_batch_end,
};

/* ---- packets ---- */

static void on_packet(void *ctx, struct packet *p)
{
	struct agent *a = ctx;

	if (a->taking_over)
		engine_untimely(a->engine, p);
	else
		engine_packet(a->engine, p, daemon_now_ms());
}

static void on_bad_packet(void *ctx, enum packet_fault fault, const uint8_t *data, uint32_t len)
{
	engine_malformed(((struct agent *)ctx)->engine, fault, data, len);
}

static void on_dropped(void *ctx, uint32_t why, const uint8_t *data, uint32_t len, uint32_t ifindex)
{
	tap_dropped(((struct agent *)ctx)->tap, (enum classifier_counter)why, data, len, ifindex);
}

const struct port_handler agent_port_handler = {
	.receive = on_packet,
	.bad = on_bad_packet,
	.batch_end = on_batch_end,
	.dropped = on_dropped,
};

void agent_protect_control(struct agent *a)
{
	const struct endpoint_conf *c = &a->conf.control;
	const struct addr *groups = c->groups.items;
	const struct conf_endpoint *peers = c->peers.items;

	classifier_peer_add(a->classifier, &c->address, c->port);
	for (size_t i = 0; i < c->groups.count; i++)
		classifier_peer_add(a->classifier, &groups[i], c->group_port);
	for (size_t i = 0; i < c->peers.count; i++)
		classifier_peer_add(a->classifier, &peers[i].addr, peers[i].port);
}

/* ---- requests ---- */

static const char *interface_state(const struct agent_interface *i)
{
	if (!i->present)
		return "absent";
	return !i->attached ? "detached" : i->up ? "up" : "down";
}

static void view_interfaces(struct agent *a, struct admin_interface *rows)
{
	for (size_t k = 0; k < a->interface_count; k++) {
		const struct agent_interface *i = &a->interfaces[k];
		struct classifier_interface counters;

		rows[k] = (struct admin_interface){.name = i->name, .state = interface_state(i), .ifindex = i->ifindex};
		rows[k].datapath = i->attached ? i->datapath : "-";
		if (!i->attached)
			continue;
		classifier_interface_counters(a->classifier, i->ifindex, &counters);
		rows[k].punted = counters.punted;
		rows[k].passed = counters.passed;
		rows[k].planned = counters.planned;
	}
}

const char *agent_request(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	struct agent *a = ctx;
	struct admin_interface interfaces[CONFIG_MAX_INTERFACES];
	struct endpoint_counter messages[MESSAGE_COUNTERS];
	uint64_t classifier[CLASSIFIER_COUNTERS] = {0};
	Turnout__CounterRow bus[BUS_COUNTERS];
	struct port_counters port;
	char names[CONFIG_MAX_INTERFACES * (IF_NAMESIZE + 4)];
	struct admin_trace trace;
	struct admin_view v = {
		.engine = a->engine,
		.now_ms = daemon_now_ms(),
		.started_ms = a->started_ms,
		.name = a->name,
		.identity = a->identity,
		.incarnation = endpoint_incarnation(a->endpoint),
		.addr = a->conf.control.address,
		.port = a->conf.control.port,
		.interfaces = interfaces,
		.classifier = classifier,
		.punt_port = &port,
		.messages = messages,
		.bus = bus,
		.withdrawn = a->withdrawn,
		.tap = a->tap,
		.trace = &trace,
	};

	engine_fold_plans(a->engine);
	if (request->what_case == TURNOUT__REQUEST__WHAT_CAPTURE)
		return agent_capture(a, request->capture, reply);
	if (request->what_case == TURNOUT__REQUEST__WHAT_SHOW_SETTINGS)
		return agent_settings(a, reply);
	if (request->what_case == TURNOUT__REQUEST__WHAT_TRACE) {
		const char *wrong = agent_trace(a, request->trace, &trace, names, sizeof(names));

		if (wrong != NULL)
			return wrong;
	}
	/* What is held is not to be taken for what the next agent wants. */
	if (request->what_case == TURNOUT__REQUEST__WHAT_ADVERTISED && a->stopping && agent_leaves(a))
		return "stopping";

	if (request->what_case == TURNOUT__REQUEST__WHAT_SHOW_INTERFACES) {
		view_interfaces(a, interfaces);
		v.interface_count = a->interface_count;
	}
	if (request->what_case == TURNOUT__REQUEST__WHAT_SHOW_COUNTERS) {
		classifier_counters(a->classifier, classifier);
		v.message_count = endpoint_counters(a->endpoint, messages, MESSAGE_COUNTERS);
		v.bus_count = a->bus != NULL ? bus_server_counters(a->bus, bus) : 0;
		port_read_counters(a->port, &port);
	}
	return admin_answer(a->admin, &v, request, reply);
}

void agent_release(void *ctx, Turnout__Reply *reply)
{
	(void)reply;
	admin_release(((struct agent *)ctx)->admin);
}

/* ---- time ---- */

static void publish_heartbeat(struct agent *a)
{
	Turnout__Heartbeat beat = TURNOUT__HEARTBEAT__INIT;
	Turnout__Event event = TURNOUT__EVENT__INIT;

	if (a->stopping && agent_leaves(a))
		return;
	engine_adverts(a->engine, &beat.version);
	if (a->withdrawn != 0)
		beat.version = a->withdrawn;
	event.what_case = TURNOUT__EVENT__WHAT_HEARTBEAT;
	event.heartbeat = &beat;
	bus_publish(a->bus, &event);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct agent *a = userdata;
	uint64_t now_ms = daemon_now_ms(), now_us;

	a->ticks++;
	if (a->ticks % HEARTBEAT_TICKS == 0)
		classifier_heartbeat(a->classifier);
	engine_tick(a->engine, now_ms);
	tap_tick(a->tap, now_ms);
	classifier_show_drops(a->classifier, tap_wants_drops(a->tap));
	if (a->ticks % BUS_TICKS == 0)
		publish_heartbeat(a);
	if (a->ticks % FORWARD_TICKS == 0 && now_ms > FORWARD_IDLE_MS)
		drop_forwards(a, now_ms - FORWARD_IDLE_MS);
	if (a->ticks % HELLO_TICKS == 0) {
		say_hello(a, NULL);
		agent_links_retry(a);
	}
	on_batch_end(a);
	/* In step, but without catching up on what was missed. */
	sd_event_now(a->loop, CLOCK_MONOTONIC, &now_us);
	usec += TICK_MS * 1000;
	return sd_event_source_set_time(source, usec > now_us ? usec : now_us + TICK_MS * 1000);
}

int agent_start(struct agent *a)
{
	int r = sd_event_add_time_relative(a->loop, &a->tick, CLOCK_MONOTONIC, 0, TICK_ACCURACY_US, on_tick, a);

	if (r >= 0)
		r = sd_event_source_set_enabled(a->tick, SD_EVENT_ON);
	/* A stop of the loop's other work must not look like death to the classifier. */
	if (r >= 0)
		r = sd_event_source_set_priority(a->tick, SD_EVENT_PRIORITY_NORMAL - 5);
	if (r < 0)
		return r;
	classifier_heartbeat(a->classifier);
	say_hello(a, NULL);
	endpoint_flush(a->endpoint);
	return 0;
}

static void run_until(struct agent *a, uint64_t end_ms, bool only_without_wildcards)
{
	while (daemon_now_ms() < end_ms && sd_event_get_state(a->loop) != SD_EVENT_FINISHED) {
		if (only_without_wildcards && wildtab_first(engine_wildcards(a->engine)) != NULL)
			return;
		if (sd_event_run(a->loop, TICK_ACCURACY_US) < 0)
			return;
	}
}

void agent_take_over(struct agent *a)
{
	if (!agent_links_former(a))
		return;
	a->taking_over = true;
	run_until(a, daemon_now_ms() + TAKE_OVER_MS, true);
	run_until(a, daemon_now_ms() + SETTLE_MS, false);
	a->taking_over = false;
}
