/* Utilisation and memory. */
#include "fake.h"

NVML_EXPORT nvml_result nvmlDeviceGetUtilizationRates(nvml_device device,
                                                      struct nvml_utilization *rates)
{
    ON_GPU(device);
    NEED(rates);
    SUPPORTED(!gpu->mig_mode);
    rates->gpu = fake_percent(gpu->now.gpu_pct);
    rates->memory = fake_percent(gpu->now.memory_pct);
    return OK;
}

#define ENGINE(function, condition, field)                                                    \
    NVML_EXPORT nvml_result function(nvml_device device, unsigned *pct, unsigned *period_us)  \
    {                                                                                         \
        ON_GPU(device);                                                                       \
        NEED(pct && period_us);                                                               \
        SUPPORTED(!gpu->mig_mode && (condition));                                             \
        *pct = fake_percent(gpu->now.field);                                                  \
        *period_us = 167000;                                                                  \
        return OK;                                                                            \
    }

ENGINE(nvmlDeviceGetEncoderUtilization, gpu->model.has_codecs, encoder_pct)
ENGINE(nvmlDeviceGetDecoderUtilization, gpu->model.has_codecs, decoder_pct)
ENGINE(nvmlDeviceGetJpgUtilization, gpu->model.has_jpeg, jpeg_pct)
ENGINE(nvmlDeviceGetOfaUtilization, gpu->model.has_jpeg, ofa_pct)

uint64_t fake_memory_total(const struct fake_gpu *gpu)
{
    return (uint64_t)gpu->model.memory_mib << 20;
}

/* As NVML writes it where the driver cannot tell what a process holds. */
#define MEMORY_UNKNOWN (~0ULL)

/* What the processes hold, without what the driver reserves. */
uint64_t fake_memory_in_use(const struct fake_gpu *gpu, unsigned gpu_instance)
{
    uint64_t used = gpu_instance == ANY ? gpu->memory_base_bytes : 0;
    for (unsigned i = 0; i < gpu->process_count; i++) {
        const struct fake_process *process = &gpu->processes[i];
        int here = gpu_instance == ANY || process->gpu_instance == gpu_instance;
        if (here && process->memory_bytes != MEMORY_UNKNOWN)
            used += process->memory_bytes;
    }
    return used;
}

static void measure(struct fake_gpu *gpu, unsigned gi, struct nvml_memory_v2 *memory)
{
    unsigned which = gi == NO_INSTANCE ? ANY : gi;
    memory->total = fake_memory_total(gpu);
    memory->reserved = (uint64_t)gpu->model.reserved_mib << 20;
    if (gi != NO_INSTANCE) {
        const struct fake_gpu_instance *instance = fake_gpu_instance(gpu, gi);
        memory->total = (uint64_t)fake_mig_profile(gpu, instance->profile)->memory_mib << 20;
        memory->reserved = 0;
    }
    uint64_t room = memory->total - memory->reserved;
    memory->used = fake_memory_in_use(gpu, which);
    if (memory->used > room)
        memory->used = room;
    memory->free = room - memory->used;
}

NVML_EXPORT nvml_result nvmlDeviceGetMemoryInfo_v2(nvml_device device,
                                                   struct nvml_memory_v2 *memory)
{
    ON_ANY(device);
    NEED(memory);
    if (memory->version != VERSION_OF(struct nvml_memory_v2, 2))
        return ARGUMENT_VERSION_MISMATCH;
    measure(gpu, call.place.gpu_instance, memory);
    return OK;
}

/* The old form counts what is reserved as used. */
NVML_EXPORT nvml_result nvmlDeviceGetMemoryInfo(nvml_device device, struct nvml_memory *memory)
{
    ON_ANY(device);
    NEED(memory);
    struct nvml_memory_v2 fine;
    measure(gpu, call.place.gpu_instance, &fine);
    memory->total = fine.total;
    memory->free = fine.free;
    memory->used = fine.used + fine.reserved;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetBAR1MemoryInfo(nvml_device device, struct nvml_bar1 *memory)
{
    ON_GPU(device);
    NEED(memory);
    memory->total = (uint64_t)gpu->model.bar1_mib << 20;
    memory->used = 1 << 20;
    memory->free = memory->total - memory->used;
    return OK;
}
