// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The one place where the trace events are instantiated.
 */
#ifndef __CHECKER__
#define CREATE_TRACE_POINTS
#include "msvm_trace.h"
#endif
