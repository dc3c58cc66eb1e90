/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server's state from the results of its checks (SVC-2).
 *
 *              first result good
 *   unknown ----------------------> up <----------------+
 *      |                            |                   |
 *      | first result bad           | `fall` bad ones   | `rise` good ones
 *      |                            | in a row          | in a row
 *      +-------------------------> down ----------------+
 *
 * Pure; must not know how a check is made.
 */
#ifndef TURNOUT_SMD_HEALTH_H
#define TURNOUT_SMD_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health_state { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };

struct health {
	enum health_state state;
	uint16_t streak; /* results in a row that speak against the state */
};

/* Take in one result.  rise and fall are at least 1.  Returns whether the state changed. */
bool health_result(struct health *h, uint16_t rise, uint16_t fall, bool good);
const char *health_state_name(enum health_state state); /* "unknown", "up", "down" */

#endif
