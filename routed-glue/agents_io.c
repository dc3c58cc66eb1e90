/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agents on the admin bus: one client each, requests numbered through.
 *
 * Must not know of routes or the kernel.
 */
#include "routed-glue/agents_io.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/bus.h"
#include "lib/daemon.h"
#include "lib/log.h"

#define PAGE_PREFIXES 4096 /* asked for at once */

struct agent {
	struct agents *all;
	unsigned index;
	const char *name;
	struct bus_client *client;
	struct log_limit limit;
};

struct agents {
	struct glue *glue;
	void (*heard)(void *ctx);
	void *ctx;
	uint64_t last_id;
	size_t count;
	struct agent agent[];
};

/* Ask for the advertised set.  What cannot be sent is asked for again at the next heartbeat. */
static void ask(struct agent *a, uint64_t cursor)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;

	request.id = ++a->all->last_id;
	request.cursor = cursor;
	request.limit = PAGE_PREFIXES;
	request.what_case = TURNOUT__REQUEST__WHAT_ADVERTISED;
	request.advertised = &empty;
	if (bus_client_send(a->client, &request) == 0)
		glue_asked(a->all->glue, a->index, request.id, cursor, daemon_now_ms());
}

static void on_event(void *ctx, const Turnout__Event *event)
{
	struct agent *a = ctx;
	uint64_t now_ms = daemon_now_ms();
	struct glue_ask next;

	if (event->what_case == TURNOUT__EVENT__WHAT_HEARTBEAT) {
		next = glue_heartbeat(a->all->glue, a->index, event->seq, event->heartbeat->version, now_ms);
	} else if (event->what_case == TURNOUT__EVENT__WHAT_ADVERTISE) {
		const Turnout__Advertise *change = event->advertise;

		next = glue_change(a->all->glue, a->index, event->seq, change->version,
				   (struct glue_prefixes){change->add, change->n_add},
				   (struct glue_prefixes){change->remove, change->n_remove}, now_ms);
	} else if (event->what_case == TURNOUT__EVENT__WHAT_STOPPING) {
		log_info("agent %s stops as planned: what it wants is %s", a->name,
			 event->stopping->hold_ms > 0 ? "held for it" : "withdrawn");
		next = glue_stopping(a->all->glue, a->index, event->seq, event->stopping->hold_ms, now_ms);
	} else {
		next = glue_other(a->all->glue, a->index, event->seq, now_ms);
	}
	if (next.ask)
		ask(a, next.cursor);
	a->all->heard(a->all->ctx);
}

static void on_reply(void *ctx, const Turnout__Reply *reply)
{
	struct agent *a = ctx;
	uint64_t now_ms = daemon_now_ms();
	struct glue_ask next = {0};
	uint32_t missed;

	if (*reply->error || !reply->advertised) {
		glue_refused(a->all->glue, a->index, reply->id, now_ms);
		if (log_allowed(&a->limit, now_ms, 1, &missed))
			log_warning("agent %s does not say what to announce: %s", a->name,
				    *reply->error ? reply->error : "no answer in the reply");
	} else {
		const Turnout__Advertised *set = reply->advertised;

		next = glue_page(a->all->glue, a->index, reply->id, set->version, reply->next,
				 (struct glue_prefixes){set->prefixes, set->n_prefixes}, now_ms);
	}
	if (next.ask)
		ask(a, next.cursor);
	a->all->heard(a->all->ctx);
}

int agents_open(struct agents **agents, sd_event *loop, const char *run_dir, const struct glue_config *conf,
		struct glue *glue, void (*heard)(void *ctx), void *ctx, const char **failed)
{
	size_t count = conf->agents.count;
	struct agents *all = calloc(1, sizeof(*all) + count * sizeof(all->agent[0]));

	*agents = NULL;
	*failed = glue_config_agent(conf, 0);
	if (!all)
		return -ENOMEM;
	all->glue = glue;
	all->heard = heard;
	all->ctx = ctx;
	for (; all->count < count; all->count++) {
		struct agent *a = &all->agent[all->count];
		int r;

		*a = (struct agent){.all = all, .index = (unsigned)all->count};
		a->name = *failed = glue_config_agent(conf, all->count);
		r = bus_client_new(&a->client, loop, run_dir, a->name, on_reply, on_event, a);
		if (r < 0) {
			agents_close(all);
			return r;
		}
		ask(a, 0);
	}
	*agents = all;
	return 0;
}

void agents_close(struct agents *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->count; i++)
		bus_client_free(all->agent[i].client);
	free(all);
}

void agents_refresh(struct agents *all)
{
	uint64_t now_ms = daemon_now_ms();

	for (size_t i = 0; i < all->count; i++)
		if (glue_may_refresh(all->glue, all->agent[i].index, now_ms))
			ask(&all->agent[i], 0);
}
