/* What the steering side (control.py) does through C: whatever needs the lock, the clock or a
 * wake-up. It is linked into a library of its own, so that a process that steers does not have
 * a libnvidia-ml.so.1 in its memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

NVML_EXPORT unsigned fake_control_size(void)
{
    return sizeof(struct fake_state);
}

NVML_EXPORT int fake_control_make(const char *path, const char *gpus, uint64_t seed)
{
    return fake_make(path, gpus, seed);
}

NVML_EXPORT struct fake_state *fake_control_open(const char *path)
{
    return fake_map(path);
}

NVML_EXPORT void fake_control_close(struct fake_state *state)
{
    fake_unmap(state);
}

/* Opens a change: every GPU is brought up to now under what held until now. */
NVML_EXPORT void fake_control_begin(struct fake_state *state)
{
    fake_lock(state);
    for (unsigned slot = 0; slot < state->gpu_count; slot++)
        fake_settle(state, &state->gpus[slot]);
}

NVML_EXPORT void fake_control_end(struct fake_state *state)
{
    for (unsigned slot = 0; slot < state->gpu_count; slot++)
        fake_settle(state, &state->gpus[slot]);
    fake_unlock(state);
}

NVML_EXPORT double fake_control_now(const struct fake_state *state)
{
    return fake_now(state);
}

NVML_EXPORT void fake_control_freeze(struct fake_state *state)
{
    fake_lock(state);
    double now = fake_now(state);
    state->clock_frozen_s = now - state->clock_offset_s;
    fake_unlock(state);
}

NVML_EXPORT void fake_control_post(struct fake_state *state, unsigned slot, uint64_t type,
                                   uint64_t data, unsigned gpu_instance, unsigned compute_instance)
{
    fake_post(state, slot, type, data, gpu_instance, compute_instance);
}

/* Wakes those who wait for events, so that they see a GPU that is lost or a driver that is gone. */
NVML_EXPORT void fake_control_wake(struct fake_state *state)
{
    __atomic_fetch_add(&state->event_word, 1, __ATOMIC_RELEASE);
    fake_wake(&state->event_word);
}

NVML_EXPORT int fake_control_arm(struct fake_state *state, const char *function, unsigned slot,
                                 unsigned kind, unsigned value, unsigned skip, unsigned times)
{
    int place = -1;
    fake_lock(state);
    for (int i = 0; i < MAX_FAULTS && place < 0; i++)
        if (!state->faults[i].active)
            place = i;
    if (place >= 0) {
        struct fake_fault *fault = &state->faults[place];
        memset(fault, 0, sizeof *fault);
        strncpy(fault->function, function, sizeof fault->function - 1);
        fault->slot = slot;
        fault->kind = kind;
        fault->value = value;
        fault->skip = skip;
        fault->times = times;
        __atomic_store_n(&fault->active, ++state->fault_serial, __ATOMIC_RELEASE);
    }
    fake_unlock(state);
    return place;
}

NVML_EXPORT void fake_control_lift(struct fake_state *state, unsigned place)
{
    struct fake_fault *fault = &state->faults[place];
    __atomic_store_n(&fault->active, 0, __ATOMIC_RELEASE);
    fake_wake(&fault->active);
}

/* Waits until a fault struck more often than `seen`, or the time is over; says how often. */
NVML_EXPORT unsigned fake_control_strikes(struct fake_state *state, unsigned place, unsigned seen,
                                          unsigned milliseconds)
{
    uint32_t *strikes = &state->faults[place].strikes;
    if (__atomic_load_n(strikes, __ATOMIC_ACQUIRE) == seen)
        fake_wait_on(strikes, seen, milliseconds);
    return __atomic_load_n(strikes, __ATOMIC_ACQUIRE);
}

NVML_EXPORT void fake_control_delay(struct fake_state *state, const char *name, unsigned delay_us)
{
    fake_lock(state);
    struct fake_function *function = fake_function(state, name);
    if (function) {
        strncpy(function->name, name, sizeof function->name - 1);
        function->delay_us = delay_us;
    }
    fake_unlock(state);
}

/* A reset, as `nvidia-smi --gpu-reset` does it: what waited for one takes effect. */
NVML_EXPORT void fake_control_reset(struct fake_state *state, unsigned slot)
{
    struct fake_gpu *gpu = &state->gpus[slot];
    fake_forget_settings(gpu);
    gpu->ecc_mode = gpu->ecc_pending;
    gpu->mig_mode = gpu->mig_pending;
    gpu->recovery_action = 0;
    gpu->remap_pending = 0;
    gpu->retired_pending = 0;
    gpu->process_count = 0;
    memset(gpu->gpu_instances, 0, sizeof gpu->gpu_instances);
    memset(gpu->compute_instances, 0, sizeof gpu->compute_instances);
}

/* The driver goes and comes back: handles are void, counters start anew, settings are gone. */
NVML_EXPORT void fake_control_reload(struct fake_state *state)
{
    for (unsigned slot = 0; slot < state->gpu_count; slot++) {
        struct fake_gpu *gpu = &state->gpus[slot];
        fake_control_reset(state, slot);
        gpu->persistence = 0;
        gpu->energy_j = 0;
        memset(gpu->violation_s, 0, sizeof gpu->violation_s);
        memset(&gpu->total, 0, sizeof gpu->total);
    }
    state->generation++;
    memset(state->clients, 0, sizeof state->clients);
}
