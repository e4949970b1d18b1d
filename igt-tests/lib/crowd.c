// SPDX-License-Identifier: MIT
/*
 * A crowd, see crowd.h. There is one at a time.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "uffd.h"

static struct party parties[CROWD_MAX];
static int nr_parties;
static int nr_started;
static volatile bool stopping;

/* A new crowd; what a failed subtest left is ended first. */
void crowd_begin(void)
{
	stopping = true;
	while (nr_started)
		join_thread(parties[--nr_started].thread);
	memset(parties, 0, sizeof(parties));
	nr_parties = 0;
}

struct party *crowd_add(struct vsvm_set *set, int gpu,
			int (*round)(struct party *party), void *data)
{
	struct party *party = &parties[nr_parties];

	igt_assert(nr_parties < CROWD_MAX);
	party->set = set;
	party->gpu = gpu;
	party->k = nr_parties++;
	party->round = round;
	party->data = data;
	return party;
}

static void *party_thread(void *data)
{
	struct party *party = data;
	int err;

	while (!stopping) {
		err = party->round(party);
		if (err) {
			party->status = err;
			break;
		}
		party->rounds++;
	}
	return NULL;
}

void crowd_start(void)
{
	stopping = false;
	for (nr_started = 0; nr_started < nr_parties; nr_started++)
		igt_assert(!pthread_create(&parties[nr_started].thread, NULL,
					   party_thread, &parties[nr_started]));
}

static bool party_ok(const struct party *party)
{
	return party->may_fail || !party->status;
}

static void party_check(const struct party *party)
{
	igt_assert_f(party_ok(party),
		     "party %d (GPU %d) ended with %s after %llu rounds\n",
		     party->k, party->gpu, strerror(-party->status),
		     (unsigned long long)party->rounds);
}

/* Until each did so many rounds, while all others go on. */
void crowd_wait(uint64_t rounds)
{
	int64_t deadline = vsvm_deadline(60);
	const struct party *party;
	uint64_t done = rounds;
	int k;

	for (k = 0; k < nr_parties && done >= rounds; k++) {
		party = &parties[k];
		while (party->rounds < rounds && !party->status &&
		       vsvm_now() < deadline)
			usleep(1000);
		done = party->status && party->may_fail ? rounds :
							  party->rounds;
	}
	if (done >= rounds)
		return;
	/* A test that fails takes away what they use. */
	crowd_stop();
	igt_assert_f(false, "party %d (GPU %d) did %llu rounds of %llu\n",
		     k - 1, parties[k - 1].gpu, (unsigned long long)done,
		     (unsigned long long)rounds);
}

void crowd_stop(void)
{
	int k;

	stopping = true;
	while (nr_started)
		join_thread(parties[--nr_started].thread);
	for (k = 0; k < nr_parties; k++)
		party_check(&parties[k]);
}

/* For rounds that take long. */
bool crowd_stopping(void)
{
	return stopping;
}

/* A job on the first engine of the party's GPU. Return: how it ended. */
int crowd_job(struct party *party, const struct drm_vsvm_cmd *cmds, int n)
{
	struct vsvm_set *set = party->set;
	struct drm_vsvm_exec exec = {
		.vm_id = set->vm[party->gpu], .num_cmds = n,
		.cmds = to_u64(cmds),
	};
	struct drm_vsvm_wait wait = {
		.vm_id = set->vm[party->gpu],
		.timeout_ns = vsvm_deadline(50),
	};
	int ret = vsvm_ioctl(set->fd[party->gpu], DRM_IOCTL_VSVM_EXEC, &exec);

	if (ret)
		return ret;
	wait.job_id = exec.job_id;
	ret = vsvm_ioctl(set->fd[party->gpu], DRM_IOCTL_VSVM_WAIT, &wait);
	return ret ?: wait.status;
}
