/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routed-glue: keeps the kernel routes that FRRouting redistributes equal to
 * what the agents want announced.
 *
 * Wires the agents on the bus (agents_io.c) and the kernel (kernel_io.c) to
 * the reasoning (glue.c).  One function, work(), does what is due; everything
 * that happens only arranges for it to run.  ACT-3.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/bus.h"
#include "lib/daemon.h"
#include "lib/exitcode.h"
#include "lib/log.h"
#include "routed-glue/admin.h"
#include "routed-glue/agents_io.h"
#include "routed-glue/config.h"
#include "routed-glue/frr_audit.h"
#include "routed-glue/frr_io.h"
#include "routed-glue/glue.h"
#include "routed-glue/kernel_io.h"

#define HEAL_BATCH    64   /* operations, even: pairs stay together */
#define PACE_MS       10   /* between batches, so that FRR's netlink buffer never overflows */
#define CHECK_GAP_MS  50   /* between two looks at the kernel, however much happens there */
#define CHECK_FAIL_MS 1000 /* before the next look, when the last one failed */
#define FRR_AGAIN_MS  5000 /* before the second look at FRR that a suspicion asks for */
#define NOTICES       100  /* a second, to whoever watches */
#define LINES         5    /* of a kind a second in the log */

/* Operations being carried out. */
struct queue {
	struct route_op *ops;
	size_t count, next;
};

struct program {
	struct daemon_options options;
	struct glue_config conf;
	int lock;
	sd_event *loop;
	struct glue *glue;
	struct kernel *kernel;
	struct agents *agents;
	struct bus_server *bus;
	struct admin admin;
	Turnout__CounterRow bus_counters[BUS_COUNTERS];
	sd_event_source *soon; /* runs work() in the next iteration */
	sd_event_source *timer;
	sd_event_source *monitor;
	struct queue plan;
	struct queue heal; /* pairs that change nothing but make FRR look; after the plan */
	uint64_t batch_ms; /* when the next batch may go */
	/* Looking at the kernel. */
	uint64_t check_ms;    /* when next, at the latest */
	uint64_t checked_ms;  /* when last */
	uint64_t periodic_ms; /* when it is time for the full audit */
	/* Looking at FRR; NULL: not. */
	struct frr *frr;
	struct frr_audit frr_audit;
	uint64_t frr_ms; /* when next */
	bool frr_deaf;   /* the last question had no answer, and the log has it */
	struct log_limit conflict_limit, error_limit, change_limit, notice_limit;
};

static bool pending(const struct queue *q)
{
	return q->next < q->count;
}

/* ops become the queue's. */
static void refill(struct queue *q, struct route_op *ops, ssize_t count)
{
	free(q->ops);
	*q = (struct queue){.ops = ops, .count = count > 0 ? (size_t)count : 0};
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- looking at the kernel ---- */

static void want_check(struct program *p, uint64_t now_ms)
{
	uint64_t soonest = p->checked_ms + CHECK_GAP_MS;

	p->check_ms = earlier(p->check_ms, soonest > now_ms ? soonest : now_ms);
}

static void kernel_trouble(struct program *p, const char *what, int error, uint64_t now_ms)
{
	uint32_t missed;

	glue_counters(p->glue)[GLUE_KERNEL_ERRORS]++;
	if (log_allowed(&p->error_limit, now_ms, LINES, &missed))
		log_error("%s: %s: %s; trying again", p->conf.interface, what, strerror(-error));
}

/* Put the device right, read the table, and let the difference be planned. */
static void check_kernel(struct program *p, uint64_t now_ms)
{
	uint64_t missing = glue_counters(p->glue)[GLUE_MISSING];
	struct route *routes = NULL;
	bool repaired = false;
	size_t count;
	int r;

	p->checked_ms = now_ms;
	p->check_ms = now_ms + CHECK_FAIL_MS;
	r = kernel_repair(p->kernel, &repaired);
	if (r < 0) {
		kernel_trouble(p, "cannot put the device right", r, now_ms);
		return;
	}
	if (repaired) {
		glue_counters(p->glue)[GLUE_REPAIRS]++;
		log_warning("%s was down, gone, renamed or without its address: put right", p->conf.interface);
	}
	r = kernel_dump(p->kernel, &routes, &count);
	if (r < 0) {
		kernel_trouble(p, "cannot read the routing table", r, now_ms);
		return;
	}
	glue_loaded(p->glue, routes, count);
	free(routes);
	p->check_ms = p->periodic_ms;
	missing = glue_counters(p->glue)[GLUE_MISSING] - missing;
	if (missing > 0)
		log_warning("%llu routes out of %s had gone: putting them in again", (unsigned long long)missing,
			    p->conf.interface);
}

static void periodic(struct program *p, uint64_t now_ms)
{
	p->periodic_ms = now_ms + p->conf.audit;
	p->check_ms = now_ms;
	glue_retry(p->glue, NULL);
	agents_refresh(p->agents);
}

/* ---- changing the kernel ---- */

static void replan(struct program *p)
{
	struct route_op *ops;
	ssize_t n = glue_plan(p->glue, &ops);

	if (n < 0)
		log_error("out of memory for a plan; trying again");
	refill(&p->plan, ops, n);
}

/* For whoever watches; what is beyond NOTICES a second shows in `turnoutctl show routes` only. */
static void notify(struct program *p, uint64_t now_ms, const char *severity, const char *kind, const char *subject,
		   const char *text)
{
	Turnout__Notice notice = TURNOUT__NOTICE__INIT;
	Turnout__Event event = TURNOUT__EVENT__INIT;
	uint32_t missed;

	if (!p->bus || !log_allowed(&p->notice_limit, now_ms, NOTICES, &missed))
		return;
	notice.severity = (char *)(uintptr_t)severity;
	notice.kind = (char *)(uintptr_t)kind;
	notice.subject = (char *)(uintptr_t)subject;
	notice.text = (char *)(uintptr_t)text;
	event.what_case = TURNOUT__EVENT__WHAT_NOTICE;
	event.notice = &notice;
	bus_publish(p->bus, &event);
}

static void notify_route(struct program *p, const struct route_op *op, int error, bool news, uint64_t now_ms)
{
	char prefix[PREFIX_STRLEN];

	prefix_print(&op->route.prefix, prefix);
	if (error == 0)
		notify(p, now_ms, "info", "route", prefix, op->kind == ROUTE_ADD ? "installed" : "withdrawn");
	else if (news)
		notify(p, now_ms, "warning", "route", prefix,
		       error == EEXIST ? "conflict: somebody else's route to it is there; not announced"
				       : "the kernel refuses the route; not announced");
}

static void tell_refusal(struct program *p, const struct route_op *op, int error, uint64_t now_ms)
{
	char text[PREFIX_STRLEN];
	uint32_t missed;

	if (!log_allowed(&p->conflict_limit, now_ms, LINES, &missed))
		return;
	prefix_print(&op->route.prefix, text);
	if (error == EEXIST)
		log_warning(
			"%s: not announced: somebody else's route to it is there (ip route show %s); it is left alone",
			text, text);
	else
		log_warning("%s: not announced: the kernel refuses the route: %s", text, strerror(error));
}

static void tell_progress(struct program *p, uint64_t now_ms)
{
	const struct route_op *first = p->plan.ops;
	char text[PREFIX_STRLEN];
	uint32_t missed;

	if (pending(&p->plan) || !log_allowed(&p->change_limit, now_ms, LINES, &missed))
		return;
	log_info("%s%s%s: %zu routes in the kernel", prefix_print(&first->route.prefix, text),
		 first->kind == ROUTE_ADD ? " added" : " withdrawn", p->plan.count > 1 ? ", and more" : "",
		 view_count(glue_view(p->glue), VIEW_INSTALLED));
}

/* quiet: nothing changes for anybody. */
static void apply(struct program *p, const struct route_op *ops, size_t n, bool quiet, uint64_t now_ms)
{
	int errors[KERNEL_BATCH];
	int r = kernel_apply(p->kernel, ops, n, errors);

	p->batch_ms = now_ms + PACE_MS;
	if (r < 0) { /* who knows what was done: look, and plan anew */
		kernel_trouble(p, "cannot change the routing table", r, now_ms);
		refill(&p->plan, NULL, 0);
		refill(&p->heal, NULL, 0);
		want_check(p, now_ms);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		bool refused = glue_result(p->glue, &ops[i], errors[i]);

		if (refused)
			tell_refusal(p, &ops[i], errors[i], now_ms);
		if (!quiet)
			notify_route(p, &ops[i], errors[i], refused, now_ms);
		/* The device is not as it should be: the monitor may be yet to tell. */
		if (errors[i] == ENETDOWN || errors[i] == ENODEV)
			want_check(p, now_ms);
	}
}

static void plan_batch(struct program *p, uint64_t now_ms)
{
	size_t left = p->plan.count - p->plan.next, n = left < KERNEL_BATCH ? left : KERNEL_BATCH;

	p->plan.next += n;
	apply(p, &p->plan.ops[p->plan.next - n], n, false, now_ms);
	if (p->plan.count > 0)
		tell_progress(p, now_ms);
}

/* Only pairs that still change nothing: deleting what is there, adding what is not. */
static void heal_batch(struct program *p, uint64_t now_ms)
{
	struct route_op ops[HEAL_BATCH];
	size_t n = 0;

	while (pending(&p->heal) && n < HEAL_BATCH) {
		const struct route_op *pair = &p->heal.ops[p->heal.next];
		enum view_state state = view_state(glue_view(p->glue), &pair->route.prefix, NULL);

		p->heal.next += 2;
		if (state != (pair->kind == ROUTE_DELETE ? VIEW_INSTALLED : VIEW_ABSENT))
			continue;
		ops[n++] = pair[0];
		ops[n++] = pair[1];
	}
	if (n == 0)
		return;
	glue_counters(p->glue)[GLUE_FRR_HEALED] += n / 2;
	apply(p, ops, n, true, now_ms);
	if (!pending(&p->heal))
		want_check(p, now_ms); /* should half a pair have failed */
}

/* ---- looking at FRR ---- */

static void frr_silent(struct program *p, int error)
{
	glue_counters(p->glue)[GLUE_FRR_UNREACHABLE]++;
	if (!p->frr_deaf)
		log_warning("FRRouting cannot be asked what it has: %s/zebra.vty: %s%s", p->conf.frr, strerror(-error),
			    error == -EACCES ? "; give routed-glue the group frrvty" : "");
	p->frr_deaf = true;
}

/* A table asked for while the kernel's was changing says nothing. */
static void on_frr_table(void *ctx, const struct frr_table *table, int error)
{
	struct program *p = ctx;
	struct route_op *ops;
	bool again;
	ssize_t n;

	if (!table) {
		frr_silent(p, error);
		return;
	}
	p->frr_deaf = false;
	if (pending(&p->plan) || pending(&p->heal) || glue_dirty(p->glue))
		return;
	glue_counters(p->glue)[GLUE_FRR_AUDITS]++;
	n = frr_audit_compare(&p->frr_audit, glue_wanted(p->glue), glue_view(p->glue), p->conf.metric, table, &ops,
			      &again);
	if (again)
		p->frr_ms = earlier(p->frr_ms, daemon_now_ms() + FRR_AGAIN_MS);
	if (n > 0)
		log_warning("FRRouting has %zd routes wrong: putting them in, or taking them out, again", n / 2);
	refill(&p->heal, ops, n);
	sd_event_source_set_enabled(p->soon, SD_EVENT_ONESHOT);
}

static void look_at_frr(struct program *p, uint64_t now_ms)
{
	p->frr_ms = p->frr ? now_ms + p->conf.frr_audit : UINT64_MAX;
	if (p->frr)
		frr_ask(p->frr);
}

/* ---- what is due ---- */

static void tell_expired(struct program *p, uint64_t expired)
{
	for (size_t i = 0; i < p->conf.agents.count; i++) {
		if (!(expired >> i & 1))
			continue;
		log_warning("agent %s was silent for %u ms: withdrawing what it wanted", glue_config_agent(&p->conf, i),
			    p->conf.lease);
		notify(p, daemon_now_ms(), "warning", "agent", glue_config_agent(&p->conf, i),
		       "silent: what it wanted is withdrawn");
	}
}

static void tell_ended(const struct program *p, struct glue_ended ended)
{
	for (size_t i = 0; i < p->conf.agents.count; i++) {
		if (ended.back >> i & 1)
			log_info("agent %s is back with all that was held for it", glue_config_agent(&p->conf, i));
		if (ended.late >> i & 1)
			log_warning("agent %s was not back in time: withdrawing what it has not claimed again",
				    glue_config_agent(&p->conf, i));
	}
}

static void arm(struct program *p, uint64_t due_ms)
{
	if (due_ms == UINT64_MAX) {
		sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(p->timer, due_ms * 1000);
	sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static void work(struct program *p)
{
	uint64_t now_ms = daemon_now_ms(), expired, due_ms;

	if (now_ms >= p->periodic_ms)
		periodic(p, now_ms);
	if (now_ms >= p->check_ms)
		check_kernel(p, now_ms);
	due_ms = glue_step(p->glue, now_ms, &expired);
	tell_expired(p, expired);
	tell_ended(p, glue_ended(p->glue));
	if (glue_dirty(p->glue))
		replan(p);
	if (pending(&p->plan) && now_ms >= p->batch_ms)
		plan_batch(p, now_ms);
	else if (pending(&p->heal) && now_ms >= p->batch_ms)
		heal_batch(p, now_ms);
	if (pending(&p->plan) || pending(&p->heal) || glue_dirty(p->glue))
		due_ms = earlier(due_ms, p->batch_ms > now_ms ? p->batch_ms : now_ms + PACE_MS);
	if (now_ms >= p->frr_ms)
		look_at_frr(p, now_ms);
	arm(p, earlier(earlier(due_ms, p->frr_ms), earlier(p->check_ms, p->periodic_ms)));
}

static int on_soon(sd_event_source *source, void *ctx)
{
	(void)source;
	work(ctx);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)source;
	(void)usec;
	work(ctx);
	return 0;
}

static void on_heard(void *ctx)
{
	struct program *p = ctx;

	sd_event_source_set_enabled(p->soon, SD_EVENT_ONESHOT);
}

static void on_kernel_change(void *ctx)
{
	want_check(ctx, daemon_now_ms());
}

static void on_route_freed(void *ctx, const struct prefix *prefix)
{
	struct program *p = ctx;

	glue_retry(p->glue, prefix);
}

static int on_monitor(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	static const struct kernel_watch watch = {.check = on_kernel_change, .freed = on_route_freed};
	struct program *p = ctx;

	(void)source;
	(void)fd;
	(void)revents;
	kernel_monitor_read(p->kernel, &watch, p);
	sd_event_source_set_enabled(p->soon, SD_EVENT_ONESHOT);
	return 0;
}

/* ---- admin bus ---- */

static const char *on_request(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	struct program *p = ctx;

	p->admin.now_ms = daemon_now_ms();
	p->admin.dropped = kernel_dropped(p->kernel);
	p->admin.more_count = bus_server_counters(p->bus, p->bus_counters);
	return admin_answer(&p->admin, request, reply);
}

static void on_release(void *ctx, Turnout__Reply *reply)
{
	struct program *p = ctx;

	(void)reply;
	admin_release(&p->admin);
}

/* ---- start ---- */

static int bus_trouble(const struct program *p, int error, const char *name)
{
	char text[512];

	log_error("%s", bus_explain(error, p->options.run_dir, name, text, sizeof(text)));
	switch (error < 0 ? -error : error) {
	case EWOULDBLOCK:
		return EXITCODE_BUSY;
	case EACCES:
	case EPERM:
		return EXITCODE_PRIVILEGE;
	default:
		return EXITCODE_FAILURE;
	}
}

static int failure(const char *what, int error)
{
	log_error("%s: %s", what, strerror(-error));
	return EXITCODE_FAILURE;
}

static int make_glue(struct program *p)
{
	struct glue_conf conf = {
		.agents = p->conf.agents.count,
		.lease_ms = p->conf.lease,
		.metric = p->conf.metric,
		.limits = {.prefixes = p->conf.prefixes,
			   .hold_ms = p->conf.hold,
			   .flap_limit = p->conf.flap_limit,
			   .flap_refill_ms = p->conf.flap_refill},
	};

	p->glue = glue_new(&conf);
	return p->glue ? EXITCODE_OK : failure("cannot start", -ENOMEM);
}

static int open_kernel(struct program *p)
{
	struct kernel_conf conf = {
		.interface = p->conf.interface, .address = p->conf.address, .protocol = (uint8_t)p->conf.protocol};

	return kernel_open(&p->kernel, &conf);
}

static int open_loop(struct program *p)
{
	int r = sd_event_default(&p->loop);

	if (r >= 0)
		r = daemon_signals(p->loop, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_defer(p->loop, &p->soon, on_soon, p);
	if (r >= 0)
		r = sd_event_add_time(p->loop, &p->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_timer, p);
	if (r >= 0)
		r = sd_event_add_io(p->loop, &p->monitor, kernel_monitor_fd(p->kernel), EPOLLIN, on_monitor, p);
	return r < 0 ? failure("cannot start the event loop", r) : EXITCODE_OK;
}

static int open_bus(struct program *p)
{
	const char *run_dir = p->options.run_dir, *failed;
	int r;

	p->admin.glue = p->glue;
	p->admin.conf = &p->conf;
	p->admin.started_ms = daemon_now_ms();
	p->admin.more = p->bus_counters;
	r = bus_server_new(&p->bus, p->loop, run_dir, p->options.name, on_request, on_release, p);
	if (r < 0)
		return bus_trouble(p, r, p->options.name);
	r = agents_open(&p->agents, p->loop, run_dir, &p->conf, p->glue, on_heard, p, &failed);
	return r < 0 ? bus_trouble(p, r, failed) : EXITCODE_OK;
}

static int open_frr(struct program *p)
{
	int r;

	p->frr_ms = UINT64_MAX;
	if (strcmp(p->conf.frr, GLUE_NO_FRR) == 0 || p->conf.frr_audit == 0)
		return EXITCODE_OK;
	p->frr_ms = daemon_now_ms() + p->conf.frr_audit;
	r = frr_open(&p->frr, p->loop, p->conf.frr, p->conf.interface, on_frr_table, p);
	return r < 0 ? failure("cannot look at FRRouting", r) : EXITCODE_OK;
}

/* Everything up to the loop, in the order that rights and threads ask for. */
static int start(struct program *p)
{
	const int keep[] = {CAP_NET_ADMIN};
	int status = EXITCODE_OK;

	p->lock = bus_lock(p->options.run_dir, p->options.name);
	if (p->lock < 0)
		return bus_trouble(p, errno, p->options.name);
	if (strcmp(p->conf.frr, GLUE_NO_FRR) != 0) {
		frr_join_group(); /* it may look at more */
		status = frr_present(p->conf.frr);
	}
	if (status == EXITCODE_OK)
		status = daemon_drop_capabilities(keep, 1);
	if (status == EXITCODE_OK)
		status = make_glue(p);
	if (status == EXITCODE_OK)
		status = open_kernel(p);
	if (status == EXITCODE_OK)
		status = open_loop(p);
	if (status == EXITCODE_OK)
		status = open_frr(p);
	return status == EXITCODE_OK ? open_bus(p) : status;
}

static void stop(struct program *p)
{
	agents_close(p->agents);
	bus_server_free(p->bus);
	frr_close(p->frr);
	frr_audit_free(&p->frr_audit);
	p->soon = sd_event_source_disable_unref(p->soon);
	p->timer = sd_event_source_disable_unref(p->timer);
	p->monitor = sd_event_source_disable_unref(p->monitor);
	kernel_close(p->kernel);
	sd_event_unref(p->loop);
	refill(&p->plan, NULL, 0);
	refill(&p->heal, NULL, 0);
	glue_free(p->glue);
	if (p->lock >= 0)
		close(p->lock);
	glue_config_free(&p->conf);
}

static int serve(struct program *p)
{
	int r;

	log_info("announcing through %s what %s wants%s", p->conf.interface, glue_config_agent(&p->conf, 0),
		 p->conf.agents.count > 1 ? ", and others" : "");
	daemon_ready(p->loop, "serving");
	r = sd_event_loop(p->loop);
	daemon_stopping();
	return r < 0 ? failure("event loop", r) : r;
}

int main(int argc, char **argv)
{
	static const struct daemon_usage usage = {
		.program = "routed-glue",
		.summary = "announces virtual addresses through FRRouting",
		.example = "  routed-glue --config /etc/turnout/routed-glue.yaml\n",
	};
	struct program p = {.lock = -1};
	int status;

	if (!daemon_parse(&p.options, argc, argv, &usage, &status))
		return status;
	if (!glue_config_load(p.options.config, &p.conf))
		return EXITCODE_CONFIG;
	if (p.options.check) {
		printf("%s: good\n", p.options.config);
		glue_config_free(&p.conf);
		return EXITCODE_OK;
	}
	status = start(&p);
	if (status == EXITCODE_OK)
		status = serve(&p);
	stop(&p);
	return status;
}
