// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * debugfs ID/attributes: what an application said about its memory, an interval a
 * line, in the order of addresses. "-": nothing is said of this.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "msvm_attr.h"
#include "msvm_internal.h"

/* An interval as it was when it was looked at. */
struct msvm_attr_line {
	unsigned long start;
	unsigned long end;
	struct msvm_attrs attrs;
};

/*
 * The position is one more than the page number to go on from: intervals may come and
 * go between two reads, however many there are. Position 0 is the header.
 */
static struct msvm_attr_line *msvm_attr_line_find(struct drm_msvm *msvm,
						  loff_t *pos)
{
	struct msvm_attr_line *line;

	line = kmalloc_obj(*line);
	if (!line)
		return ERR_PTR(-ENOMEM);

	line->start = (unsigned long)(*pos - 1) << PAGE_SHIFT;
	if (msvm_attr_next(msvm, &line->start, &line->end, &line->attrs)) {
		*pos = (line->start >> PAGE_SHIFT) + 1;
		return line;
	}
	kfree(line);
	return NULL;
}

static void msvm_attributes_put(void *v)
{
	if (v != SEQ_START_TOKEN && !IS_ERR(v))
		kfree(v);
}

static void *msvm_attributes_start(struct seq_file *m, loff_t *pos)
{
	return *pos ? (void *)msvm_attr_line_find(m->private, pos) :
		      SEQ_START_TOKEN;
}

static void *msvm_attributes_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct msvm_attr_line *line = v;

	*pos = v == SEQ_START_TOKEN ? 1 : (line->end >> PAGE_SHIFT) + 1;
	msvm_attributes_put(v);

	return msvm_attr_line_find(m->private, pos);
}

static void msvm_attributes_stop(struct seq_file *m, void *v)
{
	msvm_attributes_put(v);
}

static const char *msvm_attr_preferred(u32 preferred, char *buf, size_t size)
{
	if (preferred == MSVM_ATTR_NONE)
		return "-";
	if (preferred == MSVM_ATTR_SYSTEM)
		return "system";
	snprintf(buf, size, "%u", preferred);
	return buf;
}

static int msvm_attributes_show(struct seq_file *m, void *v)
{
	static const char * const atomics[] = {
		[MSVM_ATOMICS_DEFAULT] = "-",
		[MSVM_ATOMICS_NONE] = "none",
		[MSVM_ATOMICS_DEVICE] = "device",
		[MSVM_ATOMICS_SYSTEM] = "system",
	};
	const struct msvm_attr_line *line = v;
	const struct msvm_attrs *attrs;
	char preferred[12], granularity[24] = "-";

	if (v == SEQ_START_TOKEN) {
		seq_printf(m, "%-12s-%-12s %-9s %-16s %-16s %-11s %-11s %-8s %s\n",
			   "start", "end", "preferred", "accessed_by",
			   "no_access", "read_mostly", "granularity",
			   "prefetch", "atomics");
		return 0;
	}

	attrs = &line->attrs;
	if (attrs->granularity)
		snprintf(granularity, sizeof(granularity), "%luK",
			 BIT(attrs->granularity) / SZ_1K);
	seq_printf(m, "%012lx-%012lx %-9s %016llx %016llx %-11s %-11s %-8s %s\n",
		   line->start, line->end,
		   msvm_attr_preferred(attrs->preferred, preferred,
				       sizeof(preferred)),
		   attrs->accessed_by, attrs->no_access,
		   attrs->read_mostly ? "yes" : "-", granularity,
		   attrs->prefetch ? msvm_prefetch_names[attrs->prefetch - 1] :
				     "-",
		   atomics[attrs->atomics]);
	return 0;
}

static const struct seq_operations msvm_attributes_sops = {
	.start = msvm_attributes_start,
	.next = msvm_attributes_next,
	.stop = msvm_attributes_stop,
	.show = msvm_attributes_show,
};
DEFINE_SEQ_ATTRIBUTE(msvm_attributes);

/* Add the file. Errors leave it invisible, no more. */
void msvm_attr_debugfs_add(struct drm_msvm *msvm)
{
	debugfs_create_file("attributes", 0400, msvm->debugfs, msvm,
			    &msvm_attributes_fops);
}
