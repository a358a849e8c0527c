/* SPDX-License-Identifier: MIT */
/*
 * segment.c - the pieces of the region, and joined rings: mapped as they come, found by number.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include "ncd/huge_page.h"

#include "attach.h"

int segment_map(int fd, uint64_t bytes, uint32_t flags, struct segment *ret_segment)
{
	struct stat st;
	void *base;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (bytes == 0 || (uint64_t)st.st_size < bytes)
		return -EPROTO;
	base = flags & SEGMENT_READ ? huge_page_map_read(fd, bytes) : huge_page_map(fd, bytes);
	if (base == MAP_FAILED)
		return -errno;
	(void)madvise(base, bytes, MADV_DONTFORK); /* a child keeps none of it: it may not use it */
	ret_segment->bytes = bytes;
	ret_segment->huge = flags & SEGMENT_HUGE;
	/* SEGMENT, mapping end. */
	atomic_store_explicit(&ret_segment->base, base, memory_order_release);
	return 0;
}

/* Another segment is there: who looked before this finds the number moved. */
static void segment_tell(struct attachment *att)
{
	/* SEGMENT, mapping end. */
	atomic_fetch_add_explicit(&att->segment_seq, 1, memory_order_release);
	futex_wake_private(&att->segment_seq, INT_MAX);
}

int attachment_segment_add(struct attachment *att, const struct ctl_segment *msg, int fd)
{
	uint32_t nr = msg->segment;
	int ret;

	/* Relaxed: this thread is the only one that stores it. */
	if (nr == 0 || nr >= NCD_SEGMENTS_MAX ||
	    atomic_load_explicit(&att->segment[nr].base, memory_order_relaxed))
		return -EPROTO;
	ret = segment_map(fd, msg->bytes, msg->flags & SEGMENT_HUGE, &att->segment[nr]);
	if (ret == 0)
		segment_tell(att);
	return ret;
}

int attachment_joint_add(struct attachment *att, const struct ctl_segment *msg, int fd)
{
	struct segment *joint = &att->joint[joint_index(msg->segment) % NCD_JOINTS_MAX];
	int ret;

	/* Relaxed: this thread is the only one that stores it. */
	if (!(msg->segment & JOINT_FLAG) || joint_index(msg->segment) >= NCD_JOINTS_MAX ||
	    atomic_load_explicit(&joint->base, memory_order_relaxed))
		return -EPROTO;
	/* JOINT, watcher's end. */
	atomic_store_explicit(&joint->number, msg->segment, memory_order_release);
	ret = segment_map(fd, msg->bytes, msg->flags, joint);
	if (ret == 0)
		segment_tell(att);
	return ret;
}

int attachment_joint_remove(struct attachment *att, uint32_t number)
{
	struct segment *joint = &att->joint[joint_index(number) % NCD_JOINTS_MAX];
	/* Relaxed, both: this thread is the only one that stores them. */
	uint8_t *base = atomic_load_explicit(&joint->base, memory_order_relaxed);

	if (!(number & JOINT_FLAG) || joint_index(number) >= NCD_JOINTS_MAX)
		return -EPROTO;
	/* One that could not be mapped, and perhaps not even received. */
	if (!base && att->says_joined)
		return 0;
	if (!base || atomic_load_explicit(&joint->number, memory_order_relaxed) != number)
		return -EPROTO;
	/* Relaxed: JOINT orders it. Nobody uses it: the daemon has seen all leave. */
	atomic_store_explicit(&joint->base, NULL, memory_order_relaxed);
	(void)munmap(base, joint->bytes); /* as it was mapped */
	return 0;
}

/* Where @nr is, or will be; NULL: nowhere. */
static struct segment *segment_find(struct attachment *att, uint32_t nr)
{
	if (nr & JOINT_FLAG)
		return joint_index(nr) < NCD_JOINTS_MAX ? &att->joint[joint_index(nr)] : NULL;
	return nr > 0 && nr < NCD_SEGMENTS_MAX ? &att->segment[nr] : NULL;
}

static bool segment_there(struct segment *seg, uint32_t nr)
{
	/* JOINT, using end. */
	if (nr & JOINT_FLAG && atomic_load_explicit(&seg->number, memory_order_acquire) != nr)
		return false;
	/* SEGMENT, using end. */
	return atomic_load_explicit(&seg->base, memory_order_acquire) != NULL;
}

int attachment_segment(struct attachment *att, uint32_t nr, struct segment **ret_segment)
{
	struct segment *seg = segment_find(att, nr);

	if (!seg)
		return -EPROTO;
	for (;;) {
		/* SEGMENT, using end: read before the look, so that an arrival between is noticed.
		 */
		uint32_t seq = atomic_load_explicit(&att->segment_seq, memory_order_acquire);

		if (segment_there(seg, nr)) {
			*ret_segment = seg;
			return 0;
		}
		if (attachment_dead(att))
			return -ECONNRESET;
		/* The message is on its way: it was sent before the slot that names the segment. */
		(void)futex_wait_private(&att->segment_seq, seq, NC_FOREVER); /* looks again */
	}
}
