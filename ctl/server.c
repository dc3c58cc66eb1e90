/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl server: an operator's will about a server, told to its manager.
 *
 * Must not know what a manager does about it.
 */
#include "ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/render.h"

static const char *const actions[] = {"drain", "enable", "disable"};
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))
#define KNOWN   64 /* names worth listing in an error */

struct server {
	struct ctl *ctl;
	const char *service, *name; /* as asked for; service "": any */
	struct render *render;
	bool found;
	char *known[KNOWN]; /* "SERVICE/SERVER" */
	size_t known_count;
};

/* "web/s1" or "s1"; service: room for it.  False: there is nothing left. */
bool server_split(const char *word, char *service, size_t size, const char **name)
{
	const char *slash = strchr(word, '/');
	size_t len = slash ? (size_t)(slash - word) : 0;

	if (len >= size || (slash && len == 0))
		return false;
	memcpy(service, word, len);
	service[len] = '\0';
	*name = slash ? slash + 1 : word;
	return **name != '\0';
}

static void know(struct server *s, const Turnout__ServerRow *r)
{
	char *name;

	if (asprintf(&name, "%s/%s", r->service, r->name) < 0)
		return;
	for (size_t i = 0; i < s->known_count; i++) {
		if (strcmp(s->known[i], name) == 0) {
			free(name);
			return;
		}
	}
	if (s->known_count < KNOWN)
		s->known[s->known_count++] = name;
	else
		free(name);
}

static bool on_servers(void *ctx, const char *daemon, const Turnout__Reply *reply)
{
	struct server *s = ctx;

	(void)daemon;
	for (size_t i = 0; i < reply->n_servers; i++) {
		const Turnout__ServerRow *r = reply->servers[i];

		s->found |= (!*s->service || strcmp(s->service, r->service) == 0) &&
			    (strcmp(s->name, r->name) == 0 || strcmp(s->name, r->address) == 0);
		know(s, r);
	}
	return true;
}

static bool on_set(void *ctx, const char *daemon, const Turnout__Reply *reply)
{
	struct server *s = ctx;

	for (size_t i = 0; i < reply->n_server_set; i++) {
		if (!render_row(s->render, daemon, &reply->server_set[i]->base)) {
			ctl_error(s->ctl, EXITCODE_FAILURE, "out of memory, or the output cannot be written");
			return false;
		}
	}
	return true;
}

/* Is there such a server?  An error that lists those there are is worth the question. */
static enum exitcode look(struct server *s)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Empty empty = TURNOUT__EMPTY__INIT;
	enum exitcode status;
	size_t answered;

	request.what_case = TURNOUT__REQUEST__WHAT_SHOW_SERVERS;
	request.show_servers = &empty;
	status = ask_all(s->ctl, "servers", &request, on_servers, s, &answered);
	if (s->found || status != EXITCODE_OK)
		return s->found ? EXITCODE_OK : status;
	if (s->known_count == 0)
		return ctl_error(s->ctl, EXITCODE_FAILURE, "the manager has no servers");
	return ctl_unknown(s->ctl, "server", s->ctl->argv[2], (const char *const *)s->known, s->known_count);
}

static enum exitcode set(struct server *s, const char *action)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__ServerSet what = TURNOUT__SERVER_SET__INIT;
	enum exitcode status;
	size_t answered;

	what.service = (char *)(uintptr_t)s->service;
	what.server = (char *)(uintptr_t)s->name;
	what.action = (char *)(uintptr_t)action;
	request.what_case = TURNOUT__REQUEST__WHAT_SERVER_SET;
	request.server_set = &what;
	s->render = render_new(s->ctl->out, s->ctl->json, "server_set", &turnout__server_set_row__descriptor);
	if (!s->render)
		return ctl_error(s->ctl, EXITCODE_FAILURE, "out of memory");
	status = ask_all(s->ctl, "servers", &request, on_set, s, &answered);
	if (answered == 0) {
		render_cancel(s->render);
		return status;
	}
	if (!render_end(s->render, "nothing was changed"))
		return ctl_error(s->ctl, EXITCODE_FAILURE, "the output cannot be written");
	return status;
}

enum exitcode server_run(struct ctl *c)
{
	const char *action = NULL;
	struct server s = {.ctl = c};
	enum exitcode status;
	char service[256];

	for (size_t i = 0; c->argc > 1 && i < ACTIONS; i++)
		if (strcmp(actions[i], c->argv[1]) == 0)
			action = actions[i];
	if (!action)
		return ctl_unknown(c, "action", c->argc > 1 ? c->argv[1] : "", actions, ACTIONS);
	if (c->argc > 3)
		return ctl_error(c, EXITCODE_USAGE, "'%s' is one word too many: server takes one server at a time",
				 c->argv[3]);
	if (c->argc < 3 || !server_split(c->argv[2], service, sizeof(service), &s.name))
		return ctl_error(c, EXITCODE_USAGE,
				 "which server? SERVER or SERVICE/SERVER; turnoutctl show servers lists them");
	s.service = service;
	status = look(&s);
	if (status == EXITCODE_OK)
		status = set(&s, action);
	for (size_t i = 0; i < s.known_count; i++)
		free(s.known[i]);
	return status;
}

void server_details(FILE *out)
{
	fprintf(out, "\nActions:\n"
		     "  drain    no new flows; those there are go on until they end\n"
		     "  disable  as if it were down\n"
		     "  enable   back to what its checks say\n"
		     "\nWithout SERVICE/ it is meant in every service that has it; SERVER is its name or address.\n"
		     "A manager that is started again has forgotten it: then the configuration holds.\n");
}
