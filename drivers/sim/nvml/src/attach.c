/* This process and the driver: nvmlInit, nvmlShutdown, what was enumerated when. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake.h"

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct fake_state *mapped;
static char mapped_path[4096];
static unsigned users, epoch;
static uint32_t generation;
static unsigned enumerated_count, enumerated[MAX_GPUS];

struct fake_state *fake_attached(void)
{
    return mapped;
}

unsigned fake_epoch(void)
{
    return epoch;
}

unsigned fake_enumerated(unsigned *slots)
{
    memcpy(slots, enumerated, sizeof enumerated);
    return enumerated_count;
}

nvml_result fake_still_attached(const struct fake_state *state)
{
    return users && state->generation == generation ? OK : UNINITIALIZED;
}

static uint64_t seed_wanted(void)
{
    const char *seed = getenv("STOKER_FAKE_NVML_SEED");
    return seed ? strtoull(seed, NULL, 10) : 1;
}

static struct fake_state *private_gpus(const char *gpus)
{
    struct fake_state *state = fake_private();
    if (state && fake_seat(state, gpus, seed_wanted())) {
        fake_unmap(state);
        return NULL;
    }
    return state;
}

/* Without its environment the fake is a host without a driver: it never shows GPUs by accident. */
static struct fake_state *open_state(const char *path, const char *gpus)
{
    if (!path)
        return gpus ? private_gpus(gpus) : NULL;
    struct fake_state *state = fake_map(path);
    if (state || !gpus || (access(path, F_OK) == 0) || fake_make(path, gpus, seed_wanted()))
        return state;
    return fake_map(path);
}

/* A map is kept for ever: another thread may still be in a call on it. */
static struct fake_state *state_wanted(void)
{
    const char *path = getenv("STOKER_FAKE_NVML");
    const char *name = path ? path : "";
    if (mapped && !strcmp(name, mapped_path) && strlen(name) < sizeof mapped_path)
        return mapped;
    struct fake_state *state = open_state(path, getenv("STOKER_FAKE_NVML_GPUS"));
    if (state && strlen(name) < sizeof mapped_path)
        strcpy(mapped_path, name);
    return state;
}

static int alive(uint32_t pid)
{
    return pid && (kill((pid_t)pid, 0) == 0 || errno != ESRCH);
}

/* Other clients that still live; the dead leave the list. */
static unsigned other_clients(struct fake_state *state, uint32_t self)
{
    unsigned others = 0;
    for (int i = 0; i < MAX_CLIENTS; i++) {
        if (!alive(state->clients[i]))
            state->clients[i] = 0;
        others += state->clients[i] && state->clients[i] != self;
    }
    return others;
}

static void join(struct fake_state *state, uint32_t self)
{
    unsigned others = other_clients(state, self);
    for (unsigned slot = 0; slot < state->gpu_count; slot++) {
        struct fake_gpu *gpu = &state->gpus[slot];
        fake_settle(state, gpu);
        /* Nobody was there to keep the driver's state of this GPU alive. */
        if (!others && !gpu->persistence && !gpu->process_count)
            fake_forget_settings(gpu);
    }
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (!state->clients[i] || state->clients[i] == self) {
            state->clients[i] = self;
            return;
        }
}

static void leave(struct fake_state *state, uint32_t self)
{
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (state->clients[i] == self)
            state->clients[i] = 0;
}

static void enumerate(const struct fake_state *state)
{
    enumerated_count = 0;
    for (unsigned i = 0; i < state->gpu_count; i++) {
        const struct fake_gpu *gpu = &state->gpus[state->order[i]];
        if (!gpu->lost && !gpu->removed)
            enumerated[enumerated_count++] = state->order[i];
    }
}

static nvml_result attach(void)
{
    struct fake_state *state = state_wanted();
    if (!state)
        return DRIVER_NOT_LOADED;
    fake_count(state, "nvmlInitWithFlags", ANY);
    mapped = state;
    struct fake_strike strike = fake_strike(state, "nvmlInitWithFlags", ANY);
    if (strike.error || state->init_error)
        return strike.error ? strike.error : state->init_error;
    if (users && state->generation == generation) {
        users++;
        return OK;
    }
    fake_lock(state);
    join(state, (uint32_t)getpid());
    enumerate(state);
    generation = state->generation;
    fake_unlock(state);
    users = 1;
    epoch++;
    return OK;
}

NVML_EXPORT nvml_result nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    pthread_mutex_lock(&guard);
    nvml_result result = attach();
    pthread_mutex_unlock(&guard);
    return result;
}

NVML_EXPORT nvml_result nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

NVML_EXPORT nvml_result nvmlShutdown(void)
{
    if (mapped) {
        fake_count(mapped, __func__, ANY);
        fake_strike(mapped, __func__, ANY);
    }
    pthread_mutex_lock(&guard);
    nvml_result result = users ? OK : UNINITIALIZED;
    if (users && --users == 0) {
        fake_lock(mapped);
        leave(mapped, (uint32_t)getpid());
        fake_unlock(mapped);
        __atomic_fetch_add(&mapped->event_word, 1, __ATOMIC_RELEASE);
        fake_wake(&mapped->event_word);
    }
    pthread_mutex_unlock(&guard);
    return result;
}
