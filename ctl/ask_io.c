/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting one request to every daemon of the run directories, and saying in
 * the end who did not answer and what that means.
 *
 * The only file of turnoutctl that talks to daemons; must not know what the
 * request or the rows mean.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct asking {
	struct ctl *ctl;
	const char *what;
	Turnout__Request *request;
	ask_page page;
	void *ctx;
	size_t answered; /* daemons that gave what was asked, or part of it */
	size_t unknown;  /* that do not know the request */
	size_t absent;   /* sockets without a daemon */
	bool stop;
	enum exitcode status; /* the first failure */
};

static void failed(struct asking *a, enum exitcode status)
{
	if (a->status == EXITCODE_OK)
		a->status = status;
}

static bool not_known(const char *error)
{
	return strncmp(error, BUS_NOT_KNOWN, sizeof(BUS_NOT_KNOWN) - 1) == 0;
}

/* "fad, smd": those in the directory that live. */
static void name_living(const char *dir, char *list, size_t size)
{
	char **names;
	size_t count;

	*list = '\0';
	if (bus_list(dir, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(list);

		if (bus_alive(dir, names[i]))
			snprintf(list + len, size - len, "%s%s", len ? ", " : "", names[i]);
		free(names[i]);
	}
	free(names);
}

/* What to do about it, after what bus_explain() says. */
static void hint(int r, const char *dir, char *out, size_t size)
{
	char living[256];

	*out = '\0';
	if (r == -ETIMEDOUT)
		snprintf(out, size, "; is it very busy or stopped? see --timeout");
	if (r != -ENOENT)
		return;
	name_living(dir, living, sizeof(living));
	if (*living)
		snprintf(out, size, "; running there: %s", living);
	else
		snprintf(out, size, ", nor is any other daemon; start it, or see --run-dir");
}

/* Something else than rows came: is it worth a line?  began: some rows had come before. */
static void no_reply(struct asking *a, const char *dir, const char *name, int r, bool began)
{
	char text[512], what_to_do[320];

	if (r == -ENOENT && !began && !a->ctl->from) {
		a->absent++; /* a killed daemon's socket; of no interest if others answer */
		return;
	}
	failed(a, r == -EACCES || r == -EPERM          ? EXITCODE_PRIVILEGE
		  : r == -EINVAL || r == -ENAMETOOLONG ? EXITCODE_USAGE
						       : EXITCODE_UNREACHABLE);
	hint(r, dir, what_to_do, sizeof(what_to_do));
	ctl_error(a->ctl, a->status, "%s%s%s", bus_explain(r, dir, name, text, sizeof(text)), what_to_do,
		  began ? "; the listing is not complete" : "");
}

/* One page.  Returns the cursor of the next one, 0 at the end. */
static uint64_t ask_one_page(struct asking *a, const char *dir, const char *name, uint64_t cursor, bool *answered)
{
	Turnout__Reply *reply;
	uint64_t next = 0;
	char *daemon = NULL;
	int r;

	a->request->id++;
	a->request->cursor = cursor;
	r = bus_call(dir, name, a->request, a->ctl->timeout_ms, &reply);
	if (r < 0) {
		no_reply(a, dir, name, r, *answered);
		return 0;
	}
	if (*reply->error && not_known(reply->error)) {
		a->unknown++;
	} else if (*reply->error) {
		failed(a, EXITCODE_FAILURE);
		ctl_error(a->ctl, a->status, "%s in %s: %s", name, dir, reply->error);
	} else {
		*answered = true;
		if (a->ctl->run_dir_count > 1 && asprintf(&daemon, "%s/%s", dir, name) < 0)
			daemon = NULL;
		a->stop = !a->page(a->ctx, daemon ? daemon : name, reply);
		if (a->stop)
			failed(a, EXITCODE_FAILURE);
		next = a->stop ? 0 : reply->next;
		free(daemon);
	}
	turnout__reply__free_unpacked(reply, NULL);
	return next;
}

static void ask_daemon(struct asking *a, const char *dir, const char *name)
{
	uint64_t cursor = 0;
	bool answered = false;
	size_t pages = 0;

	for (; pages < a->ctl->max_pages; pages++) {
		uint64_t next = ask_one_page(a, dir, name, cursor, &answered);

		if (next == cursor && next != 0) {
			failed(a, EXITCODE_FAILURE);
			ctl_error(a->ctl, a->status, "%s in %s repeats a page; the listing is not complete", name, dir);
		}
		if (next == 0 || next == cursor)
			break;
		cursor = next;
	}
	if (pages == a->ctl->max_pages) {
		failed(a, EXITCODE_FAILURE);
		ctl_error(a->ctl, a->status, "%s in %s has more than %zu pages; the listing is not complete", name, dir,
			  a->ctl->max_pages);
	}
	a->answered += answered;
}

static void ask_directory(struct asking *a, const char *dir)
{
	char **names, text[512];
	size_t count;
	int r = bus_list(dir, &names, &count);

	if (r < 0 && r != -ENOENT) {
		failed(a, r == -EACCES ? EXITCODE_PRIVILEGE : EXITCODE_UNREACHABLE);
		ctl_error(a->ctl, a->status, "%s", bus_explain(r, dir, "its daemons", text, sizeof(text)));
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!a->stop)
			ask_daemon(a, dir, names[i]);
		free(names[i]);
	}
	free(names);
}

/* Nobody gave an answer, and nothing was said yet on why. */
static void nobody(struct asking *a)
{
	const struct ctl *c = a->ctl;
	char *dirs = strdup(c->run_dirs[0]);

	for (size_t i = 1; dirs && i < c->run_dir_count; i++) {
		char *more = NULL;

		if (asprintf(&more, "%s or %s", dirs, c->run_dirs[i]) < 0)
			more = NULL;
		free(dirs);
		dirs = more;
	}
	if (a->unknown > 0) {
		failed(a, EXITCODE_FAILURE);
		ctl_error(a->ctl, a->status,
			  "no daemon asked in %s knows of %s; which daemon should? see --from, --run-dir",
			  dirs ? dirs : c->run_dirs[0], a->what);
	} else {
		failed(a, EXITCODE_UNREACHABLE);
		ctl_error(a->ctl, a->status, "no daemon answers in %s; is fad or smd running? see --run-dir%s",
			  dirs ? dirs : c->run_dirs[0], a->absent ? " (sockets of dead daemons lie there)" : "");
	}
	free(dirs);
}

enum exitcode ask_all(struct ctl *c, const char *what, Turnout__Request *request, ask_page page, void *ctx,
		      size_t *answered)
{
	struct asking a = {.ctl = c, .what = what, .request = request, .page = page, .ctx = ctx};

	for (size_t i = 0; i < c->run_dir_count && !a.stop; i++) {
		if (c->from)
			ask_daemon(&a, c->run_dirs[i], c->from);
		else
			ask_directory(&a, c->run_dirs[i]);
	}
	if (a.answered == 0 && a.status == EXITCODE_OK)
		nobody(&a);
	*answered = a.answered;
	return a.status;
}
