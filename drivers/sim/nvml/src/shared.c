/* The shared file: made, mapped, locked, and its clock. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(((struct fake_state *)0)->lock), "lock fits");

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void begin(struct fake_state *state)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    /* Clients are killed in tests, some of them in the middle of a call. */
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init((pthread_mutex_t *)state->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    state->size = sizeof *state;
    state->generation = 1;
    state->created_s = seconds(CLOCK_MONOTONIC);
    state->wall_at_creation_s = seconds(CLOCK_REALTIME);
    state->clock_frozen_s = NAN;
}

static struct fake_state *map_file(int file)
{
    struct stat status;
    if (fstat(file, &status) || status.st_size != (off_t)sizeof(struct fake_state))
        return NULL;
    void *memory =
        mmap(NULL, sizeof(struct fake_state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct fake_state *fake_map(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return NULL;
    struct fake_state *state = map_file(file);
    close(file);
    if (!state)
        return NULL;
    if (state->magic == FAKE_MAGIC && state->size == sizeof *state)
        return state;
    fake_unmap(state);
    return NULL;
}

static int fill(int file, const char *gpus, uint64_t seed)
{
    if (ftruncate(file, sizeof(struct fake_state)))
        return -1;
    struct fake_state *state = map_file(file);
    if (!state)
        return -1;
    begin(state);
    int failed = fake_seat(state, gpus, seed);
    state->magic = FAKE_MAGIC;
    fake_unmap(state);
    return failed;
}

/* The file appears whole or not at all: several processes may start at once. */
int fake_make(const char *path, const char *gpus, uint64_t seed)
{
    char draft[4096];
    int length = snprintf(draft, sizeof draft, "%s.XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof draft)
        return -1;
    int file = mkostemp(draft, O_CLOEXEC);
    if (file < 0)
        return -1;
    int failed = fill(file, gpus, seed);
    close(file);
    if (!failed && link(draft, path) && errno != EEXIST)
        failed = -1;
    unlink(draft);
    return failed;
}

struct fake_state *fake_private(void)
{
    void *memory = mmap(NULL, sizeof(struct fake_state), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    begin(memory);
    ((struct fake_state *)memory)->magic = FAKE_MAGIC;
    return memory;
}

void fake_unmap(struct fake_state *state)
{
    munmap(state, sizeof *state);
}

void fake_lock(struct fake_state *state)
{
    if (pthread_mutex_lock((pthread_mutex_t *)state->lock) == EOWNERDEAD)
        pthread_mutex_consistent((pthread_mutex_t *)state->lock);
}

void fake_unlock(struct fake_state *state)
{
    pthread_mutex_unlock((pthread_mutex_t *)state->lock);
}

double fake_now(const struct fake_state *state)
{
    double now = isnan(state->clock_frozen_s) ? seconds(CLOCK_MONOTONIC) : state->clock_frozen_s;
    return now + state->clock_offset_s;
}

uint64_t fake_wall_us(const struct fake_state *state, double now_s)
{
    return (uint64_t)((state->wall_at_creation_s + now_s - state->created_s) * 1e6);
}

/* Returns when the word differs, after a wake-up or when the time is over. */
int fake_wait_on(uint32_t *word, uint32_t seen, unsigned milliseconds)
{
    struct timespec limit = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    struct timespec *timeout = milliseconds == ANY ? NULL : &limit;
    return (int)syscall(SYS_futex, word, FUTEX_WAIT, seen, timeout, NULL, 0);
}

void fake_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}
