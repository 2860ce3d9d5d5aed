/* GPU instances and compute instances: made, listed, destroyed. A compute instance takes slices of
 * its GPU instance from the left; its profile is NVML's number of the kind. */
#include <string.h>

#include "fake.h"

#define SLOTS 8 /* memory slices of a GPU */

static unsigned taken(const struct fake_gpu *gpu)
{
    unsigned mask = 0;
    for (int i = 0; i < MAX_GPU_INSTANCES; i++) {
        const struct fake_gpu_instance *instance = &gpu->gpu_instances[i];
        if (instance->used)
            mask |= ((1u << instance->size) - 1) << instance->start;
    }
    return mask;
}

static int fits(unsigned mask, const struct fake_mig_profile *profile, unsigned start)
{
    unsigned wanted = ((1u << profile->memory_slices) - 1) << start;
    return profile->starts >> start & 1 && !(mask & wanted);
}

/* The last place that is free: what is left stays whole for larger ones as long as it can. */
static int find_start(const struct fake_gpu *gpu, const struct fake_mig_profile *profile)
{
    unsigned mask = taken(gpu);
    for (int start = SLOTS - 1; start >= 0; start--)
        if (fits(mask, profile, (unsigned)start))
            return start;
    return -1;
}

static struct fake_gpu_instance *free_instance(struct fake_gpu *gpu)
{
    for (int i = 0; i < MAX_GPU_INSTANCES; i++)
        if (!gpu->gpu_instances[i].used)
            return &gpu->gpu_instances[i];
    return NULL;
}

static nvml_result create(struct fake_call *call, const struct fake_mig_profile *profile, int start,
                          nvml_instance *handle)
{
    struct fake_gpu_instance *instance = free_instance(call->gpu);
    if (!instance || start < 0 || !fits(taken(call->gpu), profile, (unsigned)start))
        return INSUFFICIENT_RESOURCES;
    memset(instance, 0, sizeof *instance);
    instance->used = 1;
    instance->id = (unsigned)(instance - call->gpu->gpu_instances) + 1;
    instance->profile = profile->id;
    instance->start = (unsigned)start;
    instance->size = profile->memory_slices;
    *handle = fake_instance_handle(call->place.slot, instance->id, NO_INSTANCE);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceCreateGpuInstance(nvml_device device, unsigned id,
                                                    nvml_instance *handle)
{
    ON_GPU_TO_WRITE(device);
    NEED(handle);
    SUPPORTED(gpu->mig_mode);
    const struct fake_mig_profile *profile = fake_mig_profile(gpu, id);
    SUPPORTED(profile);
    return create(&call, profile, find_start(gpu, profile), handle);
}

NVML_EXPORT nvml_result nvmlDeviceCreateGpuInstanceWithPlacement(
    nvml_device device, unsigned id, const struct nvml_placement *placement, nvml_instance *handle)
{
    ON_GPU_TO_WRITE(device);
    NEED(handle && placement && placement->start < SLOTS);
    SUPPORTED(gpu->mig_mode);
    const struct fake_mig_profile *profile = fake_mig_profile(gpu, id);
    SUPPORTED(profile);
    NEED(placement->size == profile->memory_slices);
    return create(&call, profile, (int)placement->start, handle);
}

#define ON_INSTANCE(handle)                                                 \
    ENDS struct fake_call call = fake_begin_instance(__func__, (handle));   \
    if (call.result != OK)                                                  \
        return call.result;                                                 \
    struct fake_gpu *gpu = call.gpu;                                        \
    unsigned gi = call.place.gpu_instance, ci = call.place.compute_instance; \
    (void)ci;                                                               \
    NEED(gi != NO_INSTANCE)

static unsigned computes_of(const struct fake_gpu *gpu, unsigned gi)
{
    unsigned count = 0;
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++)
        count += gpu->compute_instances[i].used && gpu->compute_instances[i].gpu_instance == gi;
    return count;
}

static int has_processes(const struct fake_gpu *gpu, unsigned gi)
{
    for (unsigned i = 0; i < gpu->process_count; i++)
        if (gpu->processes[i].gpu_instance == gi)
            return 1;
    return 0;
}

NVML_EXPORT nvml_result nvmlGpuInstanceDestroy(nvml_instance handle)
{
    ON_INSTANCE(handle);
    if (fake_may_write(call.state) != OK)
        return NO_PERMISSION;
    if (computes_of(gpu, gi) || has_processes(gpu, gi))
        return IN_USE;
    fake_gpu_instance(gpu, gi)->used = 0;
    return OK;
}

/* `count` comes without a size: as NVML has it, the caller gives room for the most there can be. */
NVML_EXPORT nvml_result nvmlDeviceGetGpuInstances(nvml_device device, unsigned id,
                                                  nvml_instance *handles, unsigned *count)
{
    ON_GPU(device);
    NEED(handles && count);
    SUPPORTED(gpu->mig_mode);
    *count = 0;
    for (int i = 0; i < MAX_GPU_INSTANCES; i++) {
        const struct fake_gpu_instance *instance = &gpu->gpu_instances[i];
        if (instance->used && instance->profile == id)
            handles[(*count)++] = fake_instance_handle(call.place.slot, instance->id, NO_INSTANCE);
    }
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetGpuInstanceById(nvml_device device, unsigned id,
                                                     nvml_instance *handle)
{
    ON_GPU(device);
    NEED(handle);
    SUPPORTED(gpu->mig_mode);
    if (!fake_gpu_instance(gpu, id))
        return NOT_FOUND;
    *handle = fake_instance_handle(call.place.slot, id, NO_INSTANCE);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetGpuInstanceRemainingCapacity(nvml_device device, unsigned id,
                                                                  unsigned *count)
{
    ON_GPU(device);
    NEED(count);
    SUPPORTED(gpu->mig_mode);
    const struct fake_mig_profile *profile = fake_mig_profile(gpu, id);
    SUPPORTED(profile);
    unsigned mask = taken(gpu);
    *count = 0;
    for (unsigned start = 0; start < SLOTS; start++)
        if (fits(mask, profile, start)) {
            mask |= ((1u << profile->memory_slices) - 1) << start;
            ++*count;
        }
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetGpuInstancePossiblePlacements_v2(
    nvml_device device, unsigned id, struct nvml_placement *placements, unsigned *count)
{
    ON_GPU(device);
    NEED(count);
    SUPPORTED(gpu->model.has_mig);
    const struct fake_mig_profile *profile = fake_mig_profile(gpu, id);
    SUPPORTED(profile);
    unsigned room = placements ? *count : SLOTS;
    *count = (unsigned)__builtin_popcount(profile->starts);
    if (*count > room)
        return INSUFFICIENT_SIZE;
    for (unsigned start = 0, to = 0; placements && start < SLOTS; start++)
        if (profile->starts >> start & 1)
            placements[to++] = (struct nvml_placement){start, profile->memory_slices};
    return OK;
}

NVML_EXPORT nvml_result nvmlGpuInstanceGetInfo(nvml_instance handle, struct nvml_gpu_instance *to)
{
    ON_INSTANCE(handle);
    NEED(to);
    const struct fake_gpu_instance *instance = fake_gpu_instance(gpu, gi);
    to->device = fake_device_handle(call.place.slot, NO_INSTANCE, NO_INSTANCE);
    to->id = instance->id;
    to->profile = instance->profile;
    to->placement = (struct nvml_placement){instance->start, instance->size};
    return OK;
}

/* Slices of each kind of compute instance, by NVML's number. */
static const unsigned char slices_of[] = {1, 2, 3, 4, 7, 8, 6};

static unsigned slices_left(struct fake_gpu *gpu, unsigned gi)
{
    unsigned left = fake_mig_profile(gpu, fake_gpu_instance(gpu, gi)->profile)->slices;
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++)
        if (gpu->compute_instances[i].used && gpu->compute_instances[i].gpu_instance == gi)
            left -= gpu->compute_instances[i].size;
    return left;
}

static nvml_result compute_profile(struct fake_gpu *gpu, unsigned gi, unsigned kind,
                                   struct nvml_compute_profile *to)
{
    const struct fake_mig_profile *whole = fake_mig_profile(gpu, fake_gpu_instance(gpu, gi)->profile);
    NEED(kind < 9);
    SUPPORTED(kind < sizeof slices_of && slices_of[kind] <= whole->slices);
    memset(to, 0, sizeof *to);
    to->id = kind;
    to->slices = slices_of[kind];
    to->instances = whole->slices / slices_of[kind];
    to->multiprocessors = whole->multiprocessors * slices_of[kind] / whole->slices;
    to->copy_engines = whole->copy_engines;
    to->decoders = whole->decoders;
    return OK;
}

NVML_EXPORT nvml_result nvmlGpuInstanceGetComputeInstanceProfileInfo(
    nvml_instance handle, unsigned kind, unsigned engines, struct nvml_compute_profile *to)
{
    ON_INSTANCE(handle);
    NEED(to && engines == 0);
    return compute_profile(gpu, gi, kind, to);
}

NVML_EXPORT nvml_result nvmlGpuInstanceGetComputeInstanceProfileInfoV(
    nvml_instance handle, unsigned kind, unsigned engines, struct nvml_compute_profile_v2 *to)
{
    ON_INSTANCE(handle);
    NEED(to && engines == 0);
    if (to->version != VERSION_OF(struct nvml_compute_profile_v2, 2))
        return ARGUMENT_VERSION_MISMATCH;
    struct nvml_compute_profile plain;
    nvml_result result = compute_profile(gpu, gi, kind, &plain);
    if (result != OK)
        return result;
    memcpy(&to->id, &plain, sizeof plain);
    to->name[0] = 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlGpuInstanceGetComputeInstanceRemainingCapacity(nvml_instance handle,
                                                                           unsigned kind,
                                                                           unsigned *count)
{
    ON_INSTANCE(handle);
    NEED(count);
    struct nvml_compute_profile profile;
    nvml_result result = compute_profile(gpu, gi, kind, &profile);
    if (result == OK)
        *count = slices_left(gpu, gi) / profile.slices;
    return result;
}

static struct fake_compute_instance *free_compute(struct fake_gpu *gpu)
{
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++)
        if (!gpu->compute_instances[i].used)
            return &gpu->compute_instances[i];
    return NULL;
}

static unsigned free_id(const struct fake_gpu *gpu, unsigned gi)
{
    unsigned ids = 0, id = 0;
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++)
        if (gpu->compute_instances[i].used && gpu->compute_instances[i].gpu_instance == gi)
            ids |= 1u << gpu->compute_instances[i].id;
    while (ids >> id & 1)
        id++;
    return id;
}

NVML_EXPORT nvml_result nvmlGpuInstanceCreateComputeInstance(nvml_instance handle, unsigned kind,
                                                             nvml_instance *made)
{
    ON_INSTANCE(handle);
    NEED(made);
    if (fake_may_write(call.state) != OK)
        return NO_PERMISSION;
    struct nvml_compute_profile profile;
    nvml_result result = compute_profile(gpu, gi, kind, &profile);
    if (result != OK)
        return result;
    struct fake_compute_instance *compute = free_compute(gpu);
    unsigned left = slices_left(gpu, gi);
    if (!compute || left < profile.slices)
        return INSUFFICIENT_RESOURCES;
    compute->used = 1;
    compute->gpu_instance = gi;
    compute->id = free_id(gpu, gi);
    compute->profile = kind;
    compute->start = fake_mig_profile(gpu, fake_gpu_instance(gpu, gi)->profile)->slices - left;
    compute->size = profile.slices;
    *made = fake_instance_handle(call.place.slot, gi, compute->id);
    return OK;
}

static struct fake_compute_instance *find_compute(struct fake_gpu *gpu, unsigned gi, unsigned ci)
{
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++) {
        struct fake_compute_instance *compute = &gpu->compute_instances[i];
        if (compute->used && compute->gpu_instance == gi && compute->id == ci)
            return compute;
    }
    return NULL;
}

NVML_EXPORT nvml_result nvmlComputeInstanceDestroy(nvml_instance handle)
{
    ON_INSTANCE(handle);
    NEED(ci != NO_INSTANCE);
    if (fake_may_write(call.state) != OK)
        return NO_PERMISSION;
    if (has_processes(gpu, gi))
        return IN_USE;
    find_compute(gpu, gi, ci)->used = 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlGpuInstanceGetComputeInstances(nvml_instance handle, unsigned kind,
                                                           nvml_instance *handles, unsigned *count)
{
    ON_INSTANCE(handle);
    NEED(handles && count);
    *count = 0;
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++) {
        const struct fake_compute_instance *compute = &gpu->compute_instances[i];
        if (compute->used && compute->gpu_instance == gi && compute->profile == kind)
            handles[(*count)++] = fake_instance_handle(call.place.slot, gi, compute->id);
    }
    return OK;
}

NVML_EXPORT nvml_result nvmlGpuInstanceGetComputeInstanceById(nvml_instance handle, unsigned id,
                                                              nvml_instance *to)
{
    ON_INSTANCE(handle);
    NEED(to);
    if (!find_compute(gpu, gi, id))
        return NOT_FOUND;
    *to = fake_instance_handle(call.place.slot, gi, id);
    return OK;
}

NVML_EXPORT nvml_result nvmlComputeInstanceGetInfo_v2(nvml_instance handle,
                                                      struct nvml_compute_instance *to)
{
    ON_INSTANCE(handle);
    NEED(to && ci != NO_INSTANCE);
    const struct fake_compute_instance *compute = find_compute(gpu, gi, ci);
    to->device = fake_device_handle(call.place.slot, NO_INSTANCE, NO_INSTANCE);
    to->gpu_instance = fake_instance_handle(call.place.slot, gi, NO_INSTANCE);
    to->id = compute->id;
    to->profile = compute->profile;
    to->placement = (struct nvml_placement){compute->start, compute->size};
    return OK;
}
