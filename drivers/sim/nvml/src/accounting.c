/* Accounting: what processes used, kept after they ended. */
#include <string.h>

#include "fake.h"

NVML_EXPORT nvml_result nvmlDeviceGetAccountingMode(nvml_device device, unsigned *mode)
{
    ON_GPU(device);
    NEED(mode);
    SUPPORTED(gpu->model.has_accounting);
    *mode = gpu->mig_mode ? 0 : gpu->accounting_mode;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetAccountingMode(nvml_device device, unsigned mode)
{
    ON_GPU_TO_WRITE(device);
    NEED(mode <= 1);
    SUPPORTED(gpu->model.has_accounting && !gpu->mig_mode);
    gpu->accounting_mode = mode;
    if (!mode)
        gpu->accounted_count = 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetAccountingBufferSize(nvml_device device, unsigned *size)
{
    ON_GPU(device);
    NEED(size);
    SUPPORTED(gpu->model.has_accounting);
    *size = MAX_ACCOUNTED;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetAccountingPids(nvml_device device, unsigned *count,
                                                    unsigned *pids)
{
    ON_GPU(device);
    NEED(count);
    SUPPORTED(gpu->model.has_accounting);
    unsigned room = pids ? *count : 0;
    *count = gpu->accounted_count;
    if (*count > room)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < gpu->accounted_count; i++)
        pids[i] = gpu->accounted[i].pid;
    return OK;
}

static const struct fake_accounted *find(const struct fake_gpu *gpu, unsigned pid)
{
    for (unsigned i = gpu->accounted_count; i-- > 0;)
        if (gpu->accounted[i].pid == pid)
            return &gpu->accounted[i];
    return NULL;
}

NVML_EXPORT nvml_result nvmlDeviceGetAccountingStats(nvml_device device, unsigned pid,
                                                     struct nvml_accounting *stats)
{
    ON_GPU(device);
    NEED(stats);
    SUPPORTED(gpu->model.has_accounting && gpu->accounting_mode);
    const struct fake_accounted *entry = find(gpu, pid);
    if (!entry)
        return NOT_FOUND;
    double end_s = entry->running ? gpu->settled_s : entry->ended_s;
    memset(stats, 0, sizeof *stats);
    stats->gpu = entry->gpu_pct;
    stats->memory = entry->memory_pct;
    stats->memory_bytes = entry->memory_bytes;
    stats->time_ms = entry->running ? 0 : (uint64_t)((end_s - entry->started_s) * 1e3);
    stats->started_us = fake_wall_us(call.state, entry->started_s);
    stats->running = entry->running;
    return OK;
}
