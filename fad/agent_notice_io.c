/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telling whoever watches (turnoutctl watch) what happens here, by notices on
 * the admin bus.  Nobody need listen; nothing depends on it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fad/agent.h"

void agent_notice(struct agent *a, const char *severity, const char *kind, const char *subject, const char *format, ...)
{
	Turnout__Notice notice = TURNOUT__NOTICE__INIT;
	Turnout__Event event = TURNOUT__EVENT__INIT;
	char text[512];
	va_list ap;

	if (a->bus == NULL)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	notice.severity = (char *)(uintptr_t)severity;
	notice.kind = (char *)(uintptr_t)kind;
	notice.subject = (char *)(uintptr_t)subject;
	notice.text = text;
	event.what_case = TURNOUT__EVENT__WHAT_NOTICE;
	event.notice = &notice;
	bus_publish(a->bus, &event);
}

/* "tcp 203.0.113.10:80": what a wildcard is mostly about; a source only if it names one. */
static void describe(const struct wildcard *w, char *text, size_t size)
{
	const struct wire_wildcard *m = &w->match;
	struct addr src = addr_make(m->family, m->src), dst = addr_make(m->family, m->dst);
	char proto[8], from[ENDPOINT_STRLEN], to[ENDPOINT_STRLEN];

	snprintf(text, size, "%s %s > %s", proto_name(m->proto, proto),
		 addr_is_zero(&src) && m->sport == 0 ? "any" : endpoint_print(&src, m->sport, from),
		 addr_is_zero(&dst) && m->dport == 0 ? "any" : endpoint_print(&dst, m->dport, to));
}

void agent_engine_news(void *ctx, const struct engine_news *news)
{
	static const struct {
		const char *severity, *kind, *text;
	} words[] = {
		[ENGINE_NEWS_ADDED] = {"info", "wildcard", "added"},
		[ENGINE_NEWS_DELETED] = {"info", "wildcard", "deleted"},
		[ENGINE_NEWS_EXPIRED] = {"warning", "wildcard", "expired, its manager did not say it again"},
		[ENGINE_NEWS_DENIED] = {"warning", "denied", "denied"},
		[ENGINE_NEWS_SILENT] = {"warning", "manager", "silent"},
		[ENGINE_NEWS_HEARD] = {"info", "manager", "heard again"},
		[ENGINE_NEWS_UNANSWERED] = {"warning", "wildcard", "its manager does not answer, on-silence"},
		[ENGINE_NEWS_ANSWERED] = {"info", "wildcard", "its manager answers again"},
	};
	char buf[WIRE_MAX_NAME + 1], subject[2 * ENDPOINT_STRLEN + 16];
	const char *name = manager_name(news->manager, buf);
	struct agent *a = ctx;

	if (news->wildcard == NULL) {
		agent_notice(a, words[news->what].severity, words[news->what].kind, name, "%s%s%s",
			     words[news->what].text, news->text != NULL ? ": " : "",
			     news->text != NULL ? news->text : "");
		return;
	}
	describe(news->wildcard, subject, sizeof(subject));
	agent_notice(a, words[news->what].severity, words[news->what].kind, subject, "%s%s%s; of manager %s",
		     words[news->what].text, news->what == ENGINE_NEWS_UNANSWERED ? ": " : "",
		     news->what == ENGINE_NEWS_UNANSWERED ? news->text : "", name);
}
