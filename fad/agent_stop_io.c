/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A planned stop.  Either routes are withdrawn at once and packets served until
 * upstream has moved them, or routes are held and everything in the kernel is
 * left to the agent that is to start next.  With a fallback the filters are left
 * in either case: they send it what still comes this way.
 *
 * Must not know how routes are announced.  FA-6.
 */
#include "fad/agent.h"
#include "lib/daemon.h"
#include "lib/log.h"

/* For the word to get out, when there is no other reason to stay. */
#define WORD_MS 50

bool agent_leaves(const struct agent *a)
{
	return a->conf.stop_hold > 0;
}

bool agent_leaves_filters(const struct agent *a)
{
	return agent_leaves(a) || a->conf.fallback.count > 0;
}

static int on_end(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)usec;
	(void)ctx;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static void publish_stopping(struct agent *a)
{
	Turnout__Stopping stopping = TURNOUT__STOPPING__INIT;
	Turnout__Event event = TURNOUT__EVENT__INIT;

	stopping.hold_ms = a->conf.stop_hold;
	event.what_case = TURNOUT__EVENT__WHAT_STOPPING;
	event.stopping = &stopping;
	bus_publish(a->bus, &event);
}

void agent_stop(void *ctx)
{
	struct agent *a = ctx;
	uint32_t stay_ms = agent_leaves(a) ? WORD_MS : a->conf.linger;
	uint64_t version;
	const struct advert *any;

	/* Asked twice, or before anything is served: at once. */
	if (a->stopping || a->taking_over || a->bus == NULL) {
		sd_event_exit(a->loop, 0);
		return;
	}
	any = engine_adverts(a->engine, &version);
	a->stopping = true;
	if (!agent_leaves(a))
		a->withdrawn = version + 1;
	publish_stopping(a);
	daemon_stopping();
	if (any == NULL) /* no route leads here */
		stay_ms = stay_ms < WORD_MS ? stay_ms : WORD_MS;
	if (agent_leaves(a))
		log_info("stopping; routes are to be held for %u ms", a->conf.stop_hold);
	else
		log_info("stopping; routes are withdrawn, packets served for another %u ms", stay_ms);
	if (sd_event_add_time_relative(a->loop, &a->end, CLOCK_MONOTONIC, stay_ms * UINT64_C(1000), 1000, on_end, a) <
	    0)
		sd_event_exit(a->loop, 0);
}
