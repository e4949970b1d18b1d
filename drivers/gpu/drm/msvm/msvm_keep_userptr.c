// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Userptrs that are kept bound: those of a member, one after the other, by its worker,
 * which lets go of one that is about to be destroyed.
 */
#include <linux/sched/signal.h>
#include <linux/wait_bit.h>

#include "msvm_internal.h"
#include "msvm_keep.h"

/* The next userptr of a pass over all, which does not go for now, or NULL. */
static struct drm_msvm_userptr_binding *
msvm_keep_next_binding(struct msvm_keep *keep, u64 pass)
{
	struct drm_msvm_userptr_binding *binding;

	spin_lock(&keep->task_lock);
	binding = list_first_entry_or_null(&keep->bindings,
					   struct drm_msvm_userptr_binding,
					   keep_link);
	if (binding && binding->keep_pass == pass)
		binding = NULL;
	if (binding) {
		binding->keep_pass = pass;
		list_move_tail(&binding->keep_link, &keep->bindings);
	}
	keep->binding = binding;
	spin_unlock(&keep->task_lock);

	return binding;
}

/* Done with it. Return: false if the member leaves. */
static bool msvm_keep_done_binding(struct msvm_keep *keep)
{
	bool closing;

	spin_lock(&keep->task_lock);
	keep->binding = NULL;
	closing = keep->closing;
	/* Meant for this one only. */
	if (!closing)
		flush_signals(current);
	spin_unlock(&keep->task_lock);
	wake_up_var(&keep->binding);

	return !closing;
}

/*
 * Bind all userptrs that are kept bound. What is no memory any more, or may not be
 * accessed, stays as it is: what touches it fails. Return: 0; the error after which
 * it must be tried again; -EINTR: the member leaves.
 */
int msvm_keep_bind_all(struct msvm_keep *keep,
		       int (*fn)(struct drm_msvm_userptr_binding *binding))
{
	struct drm_msvm_userptr_binding *binding;
	u64 pass = ++keep->pass;
	int err, first = 0;

	while ((binding = msvm_keep_next_binding(keep, pass))) {
		err = fn(binding);
		if (!msvm_keep_done_binding(keep))
			return -EINTR;
		if (err == -EBUSY || err == -ENOMEM || err == -EAGAIN)
			first = first ?: err;
	}
	return first;
}

/*
 * A userptr is to be kept bound from now on. Context: sleeps. Return: 0 or -ENOMEM.
 */
int msvm_keep_add(struct drm_msvm_member *member,
		  struct drm_msvm_userptr_binding *binding)
{
	struct msvm_keep *keep = msvm_keep_get(member);

	if (!keep)
		return -ENOMEM;
	binding->keep_pass = 0;
	spin_lock(&keep->task_lock);
	list_add_tail(&binding->keep_link, &keep->bindings);
	spin_unlock(&keep->task_lock);

	return 0;
}

/* No longer, and it goes: the worker lets go of it, even out of a fault. Sleeps. */
void msvm_keep_remove(struct drm_msvm_member *member,
		      struct drm_msvm_userptr_binding *binding)
{
	struct msvm_keep *keep = member->keep;

	spin_lock(&keep->task_lock);
	list_del(&binding->keep_link);
	if (keep->binding == binding)
		send_sig(SIGKILL, keep->task, 1);
	spin_unlock(&keep->task_lock);
	wait_var_event(&keep->binding, READ_ONCE(keep->binding) != binding);
}
