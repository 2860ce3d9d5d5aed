/* Modes of a GPU: persistence, compute, ECC. */
#include "fake.h"

NVML_EXPORT nvml_result nvmlDeviceGetPersistenceMode(nvml_device device, unsigned *mode)
{
    ON_GPU(device);
    NEED(mode);
    *mode = gpu->persistence;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetPersistenceMode(nvml_device device, unsigned mode)
{
    ON_GPU_TO_WRITE(device);
    NEED(mode <= 1);
    gpu->persistence = mode;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetComputeMode(nvml_device device, unsigned *mode)
{
    ON_GPU(device);
    NEED(mode);
    *mode = gpu->compute_mode;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceSetComputeMode(nvml_device device, unsigned mode)
{
    ON_GPU_TO_WRITE(device);
    NEED(mode <= 3);
    SUPPORTED(mode != 1); /* exclusive thread is gone */
    gpu->compute_mode = mode;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetEccMode(nvml_device device, unsigned *current,
                                             unsigned *pending)
{
    ON_GPU(device);
    NEED(current && pending);
    SUPPORTED(gpu->model.has_ecc);
    *current = gpu->ecc_mode;
    *pending = gpu->ecc_pending;
    return OK;
}

NVML_EXPORT nvml_result nvmlDeviceGetDefaultEccMode(nvml_device device, unsigned *mode)
{
    ON_GPU(device);
    NEED(mode);
    SUPPORTED(gpu->model.has_ecc);
    *mode = 1;
    return OK;
}

/* Takes effect with the next reset. */
NVML_EXPORT nvml_result nvmlDeviceSetEccMode(nvml_device device, unsigned mode)
{
    ON_GPU_TO_WRITE(device);
    SUPPORTED(gpu->model.has_ecc);
    NEED(mode <= 1);
    gpu->ecc_pending = mode;
    return OK;
}
