/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: asking the daemons all they can tell.
 *
 * Unlike ask_io.c it does not complain of a daemon that is silent: that is a
 * fact, and a finding.  Must not know what facts mean.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/doctor.h"

/* ---- one daemon ---- */

/* All pages.  0, or a negative errno; what came until then stays. */
static int collect(const struct ctl *c, struct fact_daemon *d, enum fact_listing listing,
		   Turnout__Request__WhatCase what)
{
	struct fact_pages *p = &d->listings[listing];
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;

	request.what_case = what;
	request.show_agents = &empty; /* all of them are Empty */
	do {
		Turnout__Reply *reply, **grown = realloc(p->pages, (p->count + 1) * sizeof(*grown));
		int r;

		if (!grown)
			return -ENOMEM;
		p->pages = grown;
		request.id++;
		r = bus_call(d->dir, d->name, &request, c->timeout_ms, &reply);
		if (r < 0)
			return r;
		p->pages[p->count++] = reply;
		if (*reply->error || reply->next == request.cursor)
			break;
		request.cursor = reply->next;
	} while (request.cursor != 0 && p->count < c->max_pages);
	return 0;
}

static void guess_program(struct fact_daemon *d)
{
	static const char *const programs[] = {"fad", "smd", "routed-glue"};

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (strncmp(d->name, programs[i], strlen(programs[i])) == 0)
			snprintf(d->program, sizeof(d->program), "%s", programs[i]);
}

static int ask_version(struct fact_daemon *d, int timeout_ms)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;
	Turnout__Reply *reply;
	int r;

	request.what_case = TURNOUT__REQUEST__WHAT_VERSION;
	request.version = &empty;
	r = bus_call(d->dir, d->name, &request, timeout_ms, &reply);
	if (r < 0)
		return r;
	if (reply->version) {
		snprintf(d->program, sizeof(d->program), "%s", reply->version->program);
		snprintf(d->version, sizeof(d->version), "%s", reply->version->version);
	}
	turnout__reply__free_unpacked(reply, NULL);
	return 0;
}

static void ask(const struct ctl *c, struct fact_daemon *d)
{
	static const struct {
		enum fact_listing listing;
		Turnout__Request__WhatCase what;
	} all[FACT_LISTINGS] = {
		{FACT_COUNTERS, TURNOUT__REQUEST__WHAT_SHOW_COUNTERS},
		{FACT_AGENTS, TURNOUT__REQUEST__WHAT_SHOW_AGENTS},
		{FACT_MANAGERS, TURNOUT__REQUEST__WHAT_SHOW_MANAGERS},
		{FACT_SERVICES, TURNOUT__REQUEST__WHAT_SHOW_SERVICES},
		{FACT_SERVERS, TURNOUT__REQUEST__WHAT_SHOW_SERVERS},
		{FACT_INTERFACES, TURNOUT__REQUEST__WHAT_SHOW_INTERFACES},
		{FACT_ROUTES, TURNOUT__REQUEST__WHAT_SHOW_ROUTES},
		{FACT_SETTINGS, TURNOUT__REQUEST__WHAT_SHOW_SETTINGS},
		{FACT_ADVERTISED, TURNOUT__REQUEST__WHAT_ADVERTISED},
	};
	int r;

	guess_program(d);
	r = ask_version(d, c->timeout_ms);
	for (size_t i = 0; r == 0 && i < FACT_LISTINGS; i++)
		r = collect(c, d, all[i].listing, all[i].what);
	d->life = r == 0                        ? LIFE_ALIVE
		  : r == -ENOENT                ? LIFE_DEAD
		  : r == -EACCES || r == -EPERM ? LIFE_DENIED
						: LIFE_HUNG;
}

void facts_count_again(struct ctl *c, struct fact_daemon *d)
{
	struct fact_pages before = d->listings[FACT_COUNTERS];

	d->listings[FACT_COUNTERS] = (struct fact_pages){0};
	if (collect(c, d, FACT_COUNTERS, TURNOUT__REQUEST__WHAT_SHOW_COUNTERS) < 0)
		d->life = LIFE_HUNG;
	for (size_t i = 0; i < before.count; i++)
		turnout__reply__free_unpacked(before.pages[i], NULL);
	free(before.pages);
}

/* ---- all of them ---- */

static bool add(struct ctl *c, struct facts *f, const char *dir, const char *name)
{
	struct fact_daemon *grown = realloc(f->daemons, (f->daemon_count + 1) * sizeof(*grown)), *d;

	if (!grown)
		return false;
	f->daemons = grown;
	d = &f->daemons[f->daemon_count++];
	*d = (struct fact_daemon){.dir = strdup(dir), .name = strdup(name)};
	if (c->run_dir_count == 1)
		d->label = strdup(name);
	else if (asprintf(&d->label, "%s/%s", dir, name) < 0)
		d->label = NULL;
	if (!d->dir || !d->name || !d->label)
		return false;
	ask(c, d);
	return true;
}

static bool directory(struct ctl *c, struct facts *f, const char *dir)
{
	char **names, text[512];
	size_t count;
	int r = bus_list(dir, &names, &count);
	bool ok = true;

	if (r == -ENOENT)
		return true;
	if (r < 0) {
		ctl_error(c, EXITCODE_PRIVILEGE, "%s", bus_explain(r, dir, "its daemons", text, sizeof(text)));
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (!c->from || strcmp(c->from, names[i]) == 0)
			ok = ok && add(c, f, dir, names[i]);
		free(names[i]);
	}
	free(names);
	if (!ok)
		ctl_error(c, EXITCODE_FAILURE, "out of memory");
	return ok;
}

bool facts_collect_daemons(struct ctl *c, struct facts *f)
{
	for (size_t i = 0; i < c->run_dir_count; i++) {
		size_t len = strlen(f->run_dirs);

		snprintf(f->run_dirs + len, sizeof(f->run_dirs) - len, "%s%s", len > 0 ? " or " : "", c->run_dirs[i]);
		if (!directory(c, f, c->run_dirs[i]))
			return false;
	}
	return true;
}
