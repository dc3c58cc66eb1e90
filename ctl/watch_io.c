/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl watch: follows the events of every daemon of the run directories,
 * those that are started later included, and says which ones end.
 *
 * Must not know what events mean.
 */
#include "ctl/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "ctl/capture.h"
#include "ctl/render.h"
#include "lib/daemon.h"

#define LOOK_US     200000 /* who has come, who has gone */
#define SETTLE_US   300000 /* until subscriptions stand */
#define MAX_DAEMONS 256

struct watch;

struct watched {
	struct watch *watch;
	char *dir, *name, *label;
	struct bus_client *client;
	struct watch_sequence sequence;
	bool alive;
};

struct watch {
	struct ctl *ctl;
	sd_event *loop;
	struct watched *daemons[MAX_DAEMONS];
	size_t count;
	uint64_t wanted, shown; /* rows; wanted 0: no end */
	uint64_t duration_ms;   /* 0: no end */
	bool settled;
	enum exitcode status;
};

/* ---- printing ---- */

static void stamp(char *text, size_t size)
{
	struct timespec now;
	struct tm local;
	char zone[8];
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	strftime(zone, sizeof(zone), "%z", &local);
	len = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &local);
	snprintf(text + len, size - len, ".%03ld%s", now.tv_nsec / 1000000, zone);
}

static void show(struct watched *d, const Turnout__WatchRow *row)
{
	struct watch *w = d->watch;
	Turnout__WatchRow stamped = *row;
	char time[64];

	if (w->wanted && w->shown >= w->wanted)
		return;
	stamp(time, sizeof(time));
	stamped.time = time;
	if (w->ctl->json)
		render_line(w->ctl->out, d->label, &stamped.base);
	else
		watch_print(w->ctl->out, d->label, &stamped);
	/* A reader that went away ends this, and is no failure. */
	if (fflush(w->ctl->out) != 0)
		sd_event_exit(w->loop, 0);
	w->shown++;
	if (w->shown == w->wanted)
		sd_event_exit(w->loop, 0);
}

static void say(struct watched *d, const char *severity, const char *kind, const char *text)
{
	Turnout__WatchRow row = TURNOUT__WATCH_ROW__INIT;

	row.severity = (char *)(uintptr_t)severity;
	row.kind = (char *)(uintptr_t)kind;
	row.subject = d->name;
	row.text = (char *)(uintptr_t)text;
	show(d, &row);
}

static void on_event(void *ctx, const Turnout__Event *event)
{
	struct watch_row rows[WATCH_ROWS];
	struct watched *d = ctx;
	uint64_t missed = watch_missed(&d->sequence, event->seq);
	size_t n = watch_event(event, rows);
	char text[WATCH_TEXT];

	if (missed > 0) {
		snprintf(text, sizeof(text), "%llu events missed; turnoutctl show says how things stand",
			 (unsigned long long)missed);
		say(d, "warning", "missed", text);
	}
	for (size_t i = 0; i < n; i++)
		show(d, &rows[i].row);
}

/* ---- whom to follow ---- */

static struct watched *find(const struct watch *w, const char *dir, const char *name)
{
	for (size_t i = 0; i < w->count; i++)
		if (strcmp(w->daemons[i]->dir, dir) == 0 && strcmp(w->daemons[i]->name, name) == 0)
			return w->daemons[i];
	return NULL;
}

static void drop(struct watched *d)
{
	bus_client_free(d->client);
	free(d->dir);
	free(d->name);
	free(d->label);
	free(d);
}

static int follow(struct watch *w, const char *dir, const char *name)
{
	struct watched *d = w->count < MAX_DAEMONS ? calloc(1, sizeof(*d)) : NULL;
	int r;

	if (!d)
		return -ENOMEM;
	d->watch = w;
	d->dir = strdup(dir);
	d->name = strdup(name);
	if (w->ctl->run_dir_count > 1 && asprintf(&d->label, "%s/%s", dir, name) < 0)
		d->label = NULL;
	else if (w->ctl->run_dir_count <= 1)
		d->label = strdup(name);
	r = d->dir && d->name && d->label ? bus_client_new(&d->client, w->loop, dir, name, NULL, on_event, d) : -ENOMEM;
	if (r < 0) {
		drop(d);
		return r;
	}
	d->alive = true;
	w->daemons[w->count++] = d;
	if (w->settled)
		say(d, "info", "daemon", "runs now");
	return 0;
}

static void look_in(struct watch *w, const char *dir)
{
	char **names = NULL;
	size_t count = 0;

	if (bus_list(dir, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		bool wanted = !w->ctl->from || strcmp(w->ctl->from, names[i]) == 0;

		if (wanted && bus_alive(dir, names[i]) && !find(w, dir, names[i]))
			follow(w, dir, names[i]);
		free(names[i]);
	}
	free(names);
}

static void look(struct watch *w)
{
	for (size_t i = 0; i < w->count; i++) {
		struct watched *d = w->daemons[i];
		bool alive = bus_alive(d->dir, d->name);

		if (alive != d->alive) {
			say(d, alive ? "info" : "error", "daemon",
			    alive ? "runs again" : "has ended; watching on for it to come back");
			d->sequence.known = false;
		}
		d->alive = alive;
	}
	for (size_t i = 0; i < w->ctl->run_dir_count; i++)
		look_in(w, w->ctl->run_dirs[i]);
}

static int on_look(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)usec;
	look(ctx);
	return sd_event_source_set_time_relative(source, LOOK_US);
}

static int on_settled(sd_event_source *source, uint64_t usec, void *ctx)
{
	struct watch *w = ctx;

	(void)source;
	(void)usec;
	w->settled = true;
	fprintf(w->ctl->err, "watching");
	for (size_t i = 0; i < w->count; i++)
		fprintf(w->ctl->err, "%s %s", i > 0 ? "," : "", w->daemons[i]->label);
	fprintf(w->ctl->err, "; end with ^C\n");
	fflush(w->ctl->err);
	return 0;
}

static int on_over(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)usec;
	(void)ctx;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

/* ---- running ---- */

static bool options(struct watch *w)
{
	const struct ctl_capture *o = &w->ctl->capture;

	if (o->count) {
		char *end;
		unsigned long long n = strtoull(o->count, &end, 10);

		if (*o->count < '1' || *o->count > '9' || *end || n > UINT32_MAX) {
			ctl_error(w->ctl, EXITCODE_USAGE, "--count '%s': a number of events from 1 on is needed",
				  o->count);
			return false;
		}
		w->wanted = n;
	}
	if (o->duration) {
		w->duration_ms = capture_duration(o->duration);
		if (w->duration_ms == 0) {
			ctl_error(w->ctl, EXITCODE_USAGE,
				  "--for '%s': a duration such as 500ms, 10s, 5m or 1h is needed", o->duration);
			return false;
		}
	}
	return true;
}

static int start(struct watch *w)
{
	int r = sd_event_new(&w->loop);

	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(w->loop, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_time_relative(w->loop, NULL, CLOCK_MONOTONIC, SETTLE_US, 0, on_settled, w);
	if (r >= 0) {
		sd_event_source *timer = NULL;

		r = sd_event_add_time_relative(w->loop, &timer, CLOCK_MONOTONIC, LOOK_US, 0, on_look, w);
		if (r >= 0)
			r = sd_event_source_set_enabled(timer, SD_EVENT_ON);
		if (timer)
			sd_event_source_set_floating(timer, true);
		sd_event_source_unref(timer);
	}
	if (r >= 0 && w->duration_ms)
		r = sd_event_add_time_relative(w->loop, NULL, CLOCK_MONOTONIC, w->duration_ms * 1000, 0, on_over, w);
	return r;
}

/* Somebody must be there at first, or a slip in --run-dir would go unnoticed. */
static enum exitcode nobody(struct watch *w)
{
	return ctl_error(w->ctl, EXITCODE_UNREACHABLE, "no daemon runs in %s%s%s%s; see --run-dir", w->ctl->run_dirs[0],
			 w->ctl->run_dir_count > 1 ? " or the others" : "", w->ctl->from ? " by the name " : "",
			 w->ctl->from ? w->ctl->from : "");
}

static enum exitcode run(struct watch *w)
{
	int r;

	if (w->ctl->argc > 1)
		return ctl_error(w->ctl, EXITCODE_USAGE, "'%s' is one word too many: watch takes none",
				 w->ctl->argv[1]);
	if (!options(w))
		return EXITCODE_USAGE;
	r = start(w);
	if (r >= 0) {
		look(w);
		if (w->count == 0)
			return nobody(w);
		r = sd_event_loop(w->loop);
	}
	return r < 0 ? ctl_error(w->ctl, EXITCODE_FAILURE, "watch: %s", strerror(-r)) : EXITCODE_OK;
}

enum exitcode watch_run(struct ctl *c)
{
	struct watch w = {.ctl = c};
	enum exitcode status;
	sigset_t mask, old;

	/* Read by the loop; blocked in the threads that ZeroMQ starts, too. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &mask, &old);
	status = run(&w);
	for (size_t i = 0; i < w.count; i++)
		drop(w.daemons[i]);
	sd_event_unref(w.loop);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return status;
}

void watch_details(FILE *out)
{
	fprintf(out, "\nPrints what happens, a line each with the time, until ^C: servers and services that go up,\n"
		     "down or out, agents and managers that come and go, wildcards that are added, expire or are\n"
		     "denied, prefixes and routes, interfaces, daemons that end. Daemons started later are\n"
		     "followed too. Events that were missed are counted in a line of their own.\n"
		     "With --json: one object a line.\n"
		     "\nOf watch:\n"
		     "  --count N   end after so many events\n"
		     "  --for TIME  end after 500ms, 10s, 5m, 1h\n");
}
