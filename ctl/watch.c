/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl watch: events as rows, and rows as lines, see watch.h.
 */
#include "ctl/watch.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"

static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void fill(struct watch_row *w, const char *severity, const char *kind, const char *subject, const char *text)
{
	turnout__watch_row__init(&w->row);
	w->row.severity = borrow(severity);
	w->row.kind = borrow(kind);
	w->row.subject = borrow(subject);
	w->row.text = borrow(text);
}

static size_t list(struct watch_row *rows, size_t n, char *const *prefixes, size_t count, const char *text)
{
	for (size_t i = 0; i < count && n < WATCH_ROWS - 1; i++)
		fill(&rows[n++], "info", "advertise", prefixes[i], text);
	return n;
}

static size_t advertise(const Turnout__Advertise *a, struct watch_row *rows)
{
	size_t n = list(rows, 0, a->add, a->n_add, "wanted in routing");

	n = list(rows, n, a->remove, a->n_remove, "no longer wanted in routing");
	if (n < a->n_add + a->n_remove) {
		snprintf(rows[n].text, sizeof(rows[n].text), "and %zu prefixes more", a->n_add + a->n_remove - n);
		fill(&rows[n], "info", "advertise", "", rows[n].text);
		n++;
	}
	return n;
}

static size_t stopping(const Turnout__Stopping *s, struct watch_row *row)
{
	if (s->hold_ms)
		snprintf(row->text, sizeof(row->text), "stops as planned; its routes are held for %llu ms",
			 (unsigned long long)s->hold_ms);
	else
		snprintf(row->text, sizeof(row->text), "stops as planned; its routes are withdrawn");
	fill(row, "info", "agent", "", row->text);
	return 1;
}

size_t watch_event(const Turnout__Event *event, struct watch_row rows[WATCH_ROWS])
{
	switch (event->what_case) {
	case TURNOUT__EVENT__WHAT_NOTICE:
		fill(&rows[0], event->notice->severity, event->notice->kind, event->notice->subject,
		     event->notice->text);
		return 1;
	case TURNOUT__EVENT__WHAT_ADVERTISE:
		return advertise(event->advertise, rows);
	case TURNOUT__EVENT__WHAT_STOPPING:
		return stopping(event->stopping, rows);
	default:
		return 0;
	}
}

uint64_t watch_missed(struct watch_sequence *s, uint64_t seq)
{
	uint64_t missed = s->known && seq > s->last ? seq - s->last - 1 : 0;

	s->known = true;
	s->last = seq;
	return missed;
}

/* "2026-01-31T10:20:30.123+0000": from the hours to the milliseconds. */
static void print_time(FILE *out, const char *stamp)
{
	const char *t = strchr(stamp, 'T');

	fprintf(out, "%.12s", t && strlen(t) > 12 ? t + 1 : stamp);
}

void watch_print(FILE *out, const char *daemon, const Turnout__WatchRow *row)
{
	const char *const words[] = {daemon, row->severity, row->kind, row->subject, row->text};
	static const int widths[] = {11, 7, 9, 20, 0};

	print_time(out, row->time);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		char *clean = text_safe(*words[i] ? words[i] : "-");

		fprintf(out, "  %-*s", widths[i], clean ? clean : "?");
		free(clean);
	}
	fputc('\n', out);
}
