/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exit statuses of every Turnout program, one per kind of failure, so that a
 * script or a unit file can tell them apart.  Documented in docs/operations.md.
 */
#ifndef TURNOUT_LIB_EXITCODE_H
#define TURNOUT_LIB_EXITCODE_H

enum exitcode {
	EXITCODE_OK = 0,
	EXITCODE_FAILURE = 1,     /* anything not listed below */
	EXITCODE_USAGE = 2,       /* bad command line */
	EXITCODE_CONFIG = 3,      /* configuration refused */
	EXITCODE_PRIVILEGE = 4,   /* a capability or permission is missing */
	EXITCODE_KERNEL = 5,      /* the kernel lacks a feature */
	EXITCODE_INTERFACE = 6,   /* an interface or address is not there */
	EXITCODE_FRR = 7,         /* FRR's socket is not there */
	EXITCODE_BUSY = 8,        /* run directory or port in use by another instance */
	EXITCODE_UNREACHABLE = 9, /* turnoutctl: no daemon answered */
};

#endif
