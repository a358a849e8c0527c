/* SPDX-License-Identifier: MIT */
/*
 * liburing.c - in front of liburing's shared library: what makes rings, submits, fixes files.
 *
 * What its header does inline fills in SQEs, and is not seen. They come to the kernel by one of the
 * functions here, which look at them first (uring_sqe.c); until then they are the caller's alone,
 * also where the kernel takes them by itself (IORING_SETUP_SQPOLL). Functions that wait do not
 * submit, on kernels as new as ncd needs.
 *
 * Where liburing came with a library that was loaded later it is not behind us in the search order,
 * but it is there under its name.
 */
#include <dlfcn.h>
#include <string.h>

#include "file.h"
#include "real.h"
#include "uring.h"

struct __kernel_timespec;
struct io_uring_cqe;

/* As in liburing 2.x, as far as it is looked at. */
struct io_uring_sq {
	unsigned int *khead, *ktail, *kring_mask, *kring_entries, *kflags, *kdropped, *array;
	struct io_uring_sqe *sqes;
	unsigned int sqe_head, sqe_tail; /* between them: filled in, not submitted */
	size_t ring_sz;
	void *ring_ptr;
	unsigned int later[4];
};

struct io_uring_cq {
	void *k[6], *cqes;
	size_t ring_sz;
	void *ring_ptr;
	unsigned int later[4];
};

struct io_uring {
	struct io_uring_sq sq;
	struct io_uring_cq cq;
	unsigned int flags; /* of setup */
};

#define CQE  struct io_uring_cqe **cqe
#define TIME struct __kernel_timespec *ts

int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
			       struct io_uring_params *p);
int io_uring_queue_init_mem(unsigned int entries, struct io_uring *ring, struct io_uring_params *p,
			    void *buf, size_t size);
int io_uring_queue_mmap(int fd, struct io_uring_params *p, struct io_uring *ring);
int io_uring_setup(unsigned int entries, struct io_uring_params *p);
int io_uring_enter(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
		   unsigned int flags, sigset_t *sig);
int io_uring_enter2(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
		    unsigned int flags, sigset_t *sig, size_t bytes);
int io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int nr);
int io_uring_submit(struct io_uring *ring);
int io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr);
int io_uring_submit_and_wait_timeout(struct io_uring *ring, CQE, unsigned int wait_nr, TIME,
				     sigset_t *mask);
int io_uring_submit_and_wait_min_timeout(struct io_uring *ring, CQE, unsigned int wait_nr, TIME,
					 unsigned int min_wait, sigset_t *mask);
int io_uring_submit_and_wait_reg(struct io_uring *ring, CQE, unsigned int wait_nr, int index);
int io_uring_submit_and_get_events(struct io_uring *ring);
int io_uring_register_files(struct io_uring *ring, const int *fds, unsigned int nr);
int io_uring_register_files_tags(struct io_uring *ring, const int *fds, const __u64 *tags,
				 unsigned int nr);
int io_uring_register_files_update(struct io_uring *ring, unsigned int off, const int *fds,
				   unsigned int nr);
int io_uring_register_files_update_tag(struct io_uring *ring, unsigned int off, const int *fds,
				       const __u64 *tags, unsigned int nr);

#define BEHIND_FUNCTIONS(F)                                                                     \
	F(queue_init) F(queue_init_params) F(queue_init_mem) F(queue_mmap) F(setup) F(enter)    \
	F(enter2) F(register) F(submit) F(submit_and_wait) F(submit_and_wait_timeout)           \
	F(submit_and_wait_min_timeout) F(submit_and_wait_reg) F(submit_and_get_events)          \
	F(register_files) F(register_files_tags) F(register_files_update)                       \
	F(register_files_update_tag)

#define BEHIND_MEMBER(name) __typeof__(&io_uring_##name) name##_;
struct behind { /* NULL: this liburing does not have it */
	BEHIND_FUNCTIONS(BEHIND_MEMBER)
};

/* Ordering:
 *   BEHIND  the table filled, then said so (release) -> loaded (acquire): it is seen. Several that
 *           fill it write the same.
 */
struct behind_once {
	struct behind table;
	_Atomic bool filled;
};

static void *find(const char *name)
{
	static const char *const libraries[] = { "liburing.so.2", "liburing-ffi.so.2" };
	void *found = dlsym(RTLD_NEXT, name);

	for (size_t i = 0; !found && i < sizeof(libraries) / sizeof(*libraries); i++) {
		void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);

		if (library)
			found = dlsym(library, name); /* it stays loaded */
	}
	return found;
}

/* The functions behind ours. The program has io_uring. */
static const struct behind *behind(void)
{
	/* Global: why: as real_found; filled once there is something to find. */
	static struct behind_once once;
	void *found;

	uring_note();
	/* BEHIND, reading end. */
	if (atomic_load_explicit(&once.filled, memory_order_acquire))
		return &once.table;
#define BEHIND_FIND(name)                \
	found = find("io_uring_" #name); \
	memcpy(&once.table.name##_, &found, sizeof(found)); /* as real.c */
	BEHIND_FUNCTIONS(BEHIND_FIND)
	if (once.table.queue_init_)
		/* BEHIND, writing end. */
		atomic_store_explicit(&once.filled, true, memory_order_release);
	return &once.table;
}

/* The same, with what is about to be submitted looked at. */
static const struct behind *behind_look(struct io_uring *ring)
{
	const struct io_uring_sq *sq = &ring->sq;
	unsigned int shift = ring->flags & IORING_SETUP_SQE128 ? 1 : 0, places;
	const struct behind *b = behind();
	struct chain chain = { 0 };

	for (unsigned int at = sq->sqe_head; at != sq->sqe_tail; at += places) {
		places = sqe_look(&sq->sqes[(at & *sq->kring_mask) << shift], &chain);
		if (shift == 1 || places > sq->sqe_tail - at)
			places = 1;
	}
	return b;
}

EXPORT int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	const struct behind *b = behind();

	return b->queue_init_ ? b->queue_init_(entries, ring, flags) : -ENOSYS;
}

EXPORT int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				      struct io_uring_params *p)
{
	const struct behind *b = behind();

	return b->queue_init_params_ ? b->queue_init_params_(entries, ring, p) : -ENOSYS;
}

EXPORT int io_uring_queue_init_mem(unsigned int entries, struct io_uring *ring,
				   struct io_uring_params *p, void *buf, size_t size)
{
	const struct behind *b = behind();

	return b->queue_init_mem_ ? b->queue_init_mem_(entries, ring, p, buf, size) : -ENOSYS;
}

/* A ring that the program has set up by itself is liburing's from here on, which closes it. */
EXPORT int io_uring_queue_mmap(int fd, struct io_uring_params *p, struct io_uring *ring)
{
	const struct behind *b = behind();

	ring_forget(fd);
	return b->queue_mmap_ ? b->queue_mmap_(fd, p, ring) : -ENOSYS;
}

EXPORT int io_uring_setup(unsigned int entries, struct io_uring_params *p)
{
	const struct behind *b = behind();
	int fd = b->setup_ ? b->setup_(entries, p) : -ENOSYS;

	if (fd >= 0)
		ring_opened(fd, p);
	return fd;
}

EXPORT int io_uring_enter(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
			  unsigned int flags, sigset_t *sig)
{
	const struct behind *b = behind();

	ring_look((int)fd, to_submit, flags);
	return b->enter_ ? b->enter_(fd, to_submit, min_complete, flags, sig) : -ENOSYS;
}

EXPORT int io_uring_enter2(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
			   unsigned int flags, sigset_t *sig, size_t bytes)
{
	const struct behind *b = behind();

	ring_look((int)fd, to_submit, flags);
	return b->enter2_ ? b->enter2_(fd, to_submit, min_complete, flags, sig, bytes) : -ENOSYS;
}

EXPORT int io_uring_submit(struct io_uring *ring)
{
	const struct behind *b = behind_look(ring);

	return b->submit_ ? b->submit_(ring) : -ENOSYS;
}

EXPORT int io_uring_submit_and_wait(struct io_uring *ring, unsigned int wait_nr)
{
	const struct behind *b = behind_look(ring);

	return b->submit_and_wait_ ? b->submit_and_wait_(ring, wait_nr) : -ENOSYS;
}

EXPORT int io_uring_submit_and_wait_timeout(struct io_uring *ring, CQE, unsigned int wait_nr, TIME,
					    sigset_t *mask)
{
	const struct behind *b = behind_look(ring);

	if (!b->submit_and_wait_timeout_)
		return -ENOSYS;
	return b->submit_and_wait_timeout_(ring, cqe, wait_nr, ts, mask);
}

EXPORT int io_uring_submit_and_wait_min_timeout(struct io_uring *ring, CQE, unsigned int wait_nr,
						TIME, unsigned int min_wait, sigset_t *mask)
{
	const struct behind *b = behind_look(ring);

	if (!b->submit_and_wait_min_timeout_)
		return -ENOSYS;
	return b->submit_and_wait_min_timeout_(ring, cqe, wait_nr, ts, min_wait, mask);
}

EXPORT int io_uring_submit_and_wait_reg(struct io_uring *ring, CQE, unsigned int wait_nr, int index)
{
	const struct behind *b = behind_look(ring);

	return b->submit_and_wait_reg_ ? b->submit_and_wait_reg_(ring, cqe, wait_nr, index)
				       : -ENOSYS;
}

EXPORT int io_uring_submit_and_get_events(struct io_uring *ring)
{
	const struct behind *b = behind_look(ring);

	return b->submit_and_get_events_ ? b->submit_and_get_events_(ring) : -ENOSYS;
}

/* ---- fixed files ---- */

EXPORT int io_uring_register(unsigned int fd, unsigned int opcode, const void *arg, unsigned int nr)
{
	const struct behind *b = behind();
	int ret = register_look(opcode, arg, nr);

	if (ret < 0)
		return ret;
	return b->register_ ? b->register_(fd, opcode, arg, nr) : -ENOSYS;
}

EXPORT int io_uring_register_files(struct io_uring *ring, const int *fds, unsigned int nr)
{
	const struct behind *b = behind();
	int ret = fixed_look(fds, nr);

	if (ret < 0)
		return ret;
	return b->register_files_ ? b->register_files_(ring, fds, nr) : -ENOSYS;
}

EXPORT int io_uring_register_files_tags(struct io_uring *ring, const int *fds, const __u64 *tags,
					unsigned int nr)
{
	const struct behind *b = behind();
	int ret = fixed_look(fds, nr);

	if (ret < 0)
		return ret;
	return b->register_files_tags_ ? b->register_files_tags_(ring, fds, tags, nr) : -ENOSYS;
}

EXPORT int io_uring_register_files_update(struct io_uring *ring, unsigned int off, const int *fds,
					  unsigned int nr)
{
	const struct behind *b = behind();
	int ret = fixed_look(fds, nr);

	if (ret < 0)
		return ret;
	return b->register_files_update_ ? b->register_files_update_(ring, off, fds, nr) : -ENOSYS;
}

EXPORT int io_uring_register_files_update_tag(struct io_uring *ring, unsigned int off,
					      const int *fds, const __u64 *tags, unsigned int nr)
{
	const struct behind *b = behind();
	int ret = fixed_look(fds, nr);

	if (ret < 0)
		return ret;
	if (!b->register_files_update_tag_)
		return -ENOSYS;
	return b->register_files_update_tag_(ring, off, fds, tags, nr);
}
