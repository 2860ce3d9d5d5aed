/* Temperatures, their thresholds, and fans. */
#include "fake.h"

static nvml_result read_sensor(const struct fake_gpu *gpu, unsigned sensor, int *celsius)
{
    if (sensor != 0)
        return sensor == 1 ? NOT_SUPPORTED : INVALID_ARGUMENT;
    *celsius = (int)(gpu->temperature_c + 0.5);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetTemperature(nvml_device device, unsigned sensor,
                                                 unsigned *celsius)
{
    ON_GPU(device);
    NEED(celsius);
    int value = 0;
    nvml_result result = read_sensor(gpu, sensor, &value);
    *celsius = (unsigned)value;
    return result;
}

NVML_EXPORT nvml_result nvmlDeviceGetTemperatureV(nvml_device device, struct nvml_temperature *of)
{
    ON_GPU(device);
    NEED(of);
    if (of->version != VERSION_OF(struct nvml_temperature, 1))
        return ARGUMENT_VERSION_MISMATCH;
    return read_sensor(gpu, of->sensor, &of->celsius);
}

NVML_EXPORT nvml_result nvmlDeviceGetMarginTemperature(nvml_device device, struct nvml_margin *of)
{
    ON_GPU(device);
    NEED(of);
    if (of->version != VERSION_OF(struct nvml_margin, 1))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(gpu->model.has_temperature_margin);
    of->celsius = (int)gpu->model.operating_c - (int)(gpu->temperature_c + 0.5);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetTemperatureThreshold(nvml_device device, unsigned kind,
                                                          unsigned *celsius)
{
    ON_GPU(device);
    NEED(celsius && kind < 8);
    unsigned thresholds[8] = {gpu->model.shutdown_c, gpu->model.slowdown_c,
                              gpu->model.memory_max_c, gpu->model.operating_c};
    SUPPORTED(thresholds[kind]);
    *celsius = thresholds[kind];
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetNumFans(nvml_device device, unsigned *count)
{
    ON_GPU(device);
    NEED(count);
    SUPPORTED(gpu->model.fans);
    *count = gpu->model.fans;
    return OK;
}

/* The intended speed, as the real one has it: a fan that is stuck does not show here. */
static unsigned intended_pct(const struct fake_gpu *gpu)
{
    if (gpu->fan_manual)
        return gpu->fan_target_pct;
    double pct = 30 + (gpu->temperature_c - 50) * 2;
    return fake_percent(pct < 30 ? 30 : pct > 100 ? 100 : pct);
}

NVML_EXPORT nvml_result nvmlDeviceGetFanSpeed_v2(nvml_device device, unsigned fan, unsigned *pct)
{
    ON_GPU(device);
    NEED(pct);
    SUPPORTED(gpu->model.fans);
    NEED(fan < gpu->model.fans);
    *pct = intended_pct(gpu);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetFanSpeed(nvml_device device, unsigned *pct)
{
    ON_GPU(device);
    NEED(pct);
    SUPPORTED(gpu->model.fans);
    *pct = intended_pct(gpu);
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetTargetFanSpeed(nvml_device device, unsigned fan, unsigned *pct)
{
    return nvmlDeviceGetFanSpeed_v2(device, fan, pct);
}

NVML_EXPORT nvml_result nvmlDeviceGetFanSpeedRPM(nvml_device device, struct nvml_fan_speed *of)
{
    ON_GPU(device);
    NEED(of);
    if (of->version != VERSION_OF(struct nvml_fan_speed, 1))
        return ARGUMENT_VERSION_MISMATCH;
    SUPPORTED(gpu->model.fans);
    NEED(of->fan < gpu->model.fans);
    of->rpm = intended_pct(gpu) * 36;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetMinMaxFanSpeed(nvml_device device, unsigned *least,
                                                    unsigned *most)
{
    ON_GPU(device);
    NEED(least && most);
    SUPPORTED(gpu->model.fans);
    *least = 30;
    *most = 100;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetFanControlPolicy_v2(nvml_device device, unsigned fan,
                                                         unsigned *policy)
{
    ON_GPU(device);
    NEED(policy);
    SUPPORTED(gpu->model.fans);
    NEED(fan < gpu->model.fans);
    *policy = gpu->fan_manual;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetFanSpeed_v2(nvml_device device, unsigned fan, unsigned pct)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.fans);
    NEED(fan < gpu->model.fans && pct <= 100);
    gpu->fan_manual = 1;
    gpu->fan_target_pct = pct;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetDefaultFanSpeed_v2(nvml_device device, unsigned fan)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.fans);
    NEED(fan < gpu->model.fans);
    gpu->fan_manual = 0;
    return OK;
}
