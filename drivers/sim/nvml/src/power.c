/* Power, its limits and energy. */
#include "fake.h"

#define POWER(function, condition, expression)                                 \
    NVML_EXPORT nvml_result function(nvml_device device, unsigned *milliwatts) \
    {                                                                          \
        ON_GPU(device);                                                        \
        NEED(milliwatts);                                                      \
        SUPPORTED(condition);                                                  \
        *milliwatts = (unsigned)(expression);                                  \
        return OK;                                                             \
    }

/* Averaged over a second from Ampere on, except the A100; instantaneous before. */
POWER(nvmlDeviceGetPowerUsage, gpu->model.has_power_readings,
      (gpu->model.has_average_power ? gpu->average_power_w : gpu->power_w) * 1e3 + 0.5)
POWER(nvmlDeviceGetPowerManagementLimit, gpu->model.has_power_limit, gpu->limit_mw)
POWER(nvmlDeviceGetPowerManagementDefaultLimit, gpu->model.has_power_limit,
      gpu->model.power_default_mw)
POWER(nvmlDeviceGetEnforcedPowerLimit, gpu->model.has_power_readings, fake_enforced_mw(gpu))
POWER(nvmlDeviceGetPowerManagementMode, 1, gpu->model.has_power_limit)

NVML_EXPORT nvml_result nvmlDeviceGetPowerManagementLimitConstraints(nvml_device device,
                                                                     unsigned *least,
                                                                     unsigned *most)
{
    ON_GPU(device);
    NEED(least && most);
    SUPPORTED(gpu->model.has_power_limit);
    *least = gpu->model.power_min_mw;
    *most = gpu->model.power_max_mw;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetPowerManagementLimit(nvml_device device, unsigned milliwatts)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.has_power_limit);
    if (milliwatts < gpu->model.power_min_mw || milliwatts > gpu->model.power_max_mw)
        return INVALID_ARGUMENT;
    gpu->limit_mw = milliwatts - milliwatts % gpu->limit_step_mw;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetPowerManagementLimit_v2(nvml_device device,
                                                             struct nvml_power_value *value)
{
    NEED(value);
    if (value->version != VERSION_OF(struct nvml_power_value, 2))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(value->scope == 0);
    return nvmlDeviceSetPowerManagementLimit(device, value->milliwatts);
}

NVML_EXPORT nvml_result nvmlDeviceGetTotalEnergyConsumption(nvml_device device,
                                                            unsigned long long *millijoules)
{
    ON_GPU(device);
    NEED(millijoules);
    SUPPORTED(gpu->model.has_energy);
    *millijoules = fake_energy_mj(gpu);
    return OK;
}
