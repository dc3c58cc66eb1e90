/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking the classifier's maps and the kernel's FIB what a trace wants to know
 * beside the engine.  Changes nothing in any of them.
 *
 * Must not know what affinities do.
 */
#include <netinet/in.h>
#include <string.h>

#include "fad/agent.h"

static bool local_scope(const struct addr *a)
{
	if (a->family == 4) /* multicast and above, link-local */
		return a->b[0] >= 224 || (a->b[0] == 169 && a->b[1] == 254);
	return a->b[0] == 0xff || (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
}

/* What the classifier would not let up (FA-8), in words; NULL: nothing keeps it. */
static const char *protected_by(struct agent *a, const struct flow_key *k)
{
	struct addr src = addr_make(k->family, k->src), dst = addr_make(k->family, k->dst);

	if (local_scope(&dst) || (k->family == 6 && local_scope(&src)))
		return "multicast, broadcast or link-local";
	if (classifier_is_own(a->classifier, &dst))
		return "an own address of this router";
	if (k->proto == IPPROTO_UDP &&
	    (classifier_is_peer(a->classifier, &dst, k->dport) || classifier_is_peer(a->classifier, &src, k->sport)))
		return "a service message";
	return NULL;
}

/* Then what matches is only what asks for what is protected. */
static bool permitted(const struct admin_trace *t)
{
	for (size_t i = 0; i < t->engine.count; i++)
		if (t->engine.matches[i].wildcard != NULL)
			return true;
	return false;
}

static void name_closed(const struct agent *a, char *names, size_t size)
{
	size_t len = 0;

	*names = '\0';
	for (size_t i = 0; i < a->interface_count && len < size; i++)
		if (a->interfaces[i].drop_unmatched)
			len += (size_t)snprintf(names + len, size - len, "%s%s", len > 0 ? " or " : "",
						a->interfaces[i].name);
}

const char *agent_trace(struct agent *a, const Turnout__Trace *request, struct admin_trace *t, char *names, size_t size)
{
	const char *wrong = admin_trace_parse(request, t);
	struct addr to;
	bool guarded;

	if (wrong != NULL)
		return wrong;
	t->protected_by = protected_by(a, &t->key);
	guarded = t->protected_by != NULL && a->conf.permit_protected;
	engine_trace(a->engine, &t->key, guarded, t->tcp_flags, t->data, &t->engine);
	t->permitted = guarded && permitted(t);
	name_closed(a, names, size);
	t->closed = names;
	if (admin_trace_goes_to(t, &to))
		t->route_error = route_ask(&to, &t->route);
	return NULL;
}
