/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: findings as a list, reading facts, and the order of checks.
 *
 * Pure; must not know what any check is about.
 */
#include "ctl/doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- findings ---- */

const char *severity_name(enum severity s)
{
	static const char *const names[SEVERITIES] = {"error", "warning", "advice", "unchecked"};

	return names[s];
}

struct finding *finding_add(struct findings *f, enum severity s, const char *check, const struct fact_daemon *d,
			    const char *subject)
{
	struct finding *x;

	if (f->count == f->room) {
		size_t room = f->room ? f->room * 2 : 32;
		struct finding *grown = realloc(f->list, room * sizeof(*grown));

		if (!grown) {
			f->no_memory = true;
			return NULL;
		}
		f->list = grown;
		f->room = room;
	}
	x = &f->list[f->count++];
	*x = (struct finding){
		.severity = s, .check = check, .daemon = strdup(d ? d->label : ""), .subject = strdup(subject)};
	f->counts[s]++;
	return x;
}

static char *print(const char *format, va_list args)
{
	char *text;

	return vasprintf(&text, format, args) < 0 ? NULL : text;
}

void finding_text(struct finding *f, const char *format, ...)
{
	va_list args;

	if (!f)
		return;
	va_start(args, format);
	free(f->text);
	f->text = print(format, args);
	va_end(args);
}

void finding_fix(struct finding *f, const char *format, ...)
{
	va_list args;

	if (!f)
		return;
	va_start(args, format);
	free(f->fix);
	f->fix = print(format, args);
	va_end(args);
}

void findings_free(struct findings *f)
{
	for (size_t i = 0; i < f->count; i++) {
		free(f->list[i].daemon);
		free(f->list[i].subject);
		free(f->list[i].text);
		free(f->list[i].fix);
	}
	free(f->list);
	*f = (struct findings){0};
}

/* ---- facts ---- */

const char *fact_setting(const struct fact_daemon *d, const char *name)
{
	FACT_EACH(Turnout__SettingRow, row, d, FACT_SETTINGS, settings)
	if (strcmp(row->name, name) == 0)
		return row->value;
	return "";
}

uint64_t fact_counter(const struct fact_daemon *d, const char *group, const char *name)
{
	FACT_EACH(Turnout__CounterRow, row, d, FACT_COUNTERS, counters)
	if (strcmp(row->group, group) == 0 && strcmp(row->name, name) == 0)
		return row->value;
	return 0;
}

const struct fact_interface *fact_interface(const struct facts *f, const char *name)
{
	for (size_t i = 0; i < f->host.interface_count; i++)
		if (strcmp(f->host.interfaces[i].name, name) == 0)
			return &f->host.interfaces[i];
	return NULL;
}

bool fact_is(const struct fact_daemon *d, const char *program)
{
	return strcmp(d->program, program) == 0;
}

size_t fact_advertised(const struct fact_daemon *d, bool v6)
{
	const struct fact_pages *all = &d->listings[FACT_ADVERTISED];
	size_t n = 0;

	for (size_t i = 0; i < all->count; i++) {
		const Turnout__Advertised *a = all->pages[i]->advertised;

		for (size_t k = 0; a && k < a->n_prefixes; k++)
			n += (strchr(a->prefixes[k], ':') != NULL) == v6;
	}
	return n;
}

/* ---- all checks ---- */

void doctor_check(const struct facts *facts, struct findings *f)
{
	void (*const checks[])(const struct facts *, struct findings *) = {
		doctor_check_daemons,  doctor_check_host, doctor_check_around,
		doctor_check_firewall, doctor_check_frr,  doctor_check_peers,
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](facts, f);
}
