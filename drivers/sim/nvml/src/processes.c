/* The processes on a GPU, and what each of them uses. */
#include "fake.h"

enum { COMPUTE, GRAPHICS, MPS, EVERY };

static int shows(const struct fake_call *call, const struct fake_process *process, unsigned kind)
{
    if (kind != EVERY && process->kind != kind)
        return 0;
    unsigned gi = call->place.gpu_instance;
    return gi == NO_INSTANCE || process->gpu_instance == gi;
}

static unsigned count_of(const struct fake_call *call, unsigned kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < call->gpu->process_count; i++)
        count += shows(call, &call->gpu->processes[i], kind);
    return count;
}

static nvml_result list(const struct fake_call *call, unsigned kind, unsigned *count,
                        struct nvml_process *processes)
{
    NEED(count);
    unsigned room = processes ? *count : 0;
    *count = count_of(call, kind);
    if (*count > room)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < call->gpu->process_count; i++) {
        const struct fake_process *process = &call->gpu->processes[i];
        if (!shows(call, process, kind))
            continue;
        processes->pid = process->pid;
        processes->memory = process->memory_bytes;
        processes->gpu_instance = process->gpu_instance;
        processes->compute_instance = process->compute_instance;
        processes++;
    }
    return OK;
}

#define LIST(function, kind)                                               \
    NVML_EXPORT nvml_result function(nvml_device device, unsigned *count, \
                                     struct nvml_process *processes)       \
    {                                                                      \
        ON_ANY(device);                                                    \
        return list(&call, kind, count, processes);                        \
    }

LIST(nvmlDeviceGetComputeRunningProcesses_v2, COMPUTE)
LIST(nvmlDeviceGetComputeRunningProcesses_v3, COMPUTE)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, GRAPHICS)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, GRAPHICS)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, MPS)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, MPS)

NVML_EXPORT nvml_result nvmlDeviceGetRunningProcessDetailList(nvml_device device,
                                                              struct nvml_process_details *details)
{
    ON_ANY(device);
    NEED(details && details->mode <= EVERY);
    if (details->version != VERSION_OF(struct nvml_process_details, 1))
        return ARGUMENT_VERSION_MISMATCH;
    unsigned room = details->processes ? details->count : 0;
    details->count = count_of(&call, details->mode);
    if (details->count > room)
        return INSUFFICIENT_SIZE;
    struct nvml_process_detail *detail = details->processes;
    for (unsigned i = 0; i < gpu->process_count; i++) {
        const struct fake_process *process = &gpu->processes[i];
        if (!shows(&call, process, details->mode))
            continue;
        detail->pid = process->pid;
        detail->memory = process->memory_bytes;
        detail->gpu_instance = process->gpu_instance;
        detail->compute_instance = process->compute_instance;
        detail->protected_memory = 0; /* no confidential computing here */
        detail++;
    }
    return OK;
}

/* Samples are as old as the last tick of the driver's clock, and idle processes leave none. */
#define TICK_US 166667

static uint64_t last_tick_us(const struct fake_call *call)
{
    uint64_t now = fake_wall_us(call->state, call->gpu->settled_s);
    return now - now % TICK_US;
}

static int sampled(const struct fake_process *process)
{
    return process->load.gpu_pct > 0 || process->load.memory_pct > 0;
}

static unsigned samples_since(const struct fake_call *call, uint64_t since_us)
{
    unsigned count = 0;
    for (unsigned i = 0; i < call->gpu->process_count; i++)
        count += sampled(&call->gpu->processes[i]);
    return last_tick_us(call) > since_us ? count : 0;
}

NVML_EXPORT nvml_result nvmlDeviceGetProcessUtilization(nvml_device device,
                                                        struct nvml_process_sample *samples,
                                                        unsigned *count,
                                                        unsigned long long since_us)
{
    ON_GPU(device);
    NEED(count);
    SUPPORTED(gpu->model.has_process_utilisation && !gpu->mig_mode);
    unsigned room = samples ? *count : 0;
    *count = samples_since(&call, since_us);
    if (!*count)
        return NOT_FOUND;
    if (*count > room)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < gpu->process_count; i++) {
        const struct fake_process *process = &gpu->processes[i];
        if (!sampled(process))
            continue;
        samples->pid = process->pid;
        samples->at_us = last_tick_us(&call);
        samples->sm = fake_percent(process->load.gpu_pct);
        samples->memory = fake_percent(process->load.memory_pct);
        samples->encoder = fake_percent(process->load.encoder_pct);
        samples->decoder = fake_percent(process->load.decoder_pct);
        samples++;
    }
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetProcessesUtilizationInfo(
    nvml_device device, struct nvml_processes_utilization *info)
{
    ON_GPU(device);
    NEED(info);
    if (info->version != VERSION_OF(struct nvml_processes_utilization, 1))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(gpu->model.has_process_utilisation && !gpu->mig_mode);
    unsigned room = info->samples ? info->count : 0;
    info->count = samples_since(&call, info->since_us);
    if (!info->count)
        return NOT_FOUND;
    if (info->count > room)
        return INSUFFICIENT_SIZE;
    struct nvml_process_utilization *to = info->samples;
    for (unsigned i = 0; i < gpu->process_count; i++) {
        const struct fake_process *process = &gpu->processes[i];
        if (!sampled(process))
            continue;
        to->at_us = last_tick_us(&call);
        to->pid = process->pid;
        to->sm = fake_percent(process->load.gpu_pct);
        to->memory = fake_percent(process->load.memory_pct);
        to->encoder = fake_percent(process->load.encoder_pct);
        to->decoder = fake_percent(process->load.decoder_pct);
        to->jpeg = fake_percent(process->load.jpeg_pct);
        to->ofa = fake_percent(process->load.ofa_pct);
        to++;
    }
    return OK;
}
