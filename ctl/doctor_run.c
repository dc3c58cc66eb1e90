/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: the verb.  Collects, checks, prints.
 *
 * Must not know any check.
 */
#include <stdlib.h>

#include "ctl/capture.h"
#include "ctl/doctor.h"
#include "ctl/render.h"
#include "ctl/text.h"

static void print_safe(FILE *out, const char *before, const char *text)
{
	char *safe = text_safe(text ? text : "");

	fprintf(out, "%s%s\n", before, safe ? safe : "out of memory");
	free(safe);
}

static void print_words(struct ctl *c, const struct findings *f)
{
	for (int s = 0; s < SEVERITIES; s++)
		for (size_t i = 0; i < f->count; i++) {
			const struct finding *x = &f->list[i];

			if ((int)x->severity != s)
				continue;
			fprintf(c->out, "%-9s %s: ", severity_name(x->severity), *x->daemon ? x->daemon : x->check);
			print_safe(c->out, "", x->text);
			if (x->fix)
				print_safe(c->out, "          -> ", x->fix);
		}
	fprintf(c->out,
		"%s%zu error%s, %zu warning%s, %zu advice; %zu checks found nothing wrong, %zu could not be made\n",
		f->count > 0 ? "\n" : "", f->counts[SEVERITY_ERROR], f->counts[SEVERITY_ERROR] == 1 ? "" : "s",
		f->counts[SEVERITY_WARNING], f->counts[SEVERITY_WARNING] == 1 ? "" : "s", f->counts[SEVERITY_ADVICE],
		f->good, f->counts[SEVERITY_UNCHECKED]);
}

static char *or_empty(char *text)
{
	return text ? text : (char *)(uintptr_t) "";
}

static bool print_rows(struct ctl *c, const struct findings *f)
{
	struct render *r = render_new(c->out, true, "findings", &turnout__finding_row__descriptor);
	bool ok = r != NULL;

	for (size_t i = 0; ok && i < f->count; i++) {
		Turnout__FindingRow row = TURNOUT__FINDING_ROW__INIT;

		row.severity = (char *)(uintptr_t)severity_name(f->list[i].severity);
		row.check = (char *)(uintptr_t)f->list[i].check;
		row.subject = or_empty(f->list[i].subject);
		row.text = or_empty(f->list[i].text);
		row.fix = or_empty(f->list[i].fix);
		ok = render_row(r, or_empty(f->list[i].daemon), &row.base);
	}
	if (ok)
		return render_end(r, "");
	render_cancel(r);
	return false;
}

enum exitcode doctor_run(struct ctl *c)
{
	struct facts facts = {0};
	struct findings f = {0};
	enum exitcode status = EXITCODE_PRIVILEGE;

	if (c->argc > 1)
		return ctl_error(c, EXITCODE_USAGE, "'%s' is one word too many: doctor takes none", c->argv[1]);
	if (c->capture.duration && capture_duration(c->capture.duration) == 0)
		return ctl_error(c, EXITCODE_USAGE, "--for '%s': a duration such as 500ms, 10s or 1m is needed",
				 c->capture.duration);
	if (facts_collect_daemons(c, &facts)) {
		facts_collect(c, &facts);
		doctor_check(&facts, &f);
		status = f.counts[SEVERITY_ERROR] + f.counts[SEVERITY_WARNING] > 0 ? EXITCODE_FAILURE : EXITCODE_OK;
		if (f.no_memory || (c->json && !print_rows(c, &f)))
			status = ctl_error(c, EXITCODE_FAILURE, "out of memory, or the output cannot be written");
		else if (!c->json)
			print_words(c, &f);
	}
	findings_free(&f);
	facts_free(&facts);
	return status;
}

void doctor_details(FILE *out)
{
	fprintf(out, "\nLooks at the daemons, the kernel's settings, the firewall, FRRouting, and the neighbours\n"
		     "that daemons should hear; says what is wrong and what to do. Run it on the machine (or in\n"
		     "the network namespace) of the daemons, as root: what it may not look at it calls unchecked.\n"
		     "Where a daemon misses its peers it also listens for their messages, for 11 s at most, or as\n"
		     "long as --for TIME (500ms, 10s, 1m) says.\n"
		     "\nSeverities:\n"
		     "  error      something does not work\n"
		     "  warning    something may not work, or soon will not\n"
		     "  advice     something could be better, or went wrong in the past\n"
		     "  unchecked  could not be looked at\n"
		     "\nExit status: 0 without errors and warnings, else 1.\n");
}
