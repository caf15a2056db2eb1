/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Put before every source of the product that the simulation compiles (-include): where the product asks the
 * system for time, sleep, memory files or sockets, the simulated world answers. Nothing else differs from the
 * program's own build, and the product knows nothing of this.
 *
 * Sockets and files only where SIM_SOCKETS, SIM_FILES say so: their names are words of other things
 * elsewhere.
 */
#ifndef TESTS_SIM_SEAM_H
#define TESTS_SIM_SEAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ftcore/base/cpu.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int sim_clock_gettime(clockid_t seq, struct timespec *out);
int sim_nanosleep(const struct timespec *time, struct timespec *left);
void sim_spin(void);
int sim_sched_yield(void);

#define clock_gettime sim_clock_gettime
#define nanosleep     sim_nanosleep
#define sched_yield   sim_sched_yield
#define eventfd(...)  (-1) /* lanes wake by ft_lane_ring, which is the simulation's own */
static inline int sim_prctl(int what, ...)
{
    (void)what;
    return 0;
}
#define prctl    sim_prctl
#define ft_pause sim_spin

#ifdef SIM_MEMORY /* ftcore/, replicator/: what a node asks for when it starts may be refused */
#include <stdlib.h>
#include "tests/sim/limits.h"
void *sim_malloc(size_t size);
void *sim_calloc(size_t n, size_t size);
void *sim_aligned_alloc(size_t alignment, size_t size);
#define malloc        sim_malloc
#define calloc        sim_calloc
#define aligned_alloc sim_aligned_alloc
/* Of the region's memory, which is no file here (window.c). */
#include <unistd.h>
off_t sim_lseek(int fd, off_t offset, int whence);
#define lseek sim_lseek
#ifndef SIM_REGION
void *sim_map(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int sim_memory_file(const char *name, unsigned flags);
int sim_truncate(int fd, off_t size);
#define mmap         sim_map
#define memfd_create sim_memory_file
#define ftruncate    sim_truncate
#endif
#endif

#ifdef SIM_REGION /* ftcore/region/region.c: one window that the nodes' regions take turns in */
int sim_memfd_create(const char *name, unsigned flags);
int sim_ftruncate(int fd, off_t size);
void *sim_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int sim_munmap(void *at, size_t size);
int sim_fallocate(int fd, int mode, off_t offset, off_t size);
int sim_close_memory(int fd);
#define memfd_create sim_memfd_create
#define ftruncate    sim_ftruncate
#define mmap         sim_mmap
#define munmap       sim_munmap
#define fallocate    sim_fallocate
#define close        sim_close_memory
#endif

#ifdef SIM_SOCKETS /* replicator/link.c, replicator/stream.c */
#include <poll.h>
#include <sys/socket.h>
ssize_t sim_recv(int fd, void *to, size_t size, int flags);
ssize_t sim_recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *len);
ssize_t sim_send(int fd, const void *from, size_t size, int flags);
int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *time, const sigset_t *mask);
int sim_poll(struct pollfd *fds, nfds_t n, int ms);
int sim_close(int fd);
#define recv     sim_recv
#define recvfrom sim_recvfrom
#define send     sim_send
#define ppoll    sim_ppoll
#define poll     sim_poll
#define close    sim_close
#endif

#ifdef SIM_DATAGRAMS /* understudy/ports/datagrams.c, fed.c: the network to an input keeper */
#include <sys/socket.h>
int sim_socket(int domain, int type, int protocol);
int sim_bind(int fd, const struct sockaddr *at, socklen_t len);
int sim_connect(int fd, const struct sockaddr *to, socklen_t len);
int sim_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int sim_recvmmsg(int fd, struct mmsghdr *to, unsigned n, int flags, struct timespec *time);
int sim_sendmmsg(int fd, struct mmsghdr *from, unsigned n, int flags);
int sim_close_datagrams(int fd);
#define socket     sim_socket
#define bind       sim_bind
#define connect    sim_connect
#define setsockopt sim_setsockopt
#define recvmmsg   sim_recvmmsg
#define sendmmsg   sim_sendmmsg
#define close      sim_close_datagrams
#endif

#ifdef SIM_THREAD /* ftcore/base/worker.c, replicator/view_writer.c: a task of the node */
#include <pthread.h>
#include <semaphore.h>
int sim_thread_create(pthread_t *thread, const pthread_attr_t *how, void *(*entry)(void *), void *arg);
int sim_thread_join(pthread_t thread, void **result, clockid_t clock, const struct timespec *until);
int sim_sem_wait(sem_t *s);
int sim_sem_post(sem_t *s);
#define pthread_create       sim_thread_create
#define pthread_clockjoin_np sim_thread_join
#define sem_wait             sim_sem_wait
#define sem_post             sim_sem_post
#define close_range(...)     0
static inline long sim_syscall(long number, ...) /* its capabilities */
{
    (void)number;
    return 0;
}
#define syscall sim_syscall
#endif

#ifdef SIM_FILES /* replicator/view.c, ftcore/base/durable.c: a file for each node, which outlives it */
int sim_open(const char *path, int flags, ...);
ssize_t sim_read(int fd, void *to, size_t size);
ssize_t sim_write(int fd, const void *from, size_t size);
int sim_close_file(int fd);
int sim_rename(const char *from, const char *to);
int sim_unlink(const char *path);
int sim_fsync(int fd);
#define open   sim_open
#define read   sim_read
#define write  sim_write
#define close  sim_close_file
#define rename sim_rename
#define unlink sim_unlink
#define fsync  sim_fsync
#endif

#endif
