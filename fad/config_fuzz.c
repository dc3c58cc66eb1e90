/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing fad's configuration.  See tests/fuzz/config.h.
 */
#include "tests/fuzz/config.h"

#include "fad/config.h"

FUZZ_CONFIG(struct fad_conf, fad_config_load_text, fad_config_free)
