/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Server state from check results; see health.h.  Must not know how a check
 * is made.
 */
#include "smd/health.h"

static bool set_state(struct health *h, enum health_state state)
{
	h->state = state;
	h->streak = 0;
	return true;
}

bool health_result(struct health *h, uint16_t rise, uint16_t fall, bool good)
{
	switch (h->state) {
	case HEALTH_UP:
		h->streak = good ? 0 : h->streak + 1;
		return h->streak >= fall && set_state(h, HEALTH_DOWN);
	case HEALTH_DOWN:
		h->streak = good ? h->streak + 1 : 0;
		return h->streak >= rise && set_state(h, HEALTH_UP);
	case HEALTH_UNKNOWN:
		break;
	}
	return set_state(h, good ? HEALTH_UP : HEALTH_DOWN);
}

const char *health_state_name(enum health_state state)
{
	switch (state) {
	case HEALTH_UP:
		return "up";
	case HEALTH_DOWN:
		return "down";
	case HEALTH_UNKNOWN:
		break;
	}
	return "unknown";
}
