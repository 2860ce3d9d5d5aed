/* How every call begins and ends. */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "fake.h"

enum { WRITERS_PRIVILEGED, WRITERS_ALL, WRITERS_NONE }; /* as control.py numbers them */

/* As the driver asks: root without CAP_SYS_ADMIN is refused as well. */
static int is_privileged(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
    if (syscall(SYS_capget, &header, data))
        return 0;
    return (data[0].effective >> CAP_SYS_ADMIN & 1) != 0;
}

nvml_result fake_may_write(const struct fake_state *state)
{
    if (state->writers == WRITERS_ALL)
        return OK;
    return state->writers == WRITERS_PRIVILEGED && is_privileged() ? OK : NO_PERMISSION;
}

static struct fake_call refused(nvml_result result)
{
    struct fake_call call = {.result = result};
    return call;
}

/* Counts, strikes, and holds the lock if all is well. */
static struct fake_call open_call(const char *function, const struct fake_place *place)
{
    struct fake_state *state = fake_attached();
    if (!state)
        return refused(UNINITIALIZED);
    fake_count(state, function, place ? place->slot : ANY);
    struct fake_strike strike = fake_strike(state, function, place ? place->slot : ANY);
    nvml_result result = fake_still_attached(state);
    if (result == OK)
        result = strike.error;
    if (result != OK)
        return refused(result);
    struct fake_call call = {.result = OK, .lies = strike.lies, .state = state};
    fake_lock(state);
    return call;
}

void fake_end(struct fake_call *call)
{
    if (call->state)
        fake_unlock(call->state);
    call->state = NULL;
}

static void refuse(struct fake_call *call, nvml_result result)
{
    fake_end(call);
    call->result = result;
}

static int has_instances(struct fake_gpu *gpu, const struct fake_place *place)
{
    if (place->gpu_instance == NO_INSTANCE)
        return 1;
    if (!fake_gpu_instance(gpu, place->gpu_instance))
        return 0;
    if (place->compute_instance == NO_INSTANCE)
        return 1;
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++) {
        const struct fake_compute_instance *compute = &gpu->compute_instances[i];
        if (compute->used && compute->gpu_instance == place->gpu_instance &&
            compute->id == place->compute_instance)
            return 1;
    }
    return 0;
}

static void reach_gpu(struct fake_call *call, const struct fake_place *place)
{
    call->place = *place;
    call->gpu = &call->state->gpus[place->slot];
    fake_settle(call->state, call->gpu);
    if (call->gpu->lost || call->gpu->removed)
        refuse(call, GPU_IS_LOST);
    else if (!has_instances(call->gpu, place))
        refuse(call, INVALID_ARGUMENT);
}

static struct fake_call begin(const char *function, int valid, const struct fake_place *place)
{
    struct fake_call call = open_call(function, valid ? place : NULL);
    if (call.result != OK)
        return call;
    if (!valid || place->slot >= call.state->gpu_count)
        refuse(&call, INVALID_ARGUMENT);
    else
        reach_gpu(&call, place);
    return call;
}

struct fake_call fake_begin(const char *function, nvml_device device, enum fake_reach reach)
{
    struct fake_place place;
    int valid = fake_device_place(device, &place);
    struct fake_call call = begin(function, valid, &place);
    if (call.result == OK && reach == WHOLE_GPU && place.gpu_instance != NO_INSTANCE)
        refuse(&call, NOT_SUPPORTED);
    return call;
}

struct fake_call fake_begin_instance(const char *function, nvml_instance instance)
{
    struct fake_place place;
    int valid = fake_instance_place(instance, &place);
    return begin(function, valid, &place);
}

struct fake_call fake_begin_system(const char *function)
{
    return open_call(function, NULL);
}

nvml_result fake_put_string(char *to, unsigned size, const char *from)
{
    if (!to)
        return INVALID_ARGUMENT;
    if (strlen(from) + 1 > size)
        return INSUFFICIENT_SIZE;
    memcpy(to, from, strlen(from) + 1);
    return OK;
}

unsigned fake_percent(double value)
{
    return (unsigned)(value + 0.5);
}
