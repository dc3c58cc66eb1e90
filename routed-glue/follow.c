/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Following one agent's event stream.  The publisher drops silently and knows
 * no end of stream, so everything rests on sequence numbers, versions and time.
 *
 * Pure; must not know of prefixes, sockets or protobuf.
 */
#include "routed-glue/follow.h"

static void confirm(struct follow *f, uint64_t now_ms)
{
	f->confirmed_ms = now_ms;
	f->excused_ms = 0;
}

/* Every event passes here first.  False: events were missed, or the agent may be another incarnation.
 * So may the first event be: a snapshot that came before it can be of the agent's predecessor. */
static bool in_sequence(struct follow *f, uint64_t seq, uint64_t now_ms)
{
	bool quiet = now_ms - f->heard_ms > FOLLOW_QUIET_MS;
	bool gap = !f->seq_known || seq != f->seq + 1 || quiet;

	f->heard = true;
	f->heard_ms = now_ms;
	f->seq = seq;
	f->seq_known = true;
	if (gap) {
		f->synced = false;
		f->request = 0; /* the request may have gone to the agent's predecessor */
		f->paging = false;
		f->heard_version = 0;
	}
	return !gap;
}

static enum follow_event ask_unless_asked(const struct follow *f, uint64_t now_ms)
{
	return f->request != 0 && now_ms - f->asked_ms < FOLLOW_RETRY_MS ? FOLLOW_NOTHING : FOLLOW_ASK;
}

enum follow_event follow_heartbeat(struct follow *f, uint64_t seq, uint64_t version, uint64_t now_ms)
{
	in_sequence(f, seq, now_ms);
	f->heard_version = version;
	if (f->synced && version == f->version) {
		confirm(f, now_ms);
		return FOLLOW_NOTHING;
	}
	f->synced = false;
	return ask_unless_asked(f, now_ms);
}

enum follow_event follow_change(struct follow *f, uint64_t seq, uint64_t version, uint64_t now_ms)
{
	in_sequence(f, seq, now_ms);
	f->heard_version = version;
	if (f->synced && version <= f->version)
		return FOLLOW_NOTHING; /* the snapshot had it already */
	if (f->synced && version == f->version + 1) {
		f->version = version;
		confirm(f, now_ms);
		return FOLLOW_APPLY;
	}
	f->synced = false;
	return ask_unless_asked(f, now_ms);
}

enum follow_event follow_other(struct follow *f, uint64_t seq, uint64_t now_ms)
{
	in_sequence(f, seq, now_ms);
	return f->synced ? FOLLOW_NOTHING : ask_unless_asked(f, now_ms);
}

void follow_asked(struct follow *f, uint64_t id, uint64_t now_ms)
{
	f->request = id;
	f->asked_ms = now_ms;
}

enum follow_answer follow_answer(struct follow *f, uint64_t id, uint64_t version, bool more, uint64_t now_ms)
{
	if (id == 0 || id != f->request)
		return FOLLOW_IGNORE;
	f->request = 0;
	f->heard = true;
	f->heard_ms = now_ms;
	if (f->paging && version != f->page_version) {
		f->paging = false;
		return FOLLOW_DISCARD_ASK;
	}
	if (f->synced && version < f->version) {
		f->paging = false;
		return FOLLOW_IGNORE; /* overtaken by a change that was published after it */
	}
	f->paging = more;
	f->page_version = version;
	if (more)
		return FOLLOW_MORE;
	f->version = version;
	f->held = true;
	f->synced = f->heard_version <= version;
	confirm(f, now_ms);
	return f->synced ? FOLLOW_COMMIT : FOLLOW_COMMIT_ASK;
}

void follow_refused(struct follow *f, uint64_t id, uint64_t now_ms)
{
	if (id == 0 || id != f->request)
		return;
	f->heard = true;
	f->heard_ms = now_ms;
	f->paging = false;
	/* The request stays the awaited one, so that the next is sent only after FOLLOW_RETRY_MS. */
}

bool follow_expired(struct follow *f, uint32_t lease_ms, uint64_t now_ms)
{
	uint64_t deadline = follow_deadline(f, lease_ms);

	if (now_ms < deadline)
		return false;
	if (now_ms - deadline >= FOLLOW_LATE_MS && f->excused_ms == 0) {
		f->excused_ms = now_ms + FOLLOW_EXCUSE_MS;
		return false;
	}
	f->held = false;
	f->synced = false;
	f->request = 0;
	f->paging = false;
	return true;
}

uint64_t follow_deadline(const struct follow *f, uint32_t lease_ms)
{
	if (!f->held)
		return UINT64_MAX;
	return f->excused_ms != 0 ? f->excused_ms : f->confirmed_ms + lease_ms;
}

bool follow_may_refresh(const struct follow *f, uint32_t lease_ms, uint64_t now_ms)
{
	bool awaited = f->request != 0 && now_ms - f->asked_ms < FOLLOW_RETRY_MS;

	return f->heard && now_ms - f->heard_ms < lease_ms && !awaited;
}

const char *follow_state(const struct follow *f)
{
	if (!f->heard)
		return "unknown";
	return f->synced ? "synced" : f->held ? "doubtful" : "silent";
}
