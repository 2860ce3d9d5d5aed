/* Clocks, P-states, why they are throttled and for how long they were. */
#include "fake.h"

static unsigned top_mhz(const struct fake_gpu *gpu, unsigned kind)
{
    if (kind == CLOCK_MEMORY)
        return gpu->model.memory_max_mhz;
    return kind == CLOCK_VIDEO ? gpu->model.video_max_mhz : gpu->model.sm_max_mhz;
}

static unsigned current_mhz(const struct fake_gpu *gpu, unsigned kind)
{
    if (kind == CLOCK_MEMORY)
        return (unsigned)gpu->memory_mhz;
    double share = gpu->sm_mhz / gpu->model.sm_max_mhz;
    return (unsigned)(top_mhz(gpu, kind) * share + 0.5);
}

NVML_EXPORT nvml_result nvmlDeviceGetClockInfo(nvml_device device, unsigned kind, unsigned *mhz)
{
    ON_GPU(device);
    NEED(mhz && kind < CLOCK_KINDS);
    *mhz = current_mhz(gpu, kind);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetMaxClockInfo(nvml_device device, unsigned kind, unsigned *mhz)
{
    ON_GPU(device);
    NEED(mhz && kind < CLOCK_KINDS);
    *mhz = top_mhz(gpu, kind);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetMaxCustomerBoostClock(nvml_device device, unsigned kind,
                                                           unsigned *mhz)
{
    return nvmlDeviceGetMaxClockInfo(device, kind, mhz);
}

NVML_EXPORT nvml_result nvmlDeviceGetClock(nvml_device device, unsigned kind, unsigned which,
                                           unsigned *mhz)
{
    ON_GPU(device);
    NEED(mhz && kind < CLOCK_KINDS && which < 4);
    SUPPORTED(which == 0 || which == 3); /* current, the customer's maximum; no application clocks */
    *mhz = which == 0 ? current_mhz(gpu, kind) : top_mhz(gpu, kind);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetSupportedMemoryClocks(nvml_device device, unsigned *count,
                                                           unsigned *mhz)
{
    ON_GPU(device);
    NEED(count);
    unsigned idle = gpu->model.memory_idle_mhz;
    unsigned kinds = idle == gpu->model.memory_max_mhz ? 1 : 2;
    unsigned room = *count;
    *count = kinds;
    if (room < kinds || !mhz)
        return INSUFFICIENT_SIZE;
    mhz[0] = gpu->model.memory_max_mhz;
    if (kinds == 2)
        mhz[1] = idle;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetSupportedGraphicsClocks(nvml_device device, unsigned memory,
                                                             unsigned *count, unsigned *mhz)
{
    ON_GPU(device);
    NEED(count);
    const struct fake_model *model = &gpu->model;
    if (memory != model->memory_max_mhz && memory != model->memory_idle_mhz)
        return NOT_FOUND;
    unsigned kinds = (model->sm_max_mhz - model->sm_min_mhz) / model->sm_step_mhz + 1;
    unsigned room = *count;
    *count = kinds;
    if (room < kinds || !mhz)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < kinds; i++)
        mhz[i] = model->sm_max_mhz - i * model->sm_step_mhz;
    return OK;
}

/* Pairs snap to clocks that there are. */
static unsigned snapped(const struct fake_model *model, unsigned mhz)
{
    if (mhz >= model->sm_max_mhz)
        return model->sm_max_mhz;
    if (mhz <= model->sm_min_mhz)
        return model->sm_min_mhz;
    return model->sm_max_mhz - (model->sm_max_mhz - mhz) / model->sm_step_mhz * model->sm_step_mhz;
}

NVML_EXPORT nvml_result nvmlDeviceSetGpuLockedClocks(nvml_device device, unsigned least,
                                                     unsigned most)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.has_locked_clocks);
    NEED(least <= most && most > 0);
    gpu->locked_sm_min_mhz = snapped(&gpu->model, least);
    gpu->locked_sm_max_mhz = snapped(&gpu->model, most);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceResetGpuLockedClocks(nvml_device device)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.has_locked_clocks);
    gpu->locked_sm_min_mhz = gpu->locked_sm_max_mhz = 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetMemoryLockedClocks(nvml_device device, unsigned least,
                                                        unsigned most)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.has_locked_memory_clocks);
    NEED(least <= most && most > 0);
    gpu->locked_memory_min_mhz = least;
    gpu->locked_memory_max_mhz = most;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceResetMemoryLockedClocks(nvml_device device)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.has_locked_memory_clocks);
    gpu->locked_memory_min_mhz = gpu->locked_memory_max_mhz = 0;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetPerformanceState(nvml_device device, unsigned *state)
{
    ON_GPU(device);
    NEED(state);
    *state = gpu->now.gpu_pct > 0 ? 0 : gpu->model.idle_pstate;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetPowerState(nvml_device device, unsigned *state)
{
    return nvmlDeviceGetPerformanceState(device, state);
}

NVML_EXPORT nvml_result nvmlDeviceGetCurrentClocksEventReasons(nvml_device device,
                                                               unsigned long long *reasons)
{
    ON_GPU(device);
    NEED(reasons);
    *reasons = gpu->reasons;
    return OK;
}

/* The same under its older name, counted apart. */
NVML_EXPORT nvml_result nvmlDeviceGetCurrentClocksThrottleReasons(nvml_device device,
                                                                  unsigned long long *reasons)
{
    ON_GPU(device);
    NEED(reasons);
    *reasons = gpu->reasons;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetSupportedClocksEventReasons(nvml_device device,
                                                                 unsigned long long *reasons)
{
    ON_GPU(device);
    NEED(reasons);
    *reasons = 0x1ff;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetSupportedClocksThrottleReasons(nvml_device device,
                                                                    unsigned long long *reasons)
{
    return nvmlDeviceGetSupportedClocksEventReasons(device, reasons);
}

NVML_EXPORT nvml_result nvmlDeviceGetViolationStatus(nvml_device device, unsigned policy,
                                                     struct nvml_violation *violation)
{
    ON_GPU(device);
    NEED(violation && policy < 12);
    SUPPORTED(policy <= 5); /* the rest are totals that nobody asks for */
    violation->reference_us = fake_wall_us(call.state, gpu->settled_s);
    violation->violation_ns = (unsigned long long)(gpu->violation_s[policy] * 1e9);
    return OK;
}
