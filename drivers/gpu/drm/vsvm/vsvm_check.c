// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Is a command well-formed? Which fields each operation uses, what they must be
 * aligned to, and that nothing overflows, before any command of a job runs.
 */
#include <linux/align.h>
#include <linux/bits.h>
#include <linux/overflow.h>

#include "vsvm_drv.h"

/* Which fields of a command an op uses. */
#define VSVM_USES_DST		BIT(0)
#define VSVM_USES_SRC		BIT(1)
#define VSVM_USES_LEN		BIT(2)
#define VSVM_USES_ARG0		BIT(3)
#define VSVM_USES_ARG1		BIT(4)
#define VSVM_USES_RESULT	BIT(5)
#define VSVM_NEEDS_RESULT	BIT(6)
#define VSVM_USES_TIMEOUT	BIT(7)
#define VSVM_HAS_WIDTH		BIT(8)
#define VSVM_SMALL_WIDTH	BIT(9)
#define VSVM_ALIGN_DST		BIT(10)
#define VSVM_ALIGN_SRC		BIT(11)

static const u32 vsvm_op_uses[] = {
	[DRM_VSVM_OP_NOP] = 0,
	[DRM_VSVM_OP_COPY] = VSVM_USES_DST | VSVM_USES_SRC | VSVM_USES_LEN,
	[DRM_VSVM_OP_FILL] = VSVM_USES_DST | VSVM_USES_LEN | VSVM_USES_ARG0,
	[DRM_VSVM_OP_LOAD] = VSVM_USES_SRC | VSVM_USES_RESULT |
			     VSVM_NEEDS_RESULT | VSVM_HAS_WIDTH |
			     VSVM_SMALL_WIDTH,
	[DRM_VSVM_OP_STORE] = VSVM_USES_DST | VSVM_USES_ARG0 | VSVM_HAS_WIDTH |
			      VSVM_SMALL_WIDTH,
	[DRM_VSVM_OP_ADD] = VSVM_USES_DST | VSVM_USES_ARG0 | VSVM_USES_RESULT |
			    VSVM_HAS_WIDTH | VSVM_ALIGN_DST,
	[DRM_VSVM_OP_CAS] = VSVM_USES_DST | VSVM_USES_ARG0 | VSVM_USES_ARG1 |
			    VSVM_USES_RESULT | VSVM_HAS_WIDTH | VSVM_ALIGN_DST,
	[DRM_VSVM_OP_XCHG] = VSVM_USES_DST | VSVM_USES_ARG0 | VSVM_USES_RESULT |
			     VSVM_HAS_WIDTH | VSVM_ALIGN_DST,
	[DRM_VSVM_OP_SUM] = VSVM_USES_DST | VSVM_USES_SRC | VSVM_USES_LEN |
			    VSVM_ALIGN_DST,
	[DRM_VSVM_OP_HISTOGRAM] = VSVM_USES_DST | VSVM_USES_SRC |
				  VSVM_USES_LEN | VSVM_ALIGN_DST,
	[DRM_VSVM_OP_CHASE] = VSVM_USES_SRC | VSVM_USES_ARG0 |
			      VSVM_USES_RESULT | VSVM_NEEDS_RESULT |
			      VSVM_ALIGN_SRC,
	[DRM_VSVM_OP_WAIT_VALUE] = VSVM_USES_SRC | VSVM_USES_ARG0 |
				   VSVM_USES_ARG1 | VSVM_USES_TIMEOUT |
				   VSVM_HAS_WIDTH | VSVM_ALIGN_SRC,
	[DRM_VSVM_OP_PREFETCH] = VSVM_USES_DST | VSVM_USES_LEN | VSVM_USES_ARG0,
};

/* Is a command well-formed? Return: 0 or -EINVAL. */
int vsvm_cmd_check(const struct drm_vsvm_cmd *cmd)
{
	u64 align, end;
	u32 uses;

	if (cmd->op >= ARRAY_SIZE(vsvm_op_uses))
		return -EINVAL;
	uses = vsvm_op_uses[cmd->op];

	if ((!(uses & VSVM_USES_DST) && cmd->dst) ||
	    (!(uses & VSVM_USES_SRC) && cmd->src) ||
	    (!(uses & VSVM_USES_LEN) && cmd->len) ||
	    (!(uses & VSVM_USES_ARG0) && cmd->arg0) ||
	    (!(uses & VSVM_USES_ARG1) && cmd->arg1) ||
	    (!(uses & VSVM_USES_RESULT) && cmd->result) ||
	    (!(uses & VSVM_USES_TIMEOUT) && cmd->timeout_ns) ||
	    (!(uses & VSVM_HAS_WIDTH) && cmd->width))
		return -EINVAL;

	if (uses & VSVM_HAS_WIDTH) {
		bool small = cmd->width == 1 || cmd->width == 2;

		if (cmd->width != 4 && cmd->width != 8 &&
		    !(small && uses & VSVM_SMALL_WIDTH))
			return -EINVAL;
	}
	if (uses & VSVM_NEEDS_RESULT && !cmd->result)
		return -EINVAL;

	align = cmd->width ?: 8;
	if ((uses & VSVM_ALIGN_DST && !IS_ALIGNED(cmd->dst, align)) ||
	    (uses & VSVM_ALIGN_SRC && !IS_ALIGNED(cmd->src, align)) ||
	    !IS_ALIGNED(cmd->result, 8))
		return -EINVAL;

	if (uses & VSVM_USES_LEN &&
	    (check_add_overflow(cmd->src, cmd->len, &end) ||
	     check_add_overflow(cmd->dst, cmd->len, &end)))
		return -EINVAL;
	/* Backwards or forwards, one of them would be wrong. */
	if (cmd->op == DRM_VSVM_OP_COPY && cmd->src < cmd->dst + cmd->len &&
	    cmd->dst < cmd->src + cmd->len)
		return -EINVAL;
	if (cmd->op == DRM_VSVM_OP_PREFETCH && cmd->arg0 > VSVM_MAX_GPUS)
		return -EINVAL;
	if (cmd->op == DRM_VSVM_OP_HISTOGRAM &&
	    check_add_overflow(cmd->dst, VSVM_HISTOGRAM_SIZE, &end))
		return -EINVAL;

	return 0;
}
