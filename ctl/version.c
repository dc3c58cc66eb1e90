/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl version: its own version and those of the daemons that run.
 */
#include "ctl/ctl.h"

#include "ctl/render.h"

struct versions {
	struct ctl *ctl;
	struct render *render;
};

static bool version_page(void *ctx, const char *daemon, const Turnout__Reply *reply)
{
	struct versions *v = ctx;

	if (!reply->version || render_row(v->render, daemon, &reply->version->base))
		return true;
	ctl_error(v->ctl, EXITCODE_FAILURE, "out of memory, or the output cannot be written");
	return false;
}

/* With no daemon there is still the first line; the status tells. */
enum exitcode version_run(struct ctl *c)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;
	Turnout__VersionRow own = TURNOUT__VERSION_ROW__INIT;
	struct versions v = {.ctl = c};
	enum exitcode status;
	size_t answered;

	if (c->argc > 1)
		return ctl_error(c, EXITCODE_USAGE, "'%s' is one word too many: version takes none", c->argv[1]);
	v.render = render_new(c->out, c->json, "version", &turnout__version_row__descriptor);
	own.program = (char *)(uintptr_t) "turnoutctl";
	own.version = (char *)(uintptr_t)TURNOUT_VERSION;
	if (!v.render || !render_row(v.render, "", &own.base)) {
		render_cancel(v.render);
		return ctl_error(c, EXITCODE_FAILURE, "out of memory");
	}
	request.what_case = TURNOUT__REQUEST__WHAT_VERSION;
	request.version = &empty;
	status = ask_all(c, "version", &request, version_page, &v, &answered);
	if (!render_end(v.render, ""))
		return ctl_error(c, EXITCODE_FAILURE, "the output cannot be written");
	return status;
}
