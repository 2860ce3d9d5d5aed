/* MIG seen from the GPU: its mode, its profiles, the devices it shows. */
#include <string.h>

#include "fake.h"

struct fake_gpu_instance *fake_gpu_instance(struct fake_gpu *gpu, unsigned id)
{
    for (int i = 0; i < MAX_GPU_INSTANCES; i++)
        if (gpu->gpu_instances[i].used && gpu->gpu_instances[i].id == id)
            return &gpu->gpu_instances[i];
    return NULL;
}

/* By NVML's number of the kind, as instances carry it. */
const struct fake_mig_profile *fake_mig_profile(const struct fake_gpu *gpu, unsigned id)
{
    for (unsigned i = 0; i < gpu->model.mig_profile_count; i++)
        if (gpu->model.mig_profiles[i].id == id)
            return &gpu->model.mig_profiles[i];
    return NULL;
}

static const struct fake_mig_profile *by_kind(const struct fake_gpu *gpu, unsigned kind)
{
    for (unsigned i = 0; i < gpu->model.mig_profile_count; i++)
        if (gpu->model.mig_profiles[i].profile == kind)
            return &gpu->model.mig_profiles[i];
    return NULL;
}

NVML_EXPORT nvml_result nvmlDeviceGetMigMode(nvml_device device, unsigned *current,
                                             unsigned *pending)
{
    ON_GPU(device);
    NEED(current && pending);
    SUPPORTED(gpu->model.has_mig);
    *current = gpu->mig_mode;
    *pending = gpu->mig_pending;
    return OK;
}

static int in_use(const struct fake_gpu *gpu)
{
    for (int i = 0; i < MAX_GPU_INSTANCES; i++)
        if (gpu->gpu_instances[i].used)
            return 1;
    return gpu->process_count > 0;
}

/* The answer is OK even where the mode waits for a reset: the status says so. */
NVML_EXPORT nvml_result nvmlDeviceSetMigMode(nvml_device device, unsigned mode,
                                             nvml_result *activation)
{
    ON_GPU_TO_WRITE(device);
    NEED(activation && mode <= 1);
    SUPPORTED(gpu->model.has_mig);
    gpu->mig_pending = mode;
    *activation = OK;
    if (gpu->mig_mode != mode && in_use(gpu))
        *activation = IN_USE;
    else
        gpu->mig_mode = mode;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceIsMigDeviceHandle(nvml_device device, unsigned *is_mig)
{
    ON_ANY(device);
    NEED(is_mig);
    *is_mig = call.place.gpu_instance != NO_INSTANCE;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetMaxMigDeviceCount(nvml_device device, unsigned *count)
{
    ON_GPU(device);
    NEED(count);
    *count = gpu->model.has_mig ? MAX_GPU_INSTANCES : 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetMigDeviceHandleByIndex(nvml_device device, unsigned index,
                                                            nvml_device *mig)
{
    ON_GPU(device);
    NEED(mig);
    SUPPORTED(gpu->model.has_mig);
    NEED(index < MAX_GPU_INSTANCES);
    for (int i = 0; i < MAX_COMPUTE_INSTANCES; i++) {
        const struct fake_compute_instance *compute = &gpu->compute_instances[i];
        if (!compute->used || index-- > 0)
            continue;
        *mig = fake_device_handle(call.place.slot, compute->gpu_instance, compute->id);
        return OK;
    }
    return NOT_FOUND;
}

NVML_EXPORT nvml_result nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvml_device mig,
                                                                     nvml_device *device)
{
    ON_ANY(mig);
    NEED(device && call.place.gpu_instance != NO_INSTANCE);
    *device = fake_device_handle(call.place.slot, NO_INSTANCE, NO_INSTANCE);
    return OK;
}

#define INSTANCE_NUMBER(function, field)                                   \
    NVML_EXPORT nvml_result function(nvml_device device, unsigned *number) \
    {                                                                      \
        ON_ANY(device);                                                    \
        NEED(number);                                                      \
        NEED(call.place.gpu_instance != NO_INSTANCE);                      \
        *number = call.place.field;                                        \
        return OK;                                                         \
    }

INSTANCE_NUMBER(nvmlDeviceGetGpuInstanceId, gpu_instance)
INSTANCE_NUMBER(nvmlDeviceGetComputeInstanceId, compute_instance)

NVML_EXPORT nvml_result nvmlDeviceGetAttributes_v2(nvml_device device, struct nvml_attributes *to)
{
    ON_ANY(device);
    NEED(to);
    SUPPORTED(call.place.gpu_instance != NO_INSTANCE);
    const struct fake_gpu_instance *instance = fake_gpu_instance(gpu, call.place.gpu_instance);
    const struct fake_mig_profile *profile = fake_mig_profile(gpu, instance->profile);
    memset(to, 0, sizeof *to);
    to->multiprocessors = profile->multiprocessors;
    to->copy_engines = profile->copy_engines;
    to->decoders = profile->decoders;
    to->gpu_slices = to->compute_slices = profile->slices;
    to->memory_mib = profile->memory_mib;
    return OK;
}

static void describe(const struct fake_mig_profile *profile, struct nvml_gpu_profile *to)
{
    memset(to, 0, sizeof *to);
    to->id = profile->id;
    to->slices = profile->slices;
    to->instances = profile->count;
    to->multiprocessors = profile->multiprocessors;
    to->copy_engines = profile->copy_engines;
    to->decoders = profile->decoders;
    to->memory_mib = profile->memory_mib;
}

NVML_EXPORT nvml_result nvmlDeviceGetGpuInstanceProfileInfo(nvml_device device, unsigned kind,
                                                            struct nvml_gpu_profile *to)
{
    ON_GPU(device);
    NEED(to && kind < 0x12);
    SUPPORTED(gpu->model.has_mig);
    const struct fake_mig_profile *profile = by_kind(gpu, kind);
    SUPPORTED(profile);
    describe(profile, to);
    return OK;
}

static nvml_result describe_v2(const struct fake_mig_profile *profile,
                               struct nvml_gpu_profile_v2 *to)
{
    NEED(to);
    if (to->version != VERSION_OF(struct nvml_gpu_profile_v2, 2))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(profile);
    struct nvml_gpu_profile plain;
    describe(profile, &plain);
    to->id = plain.id;
    to->p2p = 0;
    to->slices = plain.slices;
    to->instances = plain.instances;
    to->multiprocessors = plain.multiprocessors;
    to->copy_engines = plain.copy_engines;
    to->decoders = plain.decoders;
    to->encoders = to->jpegs = to->ofas = 0;
    to->memory_mib = plain.memory_mib;
    strcpy(to->name, "MIG ");
    strcat(to->name, profile->name);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetGpuInstanceProfileInfoV(nvml_device device, unsigned kind,
                                                             struct nvml_gpu_profile_v2 *to)
{
    ON_GPU(device);
    NEED(kind < 0x12);
    SUPPORTED(gpu->model.has_mig);
    return describe_v2(by_kind(gpu, kind), to);
}

NVML_EXPORT nvml_result nvmlDeviceGetGpuInstanceProfileInfoByIdV(nvml_device device, unsigned id,
                                                                 struct nvml_gpu_profile_v2 *to)
{
    ON_GPU(device);
    SUPPORTED(gpu->model.has_mig);
    return describe_v2(fake_mig_profile(gpu, id), to);
}
